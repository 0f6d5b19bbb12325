"""Learning curves: what every arm did while it was trained."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    DARK,
    GREY,
    TEXT_WIDTH,
    Look,
    add_axes,
    arm_looks,
    fit,
    log_scale,
    seed_counts,
    stacked,
    style,
    titled_figure,
)
from analysis.kept import with_other_labels
from analysis.load import Results
from analysis.metrics import arrow
from analysis.stats import t_interval
from analysis.summary import Summary

Curves = dict[str, pd.DataFrame]
_SMALL = {
    "excess_bce": "excess BCE, own label",
    "grad_share": "gradient share",
    "lr": "learning rate",
}
_DECADES = 30.0  # a wider span of values is drawn on a log scale
_MOST_BANDS = 3  # bands of more arms hide each other: seeds differ more than arms do
_LEFT, _FOOT, _WIDE, _NAME_ROOM = 0.62, 0.36, 3.0, 0.92  # inches
_SMALL_WIDE, _EDGE, _GAP, _LABEL = 1.45, 0.18, 0.24, 0.12


def learning_curves(summary: Summary) -> Figure | None:
    """Learning curves of every arm; None if no run has validations.

    Upper left: the validation metric against the step, mean over seeds, with a 95 % Student t
    band (of the baseline alone if there are more than three arms). Lower left: the paired
    difference from the baseline with the band of every arm, arms named at the end of their
    line, with n where arms have different seeds. Right: excess BCE (dashed: arms whose label
    differs from the baseline's), the gradient loss's share of the decoder's gradient (log scales
    where they span decades), and the learning rate. Of many arms those of no contrast are grey.
    """
    metric = summary.grid.primary
    values = _values(summary.results, f"val_{metric}")
    main = {arm: _band(frame) for arm, frame in values.items()}
    if not main:
        return None
    apart = _differences(values, summary.grid.baseline)
    with style():
        named = _LABEL * len(main)
        heights = [1.75, max(1.35, named)] if apart else [max(2.0, named)]
        tall = sum(heights) + _GAP * (len(heights) - 1)
        subject = f"{metric} on the validation images"
        figure = titled_figure(summary, subject, TEXT_WIDTH, _FOOT + tall + 0.10)
        looks = arm_looks(summary.grid)
        upper = add_axes(figure, _LEFT, _FOOT + tall - heights[0], _WIDE, heights[0])
        banded = list(main) if len(main) <= _MOST_BANDS or not apart else [summary.grid.baseline]
        _draw(upper, main, looks, bands=banded)
        upper.set_ylabel(metric, labelpad=3)
        lower = upper
        if apart:
            upper.tick_params(labelbottom=False)
            lower = add_axes(figure, _LEFT, _FOOT, _WIDE, heights[1])
            _draw(lower, apart, looks, bands=list(apart))
            lower.set_ylabel(f"difference (better {arrow(metric)})", labelpad=3)
            # tick labels with more digits would push the axis' name off the figure
            lower.ticklabel_format(axis="y", scilimits=(-4, 4))
        lower.set_xlabel("step", labelpad=2)
        _name_lines(lower, apart or main, looks, heights[-1], seed_counts(summary))
        _draw_small(figure, summary, looks, tall)
    return figure


def curves(results: Results, column: str) -> Curves:
    """A column of the history: mean, low and high (95 % Student t) over the seeds of each arm.

    One frame per arm, indexed by the steps done, at those at which every completed seed of that
    arm has a finite value; arms without any are left out. low and high are NaN for a single seed.
    """
    return {arm: _band(frame) for arm, frame in _values(results, column).items()}


def _values(results: Results, column: str) -> Curves:
    """Per arm a frame of values, step by seed, at the steps that all its seeds have.

    A step is how many were done: history.csv counts from 0.
    """
    history = results.history
    if column not in history.columns:
        return {}
    values = pd.to_numeric(history[column], errors="coerce").replace([np.inf, -np.inf], np.nan)
    rows = history[["arm", "seed"]].assign(step=history["step"] + 1, value=values)
    frames = {
        arm: rows[rows["arm"] == arm].pivot(index="step", columns="seed", values="value").dropna()
        for arm in results.grid.arms
    }
    return {arm: frame for arm, frame in frames.items() if frame.size}


def _differences(values: Curves, baseline: str) -> Curves:
    """Mean and band of each arm minus the baseline, over the seeds and steps both have."""
    if baseline not in values or len(values) < 2:
        return {}
    paired = {arm: (frame - values[baseline]).dropna(axis=1, how="all").dropna()
              for arm, frame in values.items()}  # fmt: skip
    return {arm: _band(frame) for arm, frame in paired.items() if frame.size}


def _band(frame: pd.DataFrame) -> pd.DataFrame:
    rows = [t_interval(row) for row in frame.to_numpy(dtype=float)]
    ends = [(i.mean, i.low, i.high) for i in rows]
    return pd.DataFrame(ends, index=frame.index, columns=["mean", "low", "high"])


def _draw(
    axes: Axes,
    found: Curves,
    looks: Mapping[str, Look],
    *,
    bands: Mapping[str, object] | list[str],
) -> None:
    for arm, curve in found.items():
        look = looks[arm]
        steps = curve.index.to_numpy(dtype=float)
        marker = look.marker if len(steps) <= 30 else ""
        axes.plot(steps, curve["mean"], look.line, color=look.color, lw=1.1 if look.named else 0.7,
                  marker=marker, ms=2.8, mew=0, zorder=3 if look.named else 2,
                  clip_on=False)  # fmt: skip
        if arm in bands and look.named and curve["low"].notna().all():
            axes.fill_between(steps, curve["low"], curve["high"], color=look.color, alpha=0.12,
                              lw=0, zorder=1)  # fmt: skip
    axes.set_xlim(0, max(1.0, max(float(curve.index.max()) for curve in found.values())))
    axes.locator_params(nbins=5)


def _name_lines(
    axes: Axes,
    found: Curves,
    looks: Mapping[str, Look],
    tall: float,
    counts: Mapping[str, str],
) -> None:
    """Each arm's name beside the end of its line, moved apart where lines end together."""
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    ends = [(curve["mean"].iloc[-1] - low) / (high - low) * tall for curve in found.values()]
    spots = stacked(ends, _LABEL, 0.05, tall)
    for (arm, curve), end, spot in zip(found.items(), ends, spots, strict=True):
        look = looks[arm]
        path = [float(curve.index[-1]) / right, 1 + 0.03 / _WIDE, 1 + 0.13 / _WIDE]
        axes.plot(path, [end / tall, end / tall, spot / tall], lw=0.4, color=look.color,
                  transform=axes.transAxes, clip_on=False, zorder=1)  # fmt: skip
        axes.plot(1 + 0.17 / _WIDE, spot / tall, look.marker, color=look.color, ms=2.8, mew=0,
                  transform=axes.transAxes, clip_on=False)  # fmt: skip
        axes.text(1 + 0.22 / _WIDE, spot / tall, fit(arm, _NAME_ROOM, counts[arm]), va="center",
                  color="black" if look.named else GREY, transform=axes.transAxes)  # fmt: skip


def _draw_small(figure: Figure, summary: Summary, looks: Mapping[str, Look], tall: float) -> None:
    """Panels under each other at the right."""
    small = {name: found for name in _SMALL if (found := curves(summary.results, name))}
    height = (tall - _GAP * (len(small) - 1)) / max(1, len(small))
    for index, (name, found) in enumerate(small.items()):
        bottom = _FOOT + tall - height - index * (height + _GAP)
        axes = add_axes(figure, TEXT_WIDTH - _SMALL_WIDE - _EDGE, bottom, _SMALL_WIDE, height)
        if name == "lr":
            for curve in _distinct(found):
                axes.plot(curve.index, curve["mean"], color=DARK)
            axes.set_xlim(0, max(1.0, *(float(curve.index.max()) for curve in found.values())))
            axes.locator_params(nbins=5)
        else:
            others = with_other_labels(summary.results) if name == "excess_bce" else ()
            dashed = {arm: replace(looks[arm], line="--") for arm in others}
            _draw(axes, found, {**looks, **dashed}, bands=[])
            if _spans_decades(found):
                log_scale(axes)
        axes.set_title(_SMALL[name], loc="left", pad=3)
        axes.tick_params(axis="x", labelbottom=index == len(small) - 1)
        if axes.get_yscale() == "linear":
            axes.locator_params(axis="y", nbins=4)
    if small:
        axes.set_xlabel("step", labelpad=2)


def _distinct(found: Curves) -> list[pd.DataFrame]:
    """The different ones of several curves: a schedule that all arms share is one line."""
    kept: list[pd.DataFrame] = []
    for curve in found.values():
        if not any(curve["mean"].equals(other["mean"]) for other in kept):
            kept.append(curve)
    return kept


def _spans_decades(found: Curves) -> bool:
    """Whether positive values span more than a linear scale shows; zeros are then not drawn."""
    values = np.concatenate([curve["mean"].to_numpy(dtype=float) for curve in found.values()])
    positive = values[values > 0]
    return bool(
        (values >= 0).all() and positive.size and np.ptp(np.log(positive)) > np.log(_DECADES)
    )
