"""How every figure is drawn and saved: sizes, fonts, colours, and text that fits its place."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.grid import Grid
from analysis.spelling import shorten
from analysis.summary import Summary

FONT = "DejaVu Sans"  # shipped with matplotlib, so it is the same everywhere
_LACKING = "Glyph .* missing from font"
STYLE = {
    "font.family": FONT,
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "text.parse_math": False,  # a name may hold a dollar sign
    "pdf.fonttype": 42,
    "svg.hashsalt": "figures",
}
STYLE |= {f"{axis}tick.major.{key}": value for axis in "xy" for key, value in
          {"width": 0.6, "size": 2.5}.items()}  # fmt: skip
STYLE |= {f"{axis}tick.minor.size": 1.5 for axis in "xy"}
COLUMN, TEXT_WIDTH = 3.5, 7.0  # inches: one column and the full width of a two-column paper

# Okabe and Ito's colour-blind-safe palette (2008), without its yellow, too faint on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLACK, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DARK, GREY, LIGHT = "#444444", "#767676", "#E5E5E5"
# Ordered classes (small, middle, large): dark to light, which a grey print keeps.
STEPS = (("#253494", "v"), ("#1D91C0", "o"), ("#74C6A5", "^"), ("#C2A500", "s"), ("#888888", "D"))
_MARKERS = ("o", "s", "^", "D", "v", "<", ">")
GLYPHS = {"v": "▼", "o": "●", "^": "▲", "s": "■", "D": "◆"}  # the markers of STEPS in a text


@dataclass(frozen=True)
class Look:
    """How one arm is drawn; the marker and the line repeat what the colour says."""

    color: str
    marker: str
    line: str
    named: bool


def arm_looks(grid: Grid) -> dict[str, Look]:
    """A look for each arm: colours for the arms of the contrasts, the baseline black, grey for
    the rest. Up to seven arms all have colours; beyond seven, colours recur with broken lines."""
    in_contrasts = {arm for c in grid.contrasts for arm in (c.arm, c.minus)}
    few = len(grid.arms) <= len(PALETTE) or not in_contrasts
    named = [arm for arm in grid.arms if few or arm in in_contrasts]
    if grid.baseline in named:
        named = [grid.baseline, *(arm for arm in named if arm != grid.baseline)]
    looks = {arm: Look(GREY, "", "-", named=False) for arm in grid.arms}
    lines = ("-", "--", ":")
    for index, arm in enumerate(named[: len(PALETTE) * len(lines)]):
        place, turn = index % len(PALETTE), index // len(PALETTE)
        looks[arm] = Look(PALETTE[place], _MARKERS[place], lines[turn], named=True)
    return looks


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Save as PNG or PDF by suffix, at the figure's own resolution, without dates or versions:
    the same figure gives the same bytes."""
    for path in paths:
        keys = ("CreationDate", "Creator", "Producer") if path.suffix == ".pdf" else ("Software",)
        with style():
            figure.savefig(path, dpi="figure", metadata=dict.fromkeys(keys))


@contextmanager
def style() -> Iterator[None]:
    """Draw with the project's fonts and lines, whatever the caller's matplotlib settings are.

    A letter that the font lacks is drawn as a box, without a warning.
    """
    with rc_context(), warnings.catch_warnings():
        rcdefaults()
        rcParams.update(cast(Any, STYLE))
        warnings.filterwarnings("ignore", _LACKING, UserWarning)
        yield


def new_figure(width: float, height: float, *, dpi: float = 300) -> Figure:
    """An empty figure in inches, without pyplot's global state."""
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the lower left corner."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def log_scale(axes: Axes) -> None:
    """A log scale upwards whose ticks are plain numbers: powers would be written as maths."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def write(figure: Figure, x: float, y: float, words: str, **look: Any) -> None:
    """Text at a place in inches from the lower left corner."""
    w, h = figure.get_size_inches()
    figure.text(x / w, y / h, words, **look)


@cache
def text_width(words: str, size: float = 7) -> float:
    """Inches that the widest line of `words` takes at `size` points."""
    font = FontProperties(family=FONT, size=size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _LACKING, UserWarning)
        lines = [
            text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]
            for line in words.split("\n")
            if line.strip()
        ]
    return float(max(lines, default=0.0)) / 72


def fit(name: str, inches: float, tail: str = "") -> str:
    """A name on one line and its `tail`, the name cut in the middle until both take at most
    `inches`."""
    name = " ".join(name.split())
    room = inches - (text_width(f".{tail}.") - text_width("..") if tail else 0.0)
    most = min(len(name), 80)
    while most > 3 and text_width(shorten(name, most)) > room:
        most -= 1
    return shorten(name, most) + tail


def seed_counts(summary: Summary) -> dict[str, str]:
    """What stands beside each arm's name: its complete seeds, if the arms' numbers differ."""
    done = [cell.arm for cell in summary.grid.cells if cell.state == "complete"]
    counts = {arm: done.count(arm) for arm in summary.grid.arms}
    same = len({*counts.values()}) == 1
    return {arm: "" if same else f" (n {count})" for arm, count in counts.items()}


def titled_figure(summary: Summary, subject: str, width: float, body: float) -> Figure:
    """A figure with a headline over `body` inches that are left to draw in."""
    title = headline(summary, subject, width - 0.12)
    figure = new_figure(width, body + 0.13 * len(title) + 0.06)
    write(figure, 0.06, figure.get_figheight() - 0.05, "\n".join(title), va="top")
    return figure


def headline(summary: Summary, subject: str, inches: float) -> list[str]:
    """Title lines: grid, preset and subject, and what a reader must know before anything else."""
    grid = summary.grid
    room = inches - text_width(f", preset {grid.preset}: {subject}")
    if room > 0.6:
        lines = [f"{fit(grid.name, room)}, preset {grid.preset}: {subject}"]
    else:
        lines = [fit(f"{grid.name}, preset {grid.preset}", inches), subject]
    if summary.results.variant == "published":
        lines.append("metrics as published")
    if not grid.test:
        lines.append("a check of the machinery, not evidence")
    absent = len(summary.results.absent)
    if absent:
        lines.append(f"unfinished: {absent} of {len(grid.cells)} runs missing")
    return lines


def stacked(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to the wanted ones as a `gap` between neighbours allows, within low..high
    if they fit there; in the order of `wanted`."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed: list[float] = []
    for index in order:
        least = placed[-1] + gap if placed else low
        placed.append(max(wanted[index], least))
    ceiling = high
    for at in reversed(range(len(placed))):
        placed[at] = min(placed[at], ceiling)
        ceiling = placed[at] - gap
    return [placed[order.index(index)] for index in range(len(wanted))]
