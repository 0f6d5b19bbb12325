"""The statistics of two scales: do the arms' means of one run agree with those of another?

Arrays of arms are (A,), of their pairs (P,), P = A (A - 1) / 2: pairs (i, j), i < j, in the order
of `itertools.combinations`.
"""

import math
from itertools import combinations
from typing import cast

import numpy as np
from scipy.special import ndtri, stdtrit

from analysis.stats import TIE, Array, Interval, sign_vectors, step_down

LEVEL = 0.025  # of each scale, so that the pairs of both together keep .05
FEWEST = 7  # seeds: below it the smallest possible p, 2/2^n, is above LEVEL
FEWEST_ARMS = 4  # of a correlation with an interval


def order(values: Array) -> Array:
    """Which pairs of arms a scale separates, and how: (..., P) of +1, -1 and 0 (not separated).

    `values` (..., n, A): row = seed, column = arm, of one run or of many at once; +1 if the pair's
    first arm has the larger mean. All pairs of a run are tested together as by
    `stats.joint_sign_flip`; a pair is separated if its adjusted p is at most LEVEL. All 0 below
    FEWEST seeds. Raises ValueError for values that are not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("the order of arms needs a finite value of each seed and arm")
    first, second = np.triu_indices(values.shape[-1], 1)
    found, n = signs(values.mean(axis=-2)), values.shape[-2]
    if n < FEWEST:
        return np.zeros_like(found)
    differences = values[..., first] - values[..., second]
    _, adjusted = step_down(differences.reshape(-1, n, len(first)), sign_vectors(n))
    return cast(Array, np.where(adjusted.reshape(found.shape) <= LEVEL, found, 0.0))


def signs(means: Array) -> Array:
    """(..., P) +1 where a pair's first arm has the larger mean (..., A), -1 the smaller, 0 the
    same."""
    first, second = np.triu_indices(means.shape[-1], 1)
    difference = means[..., first] - means[..., second]
    return cast(Array, np.where(np.abs(difference) > TIE, np.sign(difference), 0.0))


def orders_three(apart: Array, arms: int) -> bool:
    """Whether there are three of the `arms` of which each pair is separated (`order`)."""
    separated = dict(zip(combinations(range(arms), 2), apart != 0, strict=True))
    triples = combinations(range(arms), 3)
    return any(all(separated[pair] for pair in combinations(three, 2)) for three in triples)


def rank_correlation(means: tuple[Array, Array], orders: tuple[Array, Array]) -> Interval:
    r"""Kendall's tau-a of the means of two scales, and an interval for that of the true means.

    tau = S(sign_1 sign_2) / P, S a sum over the P pairs; equal means count 0. With C of the pairs
    separated at both scales in the same direction, D in opposite ones and U others, the true tau
    lies in [(C - D - U) / P, (C - D + U) / P] unless a pair is separated wrongly: so with at least
    95 % confidence, whatever the true means are, if differences of seeds lie symmetrically about
    their mean, as the sign flip supposes. The interval always holds the estimate; it is
    conservative, and [-1, 1] where no pair is separated at both scales.

    A bootstrap over seeds does not serve: a pair that nothing separates is a coin flip in each
    resample, which draws tau to 0 and makes the interval too narrow. Source of the bounds: those
    of ranks by Mogstad, Romano, Shaikh and Wilhelm, Inference for Ranks with Applications to
    Mobility across Neighbourhoods and Academic Achievement across Countries, Review of Economic
    Studies 91(1), 2024.
    """
    tau = float((signs(means[0]) * signs(means[1])).mean())
    agreement = orders[0] * orders[1]
    middle, rest = float(agreement.mean()), float((agreement == 0).mean())
    return Interval(len(means[0]), tau, middle - rest, middle + rest, math.nan)


def ranks(means: Array, apart: Array, *, turn: int) -> list[tuple[int, int, int]]:
    """By arm: its rank, and the best and worst true rank that the separated pairs leave.

    1 is the best, equal means share the better rank; `apart` is `order` of the same scale, `turn`
    +1 where more is better, -1 where less is. The ranges of all arms hold together unless a pair
    is separated wrongly. Source: as of `rank_correlation`.
    """
    count = len(means)
    first, second = np.triu_indices(count, 1)
    beats, separated = np.zeros((count, count)), np.zeros((count, count))
    for table, found in ((beats, signs(means)), (separated, apart)):
        table[first, second], table[second, first] = turn * found, -turn * found
    rank = 1 + (beats < 0).sum(axis=1)
    best, worst = 1 + (separated < 0).sum(axis=1), count - (separated > 0).sum(axis=1)
    return list(zip(rank.tolist(), best.tolist(), worst.tolist(), strict=True))


def reliability(values: Array) -> float:
    """Cronbach's alpha of the arms' means over seeds x arms: 1 - MS_rest / MS_arm, in [0, 1].

    The share of the means' variance that is no noise of the seeds; 0 where the means differ no
    more than noise makes them. `values` (n, A), n, A >= 2. Source: Cronbach, Psychometrika 1951.
    """
    n, count = values.shape
    means = values.mean(axis=0)
    if np.ptp(means) <= TIE:
        return 0.0
    rest = values - values.mean(axis=1, keepdims=True) - means + values.mean()
    noise = float((rest**2).sum()) / ((n - 1) * (count - 1))
    return max(0.0, float(1 - noise / (n * means.var(ddof=1))))


def correlation(small: Array, large: Array) -> Interval | None:
    """Pearson's r of the means (A,) of two scales, with Fisher's 95 % interval.

    tanh(atanh r +- 1.96 / sqrt(A - 3)), for the arms as a sample of such arms. None below
    FEWEST_ARMS arms and where all means of a scale are the same. Source: Fisher, Metron 1921.
    """
    count = len(small)
    if count < FEWEST_ARMS or min(np.ptp(small), np.ptp(large)) <= TIE:
        return None
    r = float(np.corrcoef(small, large)[0, 1])
    if abs(r) > 1 - TIE:
        return Interval(count, r, r, r, math.nan)
    z, half = math.atanh(r), float(ndtri(0.975)) / math.sqrt(count - 3)
    return Interval(count, r, math.tanh(z - half), math.tanh(z + half), math.nan)


def furthest(small: Array, large: Array) -> int:
    """The arm furthest from the mean of all, each scale in its standard deviations."""
    gaps = [means - means.mean() for means in (small, large)]
    return int(np.argmax(sum((gap / max(float(gap.std()), TIE)) ** 2 for gap in gaps)))


def welch(large: Interval, small: Interval) -> Interval:
    """Large minus small with Welch's 95 % interval, for means of two independent samples.

    NaN ends where one of the two has no interval. Source: Welch, Biometrika 1947.
    """
    parts = np.array([large.sd**2 / large.n, small.sd**2 / small.n])
    mean, total = large.mean - small.mean, float(parts.sum())
    half = total  # 0 for two constants, NaN without an interval
    if total > 0:
        freedom = total**2 / float((parts**2 / [large.n - 1, small.n - 1]).sum())
        half = float(stdtrit(freedom, 0.975)) * math.sqrt(total)
    return Interval(large.n + small.n, mean, mean - half, mean + half, math.nan)
