"""Gradient labels and predictions over training, from the files that runs leave."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.binariness import of_histogram
from analysis.figures import COLUMN, new_figure, style
from analysis.figures.curves import curves
from analysis.figures.style import Look, arm_looks, fit, log_scale
from analysis.gradient_maps.figures import draw_histogram, frame, panel_grid
from analysis.kept import Counts, histograms, pooled, with_other_labels
from analysis.load import Results

DRAWN = 32  # bins, of the 256 recorded: a coarse stage has few pixels
COLOURS = ("#440154", "#3B528B", "#21908C", "#5DC863", "#E3B505")  # dark to light: early to late


def training_histograms(run: Path, title: str) -> Figure:
    """Labels and predictions of every decoder stage at the recorded moments, log scale.

    Raises:
        ValueError: a run that recorded none, or whose file is damaged.
    """
    seen = histograms(run)
    if seen is None:
        raise ValueError(
            f"{run}: no gradient maps were recorded over training; is the run finished, and does "
            "its model predict gradients?"
        )
    stages = seen.predictions.shape[1]
    parts = (("label", seen.labels), ("prediction", seen.predictions))
    with style():
        figure = new_figure(COLUMN, 1.1 + 0.9 * stages)
        grid = panel_grid(figure, stages, 2, title, foot=0.5)
        for column, (name, counts) in enumerate(parts):
            for stage in range(stages):
                axes = grid[stage, column]
                _moments(axes, seen.steps, counts[:, stage])
                axes.set_title(f"{name}, stage {stage + 1}", loc="left", pad=2)
        lines, names = grid[0, 1].get_legend_handles_labels()
        figure.legend(lines, names, loc="lower center", ncols=len(names), handlelength=1,
                      columnspacing=1)  # fmt: skip
        figure.text(0.02, 0.19 / figure.get_figheight(), "after step")
    return figure


def _moments(axes: Axes, moments: tuple[int, ...], counts: Counts) -> None:
    for index, step in enumerate(moments):
        late = index / max(1, len(moments) - 1)
        colour = COLOURS[round(late * (len(COLOURS) - 1))]
        draw_histogram(
            axes, counts[index].reshape(DRAWN, -1).sum(1), color=colour, label=str(step)
        )
    frame(axes)


def prediction_table(results: Results) -> pd.DataFrame:
    """`binariness` of labels and predictions by arm, stage and step, over all seeds of the arm.

    Runs that kept no maps are left out; no rows if none did. Raises ValueError as `pooled`.
    """
    rows = []
    for arm in results.grid.arms:
        found = pooled(results, arm)
        if found is None:
            continue
        for kind, counts in (("label", found.labels), ("prediction", found.predictions)):
            for stage in range(counts.shape[1]):
                for step, moment in zip(found.steps, counts, strict=True):
                    place = {"arm": arm, "map": kind, "stage": stage + 1, "step": step}
                    rows.append(place | of_histogram(moment[stage]).as_dict())
    return pd.DataFrame(rows)


def excess_curves(results: Results) -> Figure | None:
    """Excess BCE over training by arm: mean over seeds; band: 95 % Student t interval, if above 0.

    Excess BCE is what BCE has above the entropy of its label, in nats: what is left to learn.
    Every arm is measured against its own label; dashed: arms whose label is known to differ from
    the baseline's. None where no run measured it.
    """
    found = curves(results, "excess_bce")
    if not found:
        return None
    with style():
        foot = 0.42 + 0.13 * -(-len(found) // 3)
        figure = new_figure(COLUMN, 1.55 + foot)
        height = figure.get_figheight()
        axes = figure.add_axes((0.15, foot / height, 0.82, 1.3 / height))
        means = np.concatenate([curve["mean"].to_numpy(dtype=float) for curve in found.values()])
        if (means > 0).all():
            log_scale(axes)
            axes.set_ylim(means.min() / 1.5, means.max() * 1.5)
        others = with_other_labels(results)
        for arm, curve in found.items():
            line = "--" if arm in others else "-"
            _curve(axes, curve, arm_looks(results.grid)[arm], line, fit(arm, 0.75))
        axes.set(xlabel="step", ylabel="excess BCE, nats")
        name = fit(f"{results.grid.name}, {results.grid.preset}", 1.0)
        axes.set_title(f"{name}: left to learn, each by its own label", loc="left")
        figure.legend(loc="lower center", ncols=3, columnspacing=1.2, handlelength=1.6)
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, look: Look, line: str, name: str) -> None:
    at, mean, low = curve.index, curve["mean"], curve["low"]
    axes.plot(at, mean, line, color=look.color, marker=look.marker, ms=3, mew=0, label=name)
    if look.named and (low > 0).all():  # what reaches below 0 has no place on a log scale
        axes.fill_between(at, low, curve["high"], color=look.color, alpha=0.12, lw=0)
