"""Gradient labels and predictions over training, from the files that runs leave."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures import COLUMN, new_figure, style
from analysis.figures.curves import curves
from analysis.figures.style import Look, arm_looks, fit, log_scale
from analysis.gradient_maps.binariness import of_histogram
from analysis.gradient_maps.figures import draw_histogram, frame, panel_grid
from analysis.load import Results

Counts = NDArray[np.int64]
FILE = "gradient_maps.npz"
DRAWN = 32  # bins, of the 256 recorded: a coarse stage has few pixels
COLOURS = ("#440154", "#3B528B", "#21908C", "#5DC863", "#E3B505")  # dark to light: early to late


@dataclass(frozen=True)
class Histograms:
    """Counts (moments, stages, bins) over [0, 1]; `moments` are steps, stages coarse to fine."""

    moments: tuple[int, ...]
    labels: Counts
    predictions: Counts


def histograms(run: Path) -> Histograms:
    """What a run recorded of its gradient maps over training.

    Raises:
        ValueError: a run that kept none, or whose model predicts no gradient.
    """
    path = run / FILE
    if not path.is_file():
        raise ValueError(f"{path} not found: is the run finished, were its maps deleted?")
    with np.load(path, allow_pickle=False) as file:
        moments, labels, found = (file[k] for k in ("moments", "hist_label", "hist_prediction"))
    if found.ndim != 3 or found.size == 0:
        raise ValueError(f"{path}: no predictions were recorded; its model has no gradient branch")
    return Histograms(tuple(int(step) for step in moments), labels, found)


def training_histograms(run: Path, title: str) -> Figure:
    """Labels and predictions of every decoder stage at the recorded moments, log scale.

    Raises:
        ValueError: as `histograms`.
    """
    seen = histograms(run)
    stages = seen.predictions.shape[1]
    parts = (("label", seen.labels), ("prediction", seen.predictions))
    with style():
        figure = new_figure(COLUMN, 1.1 + 0.9 * stages)
        grid = panel_grid(figure, stages, 2, title, foot=0.5)
        for column, (name, counts) in enumerate(parts):
            for stage in range(stages):
                axes = grid[stage, column]
                _moments(axes, seen.moments, counts[:, stage])
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
    """`binariness` of labels and predictions by arm, stage and moment, over all its seeds.

    Runs that kept no maps are left out; no rows if none did.
    """
    rows = []
    for arm in results.grid.arms:
        for kind, stage, step, counts in _pooled(results, arm):
            place = {"arm": arm, "map": kind, "stage": stage, "step": step}
            rows.append(place | of_histogram(counts).as_dict())
    return pd.DataFrame(rows)


def _pooled(results: Results, arm: str) -> list[tuple[str, int, int, Counts]]:
    """(label or prediction, stage, step, counts summed over the arm's seeds)."""
    runs = [results.run_folder(arm, seed) for seed in results.grid.seeds]
    kept = []
    for run in runs:
        if run is not None and (run / FILE).is_file():
            try:
                kept.append(histograms(run))
            except ValueError:
                continue
    if not kept:
        return []
    labels = np.sum([one.labels for one in kept], axis=0)
    found = np.sum([one.predictions for one in kept], axis=0)
    return [
        (kind, stage + 1, step, counts[k, stage])
        for kind, counts in (("label", labels), ("prediction", found))
        for stage in range(counts.shape[1])
        for k, step in enumerate(kept[0].moments)
    ]


def excess_curves(results: Results) -> Figure | None:
    """Excess BCE over training by arm: mean over seeds; band: 95 % Student t interval, if above 0.

    Excess BCE is what BCE has above the entropy of its label, in nats: what is left to learn.
    Every arm has its own label. None where no run measured it.
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
        for arm, curve in found.items():
            _curve(axes, curve, arm_looks(results.grid)[arm], fit(arm, 0.75))
        axes.set(xlabel="step", ylabel="excess BCE, nats")
        name = fit(f"{results.grid.name}, {results.grid.preset}", 1.4)
        axes.set_title(f"{name}: left to learn", loc="left")
        figure.legend(loc="lower center", ncols=3, columnspacing=1.2, handlelength=1.6)
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, look: Look, name: str) -> None:
    at, mean, low = curve.index, curve["mean"], curve["low"]
    axes.plot(at, mean, look.line, color=look.color, marker=look.marker, ms=3, mew=0, label=name)
    if look.named and (low > 0).all():  # what reaches below 0 has no place on a log scale
        axes.fill_between(at, low, curve["high"], color=look.color, alpha=0.12, lw=0)
