"""The difference plot of a grid, and how every figure is drawn and saved."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.metrics import direction
from analysis.notes import p_value, shorten
from analysis.stats import Verdict
from analysis.summary import ContrastRow, Summary

STYLE = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib, so it is the same everywhere
    "font.size": 7,
    "axes.linewidth": 0.6,
    "text.parse_math": False,  # a name may hold a dollar sign
    "pdf.fonttype": 42,
    "xtick.major.width": 0.6,
    "xtick.major.size": 2.5,
}
COLUMN, TEXT_WIDTH = 3.5, 7.0  # inches: one column and the full width of a two-column paper
# Okabe and Ito's colour-blind-safe palette; the marker repeats what the colour says.
_LOOK: dict[Verdict | None, tuple[str, str]] = {
    "better": ("#009E73", "^"),
    "worse": ("#D55E00", "v"),
    "equivalent": ("#0072B2", "s"),
    "undecided": ("#444444", "o"),
    None: ("#444444", "o"),
}


def save(figure: Figure, paths: list[Path]) -> None:
    """Save as PNG (300 dpi) or PDF by suffix, without dates or versions: the same figure gives
    the same bytes."""
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        with style():
            figure.savefig(path, dpi=300, metadata=metadata)


@contextmanager
def style() -> Iterator[None]:
    """Draw with the project's fonts and lines, whatever the caller's matplotlib settings are.

    A letter that the font lacks is drawn as a box, without a warning.
    """
    with rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, without pyplot's global state."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def differences(summary: Summary) -> Figure | None:
    """Forest plot of the contrasts by the primary metric; None if the grid names none.

    Per contrast: mean paired difference and its 95 % interval (marker and bar), the difference
    of every seed (dots), the margin (grey band), and at the right the verdict and adjusted p.
    """
    rows = summary.primary
    if not rows:
        return None
    with style():
        title = _title(summary)
        top, bottom = 0.12 + 0.13 * len(title), 0.58
        height = top + bottom + 0.30 * len(rows)
        figure = new_figure(COLUMN, height)
        figure.text(0.02, 1 - 0.06 / height, "\n".join(title), va="top", linespacing=1.3)
        caption = f"Bar: 95 % t interval; circles: seeds; band: margin ±{summary.grid.margin:g}."
        figure.text(0.02, 0.05 / height, caption, va="bottom")
        right = 0.80 if summary.grid.test else 0.97
        left = _label_width(rows)
        box = (left, bottom / height, right - left, 1 - (top + bottom) / height)
        axes = figure.add_axes(box)
        _frame(axes, summary)
        for index, row in enumerate(rows):
            _draw_row(axes, row, index, judged=summary.grid.test)
    return figure


def _title(summary: Summary) -> list[str]:
    grid = summary.grid
    lines = [f"{grid.name}, preset {grid.preset}: paired differences in {grid.primary}"]
    if not grid.test:
        lines.append("a check of the machinery, not evidence")
    absent = len(summary.results.absent)
    if absent:
        lines.append(f"unfinished: {absent} of {len(grid.cells)} runs missing")
    return lines


def _label_width(rows: tuple[ContrastRow, ...]) -> float:
    """Share of the figure's width that the longest contrast needs (two lines, 7 pt)."""
    longest = max(max(len(r.contrast.arm), len(r.contrast.minus) + 2) for r in rows)
    return 0.06 + 0.0185 * min(longest, 22)


def _frame(axes: Axes, summary: Summary) -> None:
    grid, rows = summary.grid, summary.primary
    axes.axvspan(-grid.margin, grid.margin, color="0.9", lw=0, zorder=0)
    axes.axvline(0, color="0.35", lw=0.6, zorder=1)
    names = [(shorten(r.contrast.arm, 22), shorten(r.contrast.minus, 20)) for r in rows]
    labels = [f"{arm}\n− {minus}" for arm, minus in names]
    axes.set_yticks(range(len(rows)), labels, linespacing=1.1)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    better = "better →" if direction(grid.primary) == "up" else "← better"
    axes.set_xlabel(f"difference ({better})")
    values = [v for row in rows for v in (*row.values, row.difference.low, row.difference.high)]
    reach = [v for v in values if not math.isnan(v)] + [-grid.margin, grid.margin]
    pad = 0.06 * (max(reach) - min(reach)) or 0.01
    axes.set_xlim(min(reach) - pad, max(reach) + pad)
    axes.locator_params(axis="x", nbins=4)


def _draw_row(axes: Axes, row: ContrastRow, y: int, *, judged: bool) -> None:
    color, marker = _LOOK[row.judged]
    interval = row.difference
    dots = [y + 0.22] * len(row.values)
    axes.plot(row.values, dots, "o", ms=2.2, mfc="none", mec="0.45", mew=0.5, zorder=2)
    if not math.isnan(interval.low):
        axes.plot([interval.low, interval.high], [y, y], color=color, lw=1.4, zorder=3)
    if interval.n:
        axes.plot(interval.mean, y, marker, ms=4.5, color=color, mec="white", mew=0.5, zorder=4)
    p = "no p" if row.p is None else f"p {p_value(row.p)}"
    text = f"{row.judged}\n{p}" if row.judged else "no test"
    if interval.n == 0:
        text = "no runs"
    if judged or interval.n == 0:
        place = axes.get_yaxis_transform()
        axes.text(1.03, y, text, transform=place, va="center", color=color, linespacing=1.1)
