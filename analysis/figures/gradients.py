"""Histograms of what the gradient branch is taught and what it predicts."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.binariness import of_histogram
from analysis.figures.style import (
    BLUE,
    TEXT_WIDTH,
    add_axes,
    fit,
    log_scale,
    style,
    titled_figure,
    write,
)
from analysis.kept import OTHER_LABEL, Counts, Histograms, Pixels, pooled, shown_arm
from analysis.load import Results
from analysis.shares import taught
from analysis.summary import Summary

_LEGEND = "Grey: labels; blue: predictions; dotted: either at the first recorded moment."
_BINS = 64  # drawn, of the 256 recorded
_LEFT, _FOOT, _TALL, _ROW, _GAP = 0.75, 0.52, 0.95, 1.06, 0.16  # inches


def histograms(summary: Summary) -> Figure | None:
    """Gradient labels and predictions per decoder stage; None if no run recorded any or was
    taught by them.

    A row for the baseline and one for the arm whose label differs most from it; a column per
    stage, coarse to fine. Grey area: labels, blue line: predictions, at the last recorded moment
    of the training, dotted: at the first; share of pixels per bin on a log scale, over all seeds
    of the arm. Each panel says what share lies within .05 of 0 or 1.
    """
    found = _found(summary.results) if taught(summary.results) else {}
    if not found:
        return None
    stages = max(seen.labels.shape[1] for seen in found.values())
    with style():
        tall = _FOOT + _ROW * len(found) - (_ROW - _TALL)
        subject = "gradient labels and predictions"
        figure = titled_figure(summary, subject, TEXT_WIDTH, tall + 0.18)
        write(figure, 0.06, 0.05, _LEGEND, va="bottom")
        wide = (TEXT_WIDTH - _LEFT - 0.08) / stages - _GAP
        floor = min(_least(n) for seen in found.values() for n in (seen.labels, seen.predictions))
        for row, (arm, seen) in enumerate(found.items()):
            bottom = tall - row * _ROW - _TALL
            for stage in range(seen.labels.shape[1]):
                left = _LEFT + stage * (wide + _GAP)
                axes = add_axes(figure, left, bottom, wide, _TALL)
                _draw(axes, seen.labels[:, stage], seen.predictions[:, stage], floor)
                _label(axes, arm, stage, stages, first=row == 0, last=row == len(found) - 1)
    return figure


def _found(results: Results) -> dict[str, Histograms]:
    """Counts of the shown arms, by arm."""
    counts = {arm: found for arm in results.grid.arms if (found := pooled(results, arm))}
    if not counts:
        return {}
    shown = shown_arm(results, counts)
    labels = counts[shown].labels
    distances = {
        arm: _distance(found.labels, labels)
        for arm, found in counts.items()
        if found.labels.shape == labels.shape
    }
    other = max(distances, key=lambda arm: distances[arm])
    arms = [shown, other] if distances[other] > OTHER_LABEL else [shown]
    return {arm: counts[arm] for arm in arms}


def _distance(one: Counts, other: Counts) -> float:
    """Wasserstein distance of two arms' labels of the finest stage at the last moment."""
    a, b = (np.cumsum(counts[-1, -1]) / max(1.0, counts[-1, -1].sum()) for counts in (one, other))
    return float(np.abs(a - b).mean())


def _shares(counts: Counts) -> Pixels:
    """Share of the pixels in each drawn bin, from recorded counts (256,)."""
    binned: Pixels = counts.reshape(_BINS, -1).sum(axis=1) / max(1.0, counts.sum())
    return binned


def _least(counts: Counts) -> float:
    shares = np.array([_shares(one) for one in counts.reshape(-1, counts.shape[-1])])
    return float(shares[shares > 0].min()) if (shares > 0).any() else 1e-6


def _draw(axes: Axes, labels: Counts, predictions: Counts, floor: float) -> None:
    edges = np.linspace(0, 1, _BINS + 1)
    axes.stairs(_shares(labels[-1]), edges, fill=True, color="0.78", baseline=floor / 2)
    for counts, color in ((labels, "0.35"), (predictions, BLUE)):
        if len(counts) > 1:
            axes.stairs(_shares(counts[0]), edges, color=color, lw=0.7, ls=":",
                        baseline=floor / 2)  # fmt: skip
    axes.stairs(_shares(predictions[-1]), edges, color=BLUE, lw=0.9, baseline=floor / 2)
    log_scale(axes)
    axes.set_ylim(floor / 2, 8)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    ends = [f"{100 * of_histogram(counts[-1]).near:.0f} %" for counts in (labels, predictions)]
    words = f"near 0 or 1: {ends[0]}, predicted {ends[1]}"
    axes.text(0.03, 0.98, words, transform=axes.transAxes, va="top", color="0.25")


def _label(axes: Axes, arm: str, stage: int, stages: int, *, first: bool, last: bool) -> None:
    if first:
        which = {0: " (coarsest)", stages - 1: " (finest)"}.get(stage, "")
        axes.set_title(f"stage {stage + 1}{which if stages > 1 else ''}", pad=3)
    if stage == 0:
        axes.set_ylabel(f"{fit(arm, _TALL + 0.1)}\nshare of pixels", labelpad=2)
    else:
        axes.tick_params(labelleft=False)
    if last:
        axes.set_xlabel("gradient value", labelpad=2)
    else:
        axes.tick_params(labelbottom=False)
