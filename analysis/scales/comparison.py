"""The comparison of two runs of one grid.

They are presets that share no data, size or setting, so nothing is paired between them; within
each the seed is the unit.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import cast

import numpy as np

from analysis.grid import Contrast, Grid
from analysis.load import seed_means
from analysis.metrics import sign
from analysis.scales.agreement import (
    correlation,
    furthest,
    order,
    orders_three,
    rank_correlation,
    ranks,
    reliability,
    welch,
)
from analysis.scales.checked import common_arms
from analysis.stats import Array, Interval, t_interval
from analysis.summary import Summary, alone


@dataclass(frozen=True)
class Scale:
    """One run of the grid: `values` (n, A) of the primary metric, row = seed that is complete in
    all common arms, column = common arm. `label` is its preset's name, or its folder's where both
    runs have the same preset."""

    label: str
    summary: Summary
    seeds: tuple[int, ...]
    values: Array

    @property
    def name(self) -> str:
        """`preset laptop`, or the folder."""
        same = self.label == self.summary.grid.preset
        return f"preset {self.label}" if same else self.label

    @cached_property
    def means(self) -> Array:
        """(A,), over the seeds."""
        return cast(Array, self.values.mean(axis=0))

    @cached_property
    def order(self) -> Array:
        """(P,): which pairs are separated, and how (`agreement.order`)."""
        return order(self.values)

    @property
    def separates(self) -> int:
        """The number of pairs it separates."""
        return int((self.order != 0).sum())

    @cached_property
    def ranks(self) -> list[tuple[int, int, int]]:
        """By arm its rank and the range of the true one (`agreement.ranks`)."""
        return ranks(self.means, self.order, turn=sign(self.summary.grid.primary))

    @cached_property
    def reliability(self) -> float:
        """Of the arms' means (`agreement.reliability`)."""
        return reliability(self.values)

    def difference(self, arm: int, minus: int) -> Interval:
        """One arm minus another, paired by seed, with its 95 % interval."""
        return t_interval(self.values[:, arm] - self.values[:, minus])


@dataclass(frozen=True)
class Change:
    """A contrast at both scales, and `change`, large minus small. Of two arms that found no word
    in any seed of a scale there is no interval."""

    contrast: Contrast
    small: Interval
    large: Interval
    change: Interval


@dataclass(frozen=True)
class Scales:
    """Two runs of one grid over their common `arms`, in the order of the large one.

    `tau` is None where neither scale orders three arms, `r` below four arms or where all means of
    a scale are the same; `r_without` leaves the arm `furthest` from the mean out. The intervals
    are those of `agreement.rank_correlation` and `agreement.correlation`, n the number of arms.
    """

    arms: tuple[str, ...]
    small: Scale
    large: Scale
    tau: Interval | None
    r: Interval | None
    furthest: str
    r_without: Interval | None
    changes: tuple[Change, ...]

    def separated(self, way: int) -> list[tuple[str, str]]:
        """The pairs that both scales separate, the same way (1) or opposite ways (-1)."""
        pairs = zip(combinations(self.arms, 2), self.agreement, strict=True)
        return [pair for pair, found in pairs if found == way]

    @property
    def grid(self) -> Grid:
        """The grid as the large scale ran it."""
        return self.large.summary.grid

    @property
    def both(self) -> tuple[Scale, Scale]:
        """The small scale, then the large one."""
        return self.small, self.large

    @property
    def agreement(self) -> Array:
        """(P,) +1 where both scales separate a pair the same way, -1 opposite ways, else 0."""
        return self.small.order * self.large.order

    @property
    def ceiling(self) -> float:
        """The r to expect of two scales whose true means agree wholly, since noise lowers it:
        sqrt(reliability reliability). Source: Spearman, American Journal of Psychology 1904."""
        return math.sqrt(self.small.reliability * self.large.reliability)

    @property
    def reference(self) -> str:
        """The arm that others are drawn against: the baseline, if both scales have it."""
        baseline = self.grid.baseline
        return baseline if baseline in self.arms else self.arms[0]


def compare(small: Summary, large: Summary) -> Scales:
    """The arms that two runs of one grid have in common, by its primary metric.

    Raises what `checked.common_arms` raises, and ValueError for fewer than two seeds that
    are complete in all common arms.
    """
    arms = common_arms(small, large)
    labels = _labels(small, large)
    one, other = _scale(labels[0], small, arms), _scale(labels[1], large, arms)
    away = furthest(one.means, other.means)
    kept = np.arange(len(arms)) != away
    tau = rank_correlation((one.means, other.means), (one.order, other.order))
    return Scales(
        arms=arms,
        small=one,
        large=other,
        tau=tau if any(orders_three(scale.order, len(arms)) for scale in (one, other)) else None,
        r=correlation(one.means, other.means),
        furthest=arms[away],
        r_without=correlation(one.means[kept], other.means[kept]),
        changes=_changes(arms, one, other),
    )


def _labels(small: Summary, large: Summary) -> tuple[str, str]:
    names = [
        (small.grid.preset, large.grid.preset),
        (small.results.folder.name, large.results.folder.name),
        (str(small.results.folder), str(large.results.folder)),
    ]
    return next(pair for pair in names if pair[0] != pair[1])


def _scale(label: str, summary: Summary, arms: tuple[str, ...]) -> Scale:
    means = seed_means(summary.results, summary.grid.primary)[[*arms]].dropna()
    if len(means) < 2:
        seeds = {arm: len(summary.arms[arm, summary.grid.primary].seeds) for arm in arms}
        done = ", ".join(f"{arm} {count}" for arm, count in seeds.items())
        raise ValueError(
            f"{summary.results.folder}: {len(means)} seeds are complete in all common arms "
            f"(complete runs: {done}), expected at least two; run the grid to its end first"
        )
    values = cast(Array, means.to_numpy(dtype=np.float64))
    return Scale(label, summary, tuple(int(seed) for seed in means.index), values)


def _changes(arms: tuple[str, ...], small: Scale, large: Scale) -> tuple[Change, ...]:
    """The contrasts that both scales name, in whichever direction, as the large one has them."""
    known = {frozenset((c.arm, c.minus)) for c in small.summary.grid.contrasts}
    rows = []
    for contrast in large.summary.grid.contrasts:
        pair = (contrast.arm, contrast.minus)
        if frozenset(pair) in known:
            first, second = map(arms.index, pair)
            found = [
                alone(scale.difference(first, second))
                if {*pair} <= {*scale.summary.silent}
                else scale.difference(first, second)
                for scale in (small, large)
            ]
            rows.append(Change(contrast, found[0], found[1], welch(found[1], found[0])))
    return tuple(rows)
