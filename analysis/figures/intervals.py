"""Intervals along an axis, as forest plots draw them."""

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes

from analysis.figures.style import LIGHT, fit
from analysis.metrics import direction
from analysis.stats import Interval
from analysis.summary import Summary


def limits(
    core: Sequence[float], intervals: Iterable[Interval | None], *, stretch: float
) -> tuple[float, float]:
    """Limits that hold all of `core`, and the intervals as far as they reach no further than
    `stretch` times the core's range beyond it: one wide interval must not squeeze the rest."""
    spread = max(core) - min(core) or 0.05 * abs(max(core)) or 0.01
    known = [i for i in intervals if i is not None and not math.isnan(i.low)]
    low = max(min([*core, *(i.low for i in known)]), min(core) - stretch * spread)
    high = min(max([*core, *(i.high for i in known)]), max(core) + stretch * spread)
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 0.01
    return low - pad, high + pad


def contrast_labels(summary: Summary, inches: float) -> list[str]:
    """The contrasts on two lines each, cut to a width."""
    pairs = [(row.contrast.arm, row.contrast.minus) for row in summary.primary]
    return [f"{fit(arm, inches)}\n− {fit(minus, inches - 0.1)}" for arm, minus in pairs]


def bar(axes: Axes, interval: Interval, y: float, color: str, width: float) -> None:
    """The interval as a line at `y`, with an arrow head where it leaves the axes; nothing
    without an interval."""
    if math.isnan(interval.low):
        return
    left, right = axes.get_xlim()
    axes.plot([interval.low, interval.high], [y, y], color=color, lw=width, zorder=2,
              solid_capstyle="butt")  # fmt: skip
    for leaves, edge, head in (
        (interval.low < left, left, "<"),
        (interval.high > right, right, ">"),
    ):
        if leaves:
            axes.plot(edge, y, head, ms=3.5, color=color, mew=0, zorder=3, clip_on=False)


def frame(axes: Axes, summary: Summary, labels: list[str], span: tuple[float, float]) -> None:
    """Rows named by `labels` from the top, the margin as a grey band, a line at 0, and the side
    on which better lies."""
    grid = summary.grid
    axes.axvspan(-grid.margin, grid.margin, color=LIGHT, lw=0, zorder=0)
    axes.axvline(0, color="0.35", lw=0.6, zorder=1)
    axes.set_yticks(range(len(labels)), labels, linespacing=1.1)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(*span)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    better = "better →" if direction(grid.primary) == "up" else "← better"
    axes.set_xlabel(f"difference ({better})", labelpad=2)
