"""The power of the paired t test and of the joint sign flip."""

import math
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtri, stdtrit

from analysis.stats import FEWEST_SEEDS, LEVEL, Array, sign_vectors, step_down

POWER = 0.8  # with which an effect is said to be found
TRIALS = 1000  # simulated grids: the standard error of a power is .016 at most
VECTORS = 2**9  # sign vectors of a simulated test, all there are up to ten seeds
_BATCH = 100


def t_power(effect: float, n: int) -> float:
    """Power of the two-sided paired t test with n seeds, n >= 2.

    `effect` = true difference / sd of the paired differences; by the noncentral t distribution.
    Findings of the wrong sign do not count: they are fewer than 1e-4 where the power is above .5.
    """
    critical = float(stdtrit(n - 1, 1 - LEVEL / 2))
    return 1 - float(nctdtr(n - 1, abs(effect) * math.sqrt(n), critical))


def smallest_detectable(sd: float, n: int) -> float:
    """The true difference that a two-sided paired t test finds with probability POWER.

    `sd` of the paired differences, n seeds; for one contrast alone. NaN below two seeds or
    without an sd; 0 for sd = 0.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    return sd * _standardised(n)


@cache  # the same few n in every contrast of every metric
def _standardised(n: int) -> float:
    most = (float(stdtrit(n - 1, 1 - LEVEL / 2)) * 2 + 10) / math.sqrt(n)
    return float(brentq(lambda effect: t_power(effect, n) - POWER, 0.0, most))


def seeds_needed(sd: float, effect: float, *, power: float = POWER) -> int:
    """The fewest seeds, six at least, with which a two-sided paired t test has `power`.

    `sd` of the paired differences, `effect` the true difference, in the same unit. Raises
    ValueError for an effect of 0 or an sd or effect that is not finite.
    """
    if not math.isfinite(sd) or not math.isfinite(effect) or effect == 0 or sd < 0:
        raise ValueError(f"expected sd >= 0 and an effect other than 0, seen {sd} and {effect}")
    if sd == 0:
        return FEWEST_SEEDS
    normal = (float(ndtri(1 - LEVEL / 2)) + float(ndtri(power))) * sd / abs(effect)
    n = max(FEWEST_SEEDS, math.ceil(normal**2))  # a lower bound, and exact for many seeds
    while n < 10_000 and t_power(effect / sd, n) < power:
        n += 1
    return n


def joint_power(differences: Array, shifts: Array, n: int, *, trials: int = TRIALS) -> Array:
    """Per contrast, how often the joint sign flip finds it (adjusted p <= LEVEL) at n seeds.

    `differences` (seeds, C) of a grid: simulated ones are normal with their covariance and the
    means `shifts` (C,). The test is `stats.joint_sign_flip`; beyond ten seeds on 2^9 drawn sign
    vectors and their mirror images. Seeded, so the same arguments give the same power; 0 below
    six seeds.
    """
    seen, count = differences.shape
    if n < FEWEST_SEEDS:
        return np.zeros(count)
    centred = (differences - differences.mean(axis=0)) / math.sqrt(max(1, seen - 1))
    rng = np.random.default_rng(0)
    signs = [*sign_vectors(n, VECTORS)]
    found = np.zeros(count)
    for _ in range(0, trials, _BATCH):
        d = rng.normal(size=(_BATCH, n, seen)) @ centred + shifts
        found += (step_down(d, signs)[1] <= LEVEL).sum(axis=0)
    return found / (_BATCH * math.ceil(trials / _BATCH))
