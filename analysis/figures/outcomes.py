"""Outcomes beside the final score: how soon an arm learned, how much of the gradient it kept."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.intervals import bar, limits
from analysis.figures.style import (
    COLUMN,
    GREY,
    TEXT_WIDTH,
    Look,
    add_axes,
    arm_looks,
    fit,
    seed_counts,
    style,
    text_width,
    titled_figure,
)
from analysis.load import seed_means
from analysis.metrics import OUTCOMES, arrow
from analysis.stats import Interval
from analysis.summary import Summary

_NAMES = {
    "steps_90": "steps to 90 % of the best",
    "G_MAE": "gradient error, G_MAE",
    "G_corr": "gradient correlation, G_corr",
}
_FOOT, _ROW, _GAP = 0.20, 0.21, 0.20  # inches


def outcomes(summary: Summary) -> Figure | None:
    """Per arm, the step at which the validation metric had made 90 % of its way (`steps_90`),
    and mean absolute error and correlation of the predicted gradient (`G_MAE`, `G_corr`).

    Circles: seeds; marker and bar: their mean and its 95 % Student t interval. "no prediction"
    where an arm predicts no gradient, n where arms have different seeds. None if no arm has any.
    """
    metrics = [metric for metric in OUTCOMES if metric in summary.metrics]
    if not metrics:
        return None
    looks = arm_looks(summary.grid)
    arms = list(summary.grid.arms)
    with style():
        subject, body = "outcomes beside the final score", _FOOT + _ROW * len(arms) + 0.22
        width = TEXT_WIDTH if len(metrics) > 1 else COLUMN
        figure = titled_figure(summary, subject, width, body)
        counts = seed_counts(summary)
        labels = [fit(arm, 1.5, counts[arm]) for arm in arms]
        left = 0.16 + max(text_width(label) for label in labels)
        wide = min(2.2, (width - left - 0.06) / len(metrics) - _GAP)
        for column, metric in enumerate(metrics):
            x = left + column * (wide + _GAP)
            axes = add_axes(figure, x, _FOOT, wide, _ROW * len(arms))
            _draw(axes, summary, metric, looks)
            axes.set_title(f"{_NAMES[metric]} {arrow(metric)}", pad=3)
            axes.set_yticks(range(len(arms)), labels if column == 0 else [""] * len(arms))
    return figure


def _draw(axes: Axes, summary: Summary, metric: str, looks: dict[str, Look]) -> None:
    """One outcome: a row for each arm."""
    arms = summary.grid.arms
    means = seed_means(summary.results, metric)
    rows = [summary.arms[arm, metric].mean for arm in arms]
    values = means.to_numpy(dtype=float)
    ran = {cell.arm for cell in summary.grid.cells if cell.state == "complete"}
    lacks = "no value" if metric == "steps_90" else "no prediction"
    gaps = {arm: lacks if arm in ran else "no runs" for arm in arms}
    axes.set_xlim(*limits(values[np.isfinite(values)].tolist(), rows, stretch=0.5))
    for y, arm in enumerate(arms):
        _draw_arm(axes, means[arm].dropna(), rows[y], y, looks[arm], gaps[arm])
        axes.axhline(y, color="0.9", lw=0.4, zorder=0)
    axes.set_ylim(len(arms) - 0.3, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)


def _draw_arm(
    axes: Axes, values: pd.Series, interval: Interval, y: int, look: Look, gap: str
) -> None:
    """Seeds, mean and interval of an arm at `y`; without any, `gap` says why."""
    if not interval.n:
        place = axes.get_yaxis_transform()
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(0.5, y, gap, transform=place, ha="center", va="center", color=GREY, bbox=ground)
        return
    below = [y + 0.3] * len(values)
    axes.plot(values, below, "o", ms=2.2, mfc="none", mec="0.45", mew=0.5, zorder=2)
    bar(axes, interval, y, look.color, 1.6)
    axes.plot(interval.mean, y, look.marker or "o", ms=4.2, color=look.color, mec="white",
              mew=0.5, zorder=4)  # fmt: skip
