"""The arms of a grid at two scales: what the small run shows against what the large one does."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

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

Box = tuple[float, float, float, float]  # left, bottom, right, top; inches
Limits = tuple[float, float]
Point = tuple[float, float]
_LEFT, _FOOT, _EDGE = 0.62, 0.62, 0.24  # inches
_STRETCH = 2.0  # an interval may make an axis so much longer than the means do
_MANY, _WIDER = 8, 5.0  # beyond so many arms the figure is so wide
_ALIKE = 3  # ranges that differ by no more have the same limits
_NAME, _LINE, _DOT = 1.0, 0.12, 0.06  # inches: the longest name, its height, half a marker
_RINGS = (0.03, 0.08, 0.14, 0.22, 0.32, 0.45, 0.6, 0.8, 1.05, 1.35, 1.7, 2.1)
_ANGLES = 24
_FAR = 0.16  # a name further from its marker has a line to it


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
        axes = add_axes(figure, _LEFT, _FOOT, side, side)
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
        _names(axes, found, pairs, side)
        better = " (better →)" if direction(found.grid.primary) == "up" else " (← better)"
        names = [fit(scale.name, side - 1, better) for scale in found.both]
        axes.set_xlabel(names[0], labelpad=2)
        axes.set_ylabel(names[1], labelpad=2)
    return figure


def _figure(found: Scales) -> tuple[Figure, float]:
    """A figure with its headline and legend, and the side of the square left to draw in."""
    width = COLUMN if len(found.arms) <= _MANY else _WIDER
    side = width - _LEFT - _EDGE
    room = width - 0.12
    small = fit(found.small.name, room / 3)
    title = headline(found.large.summary, f"beside {small}", room)
    metric = f"differences in {found.grid.primary} from "
    title.insert(1, metric + fit(found.reference, room - text_width(metric)))
    absent = len(found.small.summary.results.absent)
    if absent:
        cells = len(found.small.summary.grid.cells)
        title.append(f"{small}: {absent} of {cells} runs missing")
    figure = new_figure(width, _FOOT + side + 0.13 * len(title) + 0.1)
    write(figure, 0.06, figure.get_figheight() - 0.05, "\n".join(title), va="top")
    legend = "Bars: 95 % intervals over seeds, paired.\nDashed diagonal: the same at both scales."
    write(figure, 0.06, 0.05, legend, va="bottom", linespacing=1.3)
    return figure, side


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


def _names(axes: Axes, found: Scales, pairs: Sequence[tuple[Interval, ...]], side: float) -> None:
    """Each arm's name beside its marker, with a thin line to it where others are in the way."""
    spans = (axes.get_xlim(), axes.get_ylim())

    def inches(value: float, way: int) -> float:
        low, high = spans[way]
        return min(max((value - low) / (high - low), 0.0), 1.0) * side

    dots = [(inches(small.mean, 0), inches(large.mean, 1)) for small, large in pairs]
    axis = (inches(0, 0), inches(0, 1))
    bars: list[Box] = [(axis[0], 0, axis[0], side), (0, axis[1], side, axis[1])]
    for (x, y), (small, large) in zip(dots, pairs, strict=True):
        bars.append((inches(small.low, 0), y, inches(small.high, 0), y))
        bars.append((x, inches(large.low, 1), x, inches(large.high, 1)))
    labels = [fit(arm, _NAME) for arm in found.arms]
    halo = [withStroke(linewidth=1.5, foreground="white")]
    boxes = _places(dots, [text_width(label) for label in labels], bars, side)
    looks = arm_looks(found.grid)
    for (x, y), box, label, arm in zip(dots, boxes, labels, found.arms, strict=True):
        near = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
        if math.dist((x, y), near) > _FAR:
            path = ([x / side, near[0] / side], [y / side, near[1] / side])
            axes.plot(*path, color=looks[arm].color, lw=0.4, transform=axes.transAxes, zorder=1.5)
        axes.text((box[0] + box[2]) / 2 / side, (box[1] + box[3]) / 2 / side, label, ha="center",
                  va="center", transform=axes.transAxes, zorder=5, path_effects=halo)  # fmt: skip


def _places(
    dots: Sequence[Point], widths: Sequence[float], bars: Sequence[Box], side: float
) -> list[Box]:
    """A box for each name: near its marker, on no other name or marker, and across few bars."""
    markers = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in dots]
    placed: list[Box] = []
    for dot, width in zip(dots, widths, strict=True):

        def cost(candidate: tuple[float, Box]) -> float:
            gap, box = candidate
            covered = sum(_meet(box, other) for other in (*markers, *placed))
            return gap + 0.15 * sum(_meet(box, bar) for bar in bars) + 100 * covered

        placed.append(min(_around(dot, width, side), key=cost)[1])
    return placed


def _around(dot: Point, width: float, side: float) -> Iterator[tuple[float, Box]]:
    """Boxes of a name at growing distance from a marker, inside the axes, with the distance."""
    for gap, step in product(_RINGS, range(_ANGLES)):
        angle = 2 * math.pi * step / _ANGLES
        x = dot[0] + (width / 2 + _DOT + gap) * math.cos(angle)
        y = dot[1] + (_LINE / 2 + _DOT + gap) * math.sin(angle)
        x = min(max(x, width / 2), side - width / 2)
        y = min(max(y, _LINE / 2), side - _LINE / 2)
        yield gap, (x - width / 2, y - _LINE / 2, x + width / 2, y + _LINE / 2)


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
