"""The arms of a grid at two scales: what the small run shows against what the large one does."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.intervals import limits
from analysis.figures.style import (
    COLUMN,
    Look,
    add_axes,
    arm_looks,
    fit,
    headline,
    new_figure,
    style,
    text_width,
    write,
)
from analysis.metrics import direction
from analysis.scales import Scales
from analysis.stats import Interval

Limits = tuple[float, float]
_LEFT, _TICKS, _EDGE, _WORDS = 0.62, 0.34, 0.24, 0.36  # inches
_STRETCH = 2.0  # an interval may make an axis so much longer than the means do
_ALIKE = 3  # ranges that differ by no more have the same limits
_COLUMNS, _ROW, _HANDLE = 3, 0.125, 0.36  # of the legend, inches


def both_scales(found: Scales) -> Figure:
    """Each arm's difference from the baseline at the small scale (x) and the large one (y).

    Markers are means over seeds, bars their 95 % intervals, paired by seed; an interval that would
    squeeze the rest is cut with an arrow head. On the dashed line a difference is the same at both
    scales. Both axes have the same limits unless one scale's range is much wider.
    """
    reference = found.arms.index(found.reference)
    pairs = [
        tuple(scale.difference(index, reference) for scale in found.both)
        for index in range(len(found.arms))
    ]
    with style():
        figure, side = _figure(found)
        axes = add_axes(figure, _LEFT, _foot(found), side, side)
        spans = _limits([*zip(*pairs, strict=True)])
        axes.set_xlim(*spans[0])
        axes.set_ylim(*spans[1])
        axes.locator_params(nbins=5)
        axes.axhline(0, color="0.6", lw=0.5, zorder=1)
        axes.axvline(0, color="0.6", lw=0.5, zorder=1)
        ends = [max(s[0] for s in spans), min(s[1] for s in spans)]
        axes.plot(ends, ends, "--", color="0.35", lw=0.7, zorder=1)
        looks = arm_looks(found.grid)
        for arm, (small, large) in zip(found.arms, pairs, strict=True):
            look = looks[arm]
            _bar(axes, small, large.mean, look, across=True)
            _bar(axes, large, small.mean, look, across=False)
            axes.plot(small.mean, large.mean, look.marker or "o", ms=4.2, color=look.color,
                      mec="white", mew=0.5, zorder=4)  # fmt: skip
        _legend(figure, found)
        better = " (better →)" if direction(found.grid.primary) == "up" else " (← better)"
        names = [fit(scale.name, side - 1, better) for scale in found.both]
        axes.set_xlabel(names[0], labelpad=2)
        axes.set_ylabel(names[1], labelpad=2)
    return figure


def _figure(found: Scales) -> tuple[Figure, float]:
    """A figure with its headline and legend, and the side of the square left to draw in."""
    side, room = COLUMN - _LEFT - _EDGE, COLUMN - 0.12
    small = fit(found.small.name, room / 3)
    title = headline(found.large.summary, f"beside {small}", room)
    metric = f"differences in {found.grid.primary} from "
    title.insert(1, metric + fit(found.reference, room - text_width(metric)))
    absent = len(found.small.summary.results.absent)
    if absent:
        cells = len(found.small.summary.grid.cells)
        title.append(f"{small}: {absent} of {cells} runs missing")
    figure = new_figure(COLUMN, _foot(found) + side + 0.13 * len(title) + 0.1)
    write(figure, 0.06, figure.get_figheight() - 0.05, "\n".join(title), va="top")
    legend = "Bars: 95 % intervals over seeds, paired.\nDashed diagonal: the same at both scales."
    write(figure, 0.06, 0.05, legend, va="bottom", linespacing=1.3)
    return figure, side


def _foot(found: Scales) -> float:
    """Inches under the axes."""
    return _WORDS + _ROW * math.ceil(len(found.arms) / _COLUMNS) + _TICKS


def _limits(differences: Sequence[Sequence[Interval]]) -> tuple[Limits, Limits]:
    """Limits along both axes, the same ones unless one range is much wider than the other."""
    small, large = (
        limits([0.0, *(i.mean for i in scale)], scale, stretch=_STRETCH) for scale in differences
    )
    widths = [high - low for low, high in (small, large)]
    if max(widths) <= _ALIKE * min(widths):
        small = large = (min(small[0], large[0]), max(small[1], large[1]))
    return small, large


def _bar(axes: Axes, interval: Interval, at: float, look: Look, *, across: bool) -> None:
    """The interval as a line at a place on the other axis, an arrow head where it is cut."""
    low, high = axes.get_xlim() if across else axes.get_ylim()
    ends = (max(interval.low, low), min(interval.high, high))
    points = (ends, (at, at)) if across else ((at, at), ends)
    axes.plot(*points, look.line, color=look.color, lw=0.8, zorder=2, solid_capstyle="butt")
    heads = "<>" if across else "v^"
    cut = (interval.low < low, interval.high > high)
    for end, head, leaves in zip(ends, heads, cut, strict=True):
        if leaves:
            place = (end, at) if across else (at, end)
            axes.plot(*place, head, ms=3.5, color=look.color, mew=0, zorder=3, clip_on=False)


def _legend(figure: Figure, found: Scales) -> None:
    """The arms by marker, colour and line, in rows under the axes."""
    looks, room = arm_looks(found.grid), (COLUMN - 0.2) / _COLUMNS - _HANDLE
    handles = [
        Line2D([], [], ls=looks[arm].line, lw=0.8, marker=looks[arm].marker or "o", ms=4.2,
               color=looks[arm].color, mec="white", mew=0.5, label=fit(arm, room))
        for arm in found.arms
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="lower left", ncols=_COLUMNS, borderaxespad=0, borderpad=0,
        columnspacing=1.0, handlelength=2.2, labelspacing=0.25,
        bbox_to_anchor=(0.06 / figure.get_figwidth(), _WORDS / figure.get_figheight()),
    )  # fmt: skip
