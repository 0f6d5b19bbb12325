"""The paired scatter: what each contrast is on every single test image."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.style import (
    GLYPHS,
    LIGHT,
    STEPS,
    add_axes,
    fit,
    style,
    text_width,
    titled_figure,
    write,
)
from analysis.grid import Contrast
from analysis.load import Results
from analysis.metrics import arrow, sign
from analysis.summary import ContrastRow, Summary
from analysis.wording import WORDING

Limits = tuple[float, float]
_ACROSS, _WIDE, _TALL, _LEFT, _GAP, _FOOT = 3, 2.0, 1.05, 0.62, 0.12, 0.36  # inches but the first
_ROW = _TALL + 0.27
_TIE = 9  # digits: sums of the same numbers in another order are the same value
_MANY = 500  # beyond so many dots a panel is stored as a picture


def paired_scatter(summary: Summary) -> Figure | None:
    """Per contrast, each test image as a dot: difference of the two arms against their mean.

    Paired scatter turned by 45 degrees (Bland and Altman 1986), since arms of an ablation hug
    the diagonal: above the line at 0 the first arm's primary metric is higher, or H_image, where
    that is made of counts. Values are means over the seeds that both arms completed; the
    larger a dot, the more images lie on it; its colour tells the tercile of the object's area, or
    whether there is no, little or much text; grey band: the margin of the primary metric. Each
    panel says on what share of the images the arm is better, and beside it ties, if there are
    any. All panels have the same limits. None without a contrast that has runs, or for a primary
    metric that images do not have.
    """
    metric = summary.results.ranking
    if metric is None:
        return None
    margin = summary.grid.margin if metric == summary.grid.primary else 0.0
    table = summary.results.table[summary.results.table["metric"] == metric]
    size = _sizes(summary.results)
    pairs = {row.contrast: _pairs(table, size, row) for row in summary.primary if row.seeds}
    if not pairs:
        return None
    across = min(_ACROSS, len(pairs))
    down = math.ceil(len(pairs) / across)
    with style():
        width = max(3.5, _LEFT + across * (_WIDE + _GAP))
        several = any(points["size"].nunique() > 1 for points in pairs.values())
        tall = _FOOT + down * _ROW
        figure = titled_figure(summary, f"{metric} by test image", width, tall + 0.17 * several)
        limits = _limits(list(pairs.values()), margin)
        for index, (contrast, points) in enumerate(pairs.items()):
            line, column = divmod(index, across)
            left, bottom = _LEFT + column * (_WIDE + _GAP), tall - (line + 1) * _ROW
            axes = add_axes(figure, left, bottom, _WIDE, _TALL)
            _draw(axes, points, limits, margin, sign(metric))
            _label(axes, contrast, metric, first=column == 0, last=index + across >= len(pairs))
        if several:
            _key(figure, tall + 0.06, WORDING[summary.grid.task].areas)
    return figure


def _label(axes: Axes, contrast: Contrast, metric: str, *, first: bool, last: bool) -> None:
    """Name the panel, and the axes of those at the left (`first`) and at the foot (`last`)."""
    name = f"{fit(contrast.arm, _WIDE / 2)} − {fit(contrast.minus, _WIDE / 2 - 0.15)}"
    axes.set_title(name, pad=3)
    axes.tick_params(labelleft=first, labelbottom=last)
    axes.set_ylabel(f"difference {arrow(metric)}" if first else "", labelpad=2)
    axes.set_xlabel(f"{metric}, mean of both" if last else "", labelpad=2)


def _sizes(results: Results) -> pd.Series:
    """By image the tercile of its area (0 to 2; all 0 if the images do not differ); of text 0
    without a word, 1 and 2 below and above the median of the others."""
    area = results.images["area"]
    cuts = [*np.quantile(area, [1 / 3, 2 / 3])]
    if results.grid.task == "text":
        worded = results.images["components"] > 0
        area = area.where(worded, -1.0)
        cuts = [-0.5, area[worded].median()] if worded.any() else [0.0]
    return pd.Series(np.searchsorted(cuts, area.to_numpy(), side="left"), area.index)


def _pairs(table: pd.DataFrame, size: pd.Series, row: ContrastRow) -> pd.DataFrame:
    """Per image mean and difference of the two arms over the row's seeds, and its size."""
    names = [row.contrast.arm, row.contrast.minus]
    rows = table[table["seed"].isin(row.seeds) & table["arm"].isin(names)]
    means = rows.groupby(["image", "arm"], observed=True)["value"].mean().unstack("arm")
    arm, minus = (means[name] for name in names)
    sizes = size.reindex(means.index.astype(str)).to_numpy()
    return pd.DataFrame({"mean": (arm + minus) / 2, "difference": arm - minus, "size": sizes})


def _limits(pairs: list[pd.DataFrame], margin: float) -> tuple[Limits, Limits]:
    """Limits along the mean and, symmetric, along the difference, with room for the words."""
    mean = np.concatenate([points["mean"].to_numpy() for points in pairs])
    reach = max(margin, *(float(points["difference"].abs().max()) for points in pairs)) or 0.01
    pad = 0.05 * float(np.ptp(mean)) or 0.05
    return (float(mean.min()) - pad, float(mean.max()) + pad), (-1.1 * reach, 1.35 * reach)


def _draw(
    axes: Axes, points: pd.DataFrame, limits: tuple[Limits, Limits], margin: float, turn: int
) -> None:
    axes.axhspan(-margin, margin, color=LIGHT, lw=0, zorder=0)
    axes.axhline(0, color="0.35", lw=0.6, zorder=1)
    for images, size, dots in _dots(points):
        color, marker = STEPS[size]
        axes.plot(dots["mean"], dots["difference"], marker, ms=2.8 * images ** (1 / 3),
                  color=color, alpha=0.8, mew=0, zorder=2, clip_on=False,
                  rasterized=len(points) > _MANY)  # fmt: skip
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.locator_params(nbins=4)
    words = _shares(turn * points["difference"].to_numpy(dtype=float))
    axes.text(0.98, 0.98, words, transform=axes.transAxes, va="top", ha="right")


def _dots(points: pd.DataFrame) -> list[tuple[int, int, pd.DataFrame]]:
    """Images on a dot, their size and all such dots; the fullest first, so below the others."""
    place = points.round(_TIE)
    dots = points.assign(images=place.groupby([*place])["size"].transform("size"))
    dots = dots[~place.duplicated()]
    many = sorted({*dots["images"].tolist()}, reverse=True)
    parts = [(n, size, dots[(dots["images"] == n) & (dots["size"] == size)])
             for n in many for size in range(3)]  # fmt: skip
    return [part for part in parts if len(part[2])]


def _shares(gain: NDArray[np.float64]) -> str:
    """On what share of the images an arm gains; ties are told where there are any."""
    turns = np.sign(gain.round(_TIE))
    better, equal, worse = (100 * float((turns == turn).mean()) for turn in (1, 0, -1))
    if not equal:
        return f"better on {better:.0f} % of {len(gain)}"
    return f"better {better:.0f} %, equal {equal:.0f} %, worse {worse:.0f} %"


def _key(figure: Figure, y: float, sizes: Sequence[str]) -> None:
    x = 0.06
    for name, (color, marker) in zip(sizes, STEPS, strict=False):
        write(figure, x, y, GLYPHS[marker], color=color, va="center")
        write(figure, x + 0.12, y, name, va="center")
        x += 0.24 + text_width(name)
