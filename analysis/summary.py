"""The statistics of a grid as the tables and figures show them: one row per arm or contrast."""

import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from analysis.grid import Contrast, Grid
from analysis.load import Results, object_means, seed_means
from analysis.metrics import EXTRA, METRICS, sign
from analysis.pooled import WON_BY_SILENCE
from analysis.power import smallest_detectable
from analysis.stats import (
    FEWEST_SEEDS,
    Array,
    Interval,
    SignFlip,
    Superiority,
    Verdict,
    crossed_interval,
    joint_sign_flip,
    superiority,
    t_interval,
    verdict,
)


@dataclass(frozen=True)
class ArmRow:
    """One arm by one metric over the seeds that arm completed; `best` is the cell set bold,
    `second` the runner-up by mean, named only beside a best and where all arms have the same
    seeds. Neither is named but by the metrics shown: primary, guards and EXTRA."""

    arm: str
    metric: str
    seeds: tuple[int, ...]
    mean: Interval
    best: bool
    second: bool


@dataclass(frozen=True)
class ContrastRow:
    """One contrast by one metric over the seeds complete in both arms.

    `values` are the differences, seed by seed, and `difference` their interval for this test set;
    `new_images` is the one for new images of this kind (None for a metric of whole runs that
    is no ratio of counts, below two seeds or two objects; its mean weighs every object alike, in a
    ratio by its counts). `superiority` is P(A > B), A better
    (None without a seed), `detectable` the true difference that a paired t test finds with
    probability .8. `p` (adjusted) and `judged` are None where no test is made: on every metric but
    the primary, below six seeds, on a preset that is no evidence. Of two arms that found no word
    in any seed (`silent`) the differences, all 0, say nothing: none of these numbers is there.
    """

    contrast: Contrast
    metric: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    difference: Interval
    new_images: Interval | None
    superiority: Superiority | None
    detectable: float
    p: float | None
    judged: Verdict | None
    silent: bool

    @property
    def identical(self) -> bool:
        """Whether both arms are the same in every seed, to the last digit: hardly two settings."""
        return bool(self.values) and not any(self.values)


@dataclass(frozen=True)
class Summary:
    """Everything a table or figure prints. `flip` is None where no joint test was made, and
    `joint_seeds` are the seeds complete in all arms of the contrasts. `silent` are the arms of
    text detection that found no word in any seed, `silent_once` those in one seed at least."""

    results: Results
    metrics: tuple[str, ...]
    shown: tuple[str, ...]
    arms: dict[tuple[str, str], ArmRow]
    contrasts: dict[str, tuple[ContrastRow, ...]]
    joint_seeds: tuple[int, ...]
    flip: SignFlip | None
    silent: tuple[str, ...]
    silent_once: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The grid that was run."""
        return self.results.grid

    @property
    def primary(self) -> tuple[ContrastRow, ...]:
        """The contrasts by the primary metric: the family of the test."""
        return self.contrasts[self.grid.primary]

    @property
    def identical(self) -> list[Contrast]:
        """The contrasts whose arms are hardly two settings: two that find nothing are no sign."""
        return [row.contrast for row in self.primary if row.identical and not row.silent]


def summarise(results: Results) -> Summary:
    """Apply `stats` to a grid: interval of every arm, difference of every contrast by every
    metric, and the joint test of the primary metric's contrasts."""
    grid = results.grid
    order = [*dict.fromkeys((grid.primary, *grid.guards, *EXTRA)), *METRICS, *results.metrics]
    metrics = tuple(m for m in dict.fromkeys(order) if m in results.metrics)
    shown = tuple(m for m in metrics if m in {grid.primary, *grid.guards, *EXTRA})
    means = {metric: seed_means(results, metric) for metric in metrics}
    silent, silent_once = _silence(grid, means)
    joint = _joint_seeds(grid, means[grid.primary])
    flip = _joint_test(grid, means[grid.primary], joint)
    return Summary(
        results=results,
        metrics=metrics,
        shown=shown,
        arms={
            (row.arm, row.metric): row
            for metric in metrics
            for row in _arm_rows(
                grid, metric, means[metric], metric in shown and grid.test, silent_once
            )
        },
        contrasts={m: _contrast_rows(results, m, means[m], flip, silent) for m in metrics},
        joint_seeds=joint,
        flip=flip,
        silent=silent,
        silent_once=silent_once,
    )


def _silence(
    grid: Grid, means: dict[str, pd.DataFrame]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arms that found no word in any of their seeds, and those in one of them at least."""
    recall = means.get("recall", pd.DataFrame(columns=[*grid.arms]))
    seen = {arm: recall[arm].dropna() == 0 for arm in grid.arms}
    once = tuple(arm for arm, nothing in seen.items() if nothing.any())
    return tuple(arm for arm in once if seen[arm].all()), once


def _arm_rows(
    grid: Grid, metric: str, means: pd.DataFrame, marked: bool, silent_once: tuple[str, ...]
) -> list[ArmRow]:
    compared = means.drop(columns=[*silent_once] if metric in WON_BY_SILENCE else [])
    best = best_separated(compared, sign(metric)) if marked else None
    second = None
    if best is not None and not compared.isna().any(axis=None):  # over the same seeds they compare
        second = (sign(metric) * compared.mean()).drop(best).idxmax()
    rows = []
    for arm in grid.arms:
        column = means[arm].dropna()
        mean, seeds = t_interval(_array(column)), _seeds(column.index)
        rows.append(ArmRow(arm, metric, seeds, mean, arm == best, arm == second))
    return rows


def best_separated(means: pd.DataFrame, turn: int) -> str | None:
    """The best arm by mean, if its paired 95 % interval against every other arm excludes 0.

    `means` has seeds as rows and arms as columns, `turn` is +1 where more is better. None for
    fewer than two arms, or if any pair has fewer than six seeds in common: then nothing is said.
    """
    if means.shape[1] < 2 or means.isna().all().any():
        return None
    best = str((turn * means.mean()).idxmax())
    for other in means.columns.drop(best):
        difference = t_interval(turn * _array((means[best] - means[other]).dropna()))
        if difference.n < FEWEST_SEEDS or not difference.low > 0:
            return None
    return best


def _contrast_rows(
    results: Results,
    metric: str,
    means: pd.DataFrame,
    flip: SignFlip | None,
    silent: tuple[str, ...],
) -> tuple[ContrastRow, ...]:
    grid, turn = results.grid, sign(metric)
    objects = object_means(results, metric)
    rows = []
    for index, contrast in enumerate(grid.contrasts):
        paired = (means[contrast.arm] - means[contrast.minus]).dropna()
        values, seeds = _array(paired), _seeds(paired.index)
        mute = {contrast.arm, contrast.minus} <= {*silent} and not values.any()
        difference = alone(t_interval(values)) if mute else t_interval(values)
        tested = grid.test and metric == grid.primary and not mute
        judged: Verdict | None = None
        if tested and difference.n >= FEWEST_SEEDS:
            judged = verdict(difference, margin=grid.margin, sign=turn)
        rows.append(
            ContrastRow(
                contrast=contrast,
                metric=metric,
                seeds=seeds,
                values=tuple(values.tolist()),
                difference=difference,
                new_images=None if mute else _new_images(contrast, seeds, objects),
                superiority=superiority(values, sign=turn) if seeds and not mute else None,
                detectable=smallest_detectable(difference.sd, difference.n),
                p=flip.adjusted[index] if flip is not None and tested else None,
                judged=judged,
                silent=mute,
            )
        )
    return tuple(rows)


def alone(interval: Interval) -> Interval:
    """The mean without its interval, which says nothing of two arms that found nothing."""
    return replace(interval, low=math.nan, high=math.nan, sd=math.nan)


def _new_images(
    contrast: Contrast, seeds: tuple[int, ...], objects: pd.DataFrame | None
) -> Interval | None:
    """The crossed interval over (seed, object); `objects` has rows (arm, seed)."""
    if objects is None or len(seeds) < 2 or objects.shape[1] < 2:
        return None
    one, other = (objects.loc[arm].loc[list(seeds)] for arm in (contrast.arm, contrast.minus))
    return crossed_interval(cast(Array, (one - other).to_numpy(dtype=np.float64)))


def _joint_seeds(grid: Grid, means: pd.DataFrame) -> tuple[int, ...]:
    arms = list(dict.fromkeys(arm for c in grid.contrasts for arm in (c.arm, c.minus)))
    return _seeds(means[arms].dropna().index) if arms else ()


def _joint_test(grid: Grid, means: pd.DataFrame, seeds: tuple[int, ...]) -> SignFlip | None:
    if not grid.test or not grid.contrasts or len(seeds) < FEWEST_SEEDS:
        return None
    complete = means.loc[list(seeds)]
    differences = [_array(complete[c.arm] - complete[c.minus]) for c in grid.contrasts]
    return joint_sign_flip(np.stack(differences, axis=1))


def _array(values: pd.Series) -> Array:
    return cast(Array, values.to_numpy(dtype=np.float64))


def _seeds(index: pd.Index) -> tuple[int, ...]:
    return tuple(int(seed) for seed in index)
