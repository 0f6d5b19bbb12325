r"""The statistics of a grid: the seed is the unit of replication.

Test images recur in every seed (they are crossed with the seeds, not nested in them), so no
function here treats images as replicates: each takes one number per seed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import nctdtr, stdtrit

Array = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "undecided"]

FEWEST_SEEDS = 6  # below it the smallest possible p, 2/2^n, is above .05
EXACT_SEEDS = 20  # up to 2^19 sign vectors are enumerated, beyond it as many are drawn
_TIE = 1e-12  # two sums of the same numbers in another order are the same statistic


@dataclass(frozen=True)
class Interval:
    """Mean of n values with a two-sided interval; low, high and sd are NaN below two values."""

    n: int
    mean: float
    low: float
    high: float
    sd: float

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; False without an interval."""
        return self.low > 0 or self.high < 0


def t_interval(values: Sequence[float] | Array, *, level: float = 0.95) -> Interval:
    r"""Student t interval of a mean: m +- t_{(1+level)/2, n-1} s / sqrt(n).

    `values` (n,), one per seed, n >= 0; `level` in (0, 1). A constant sample has an interval of
    width 0. Raises ValueError for values that are not finite.
    """
    x = _finite(values, 1)
    n = len(x)
    if n < 2:
        return Interval(n, float(x[0]) if n else math.nan, math.nan, math.nan, math.nan)
    mean = float(x.mean())
    sd = 0.0 if np.ptp(x) == 0 else float(x.std(ddof=1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return Interval(n, mean, mean - half, mean + half, sd)


@dataclass(frozen=True)
class SignFlip:
    """Outcome of the joint sign flip: per contrast Student's t, the p of that contrast alone and
    the p adjusted for all of them; `smallest` is the least p that n seeds can give."""

    n: int
    t: tuple[float, ...]
    single: tuple[float, ...]
    adjusted: tuple[float, ...]
    smallest: float
    vectors: int
    exact: bool


def joint_sign_flip(differences: Sequence[Sequence[float]] | Array) -> SignFlip:
    r"""Test C paired contrasts together by flipping the signs of whole seeds.

    `differences` (n, C): row = seed, column = contrast, n >= 6. Under the null a seed's
    differences are as likely with the other sign; a sign vector flips all contrasts of a seed
    alike, which keeps their correlation. Statistic max |t|, step-down (Westfall and Young 1993,
    algorithm 4.1; Romano and Wolf 2005): the k-th largest |t| is compared with the maximum over
    the contrasts not yet passed, and adjusted p never decrease along the order. All 2^n vectors
    up to 20 seeds (smallest p 2/2^n, whatever C is), 2^20 drawn with a fixed seed beyond.

    |t| is handled as r = |mean| / rms in [0, 1], of which it is an increasing function for fixed
    n (t^2 = (n-1) r^2 / (1 - r^2)): a constant difference has r = 1 and no division by 0; all
    differences 0 has r = 0 and p = 1. Raises ValueError below six seeds or for NaN.
    """
    d = _finite(differences, 2)
    n, count = d.shape
    if n < FEWEST_SEEDS or count < 1:
        raise ValueError(
            f"the sign flip needs at least {FEWEST_SEEDS} seeds and a contrast, seen {d.shape}: "
            f"with {n} seeds no p below {2 / 2**n:.3g} exists"
        )
    rms = np.sqrt((d**2).mean(axis=0))
    unit = np.divide(d, rms * n, out=np.zeros_like(d), where=rms > 0)
    observed = np.abs(unit.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    single, stepped, vectors = np.zeros(count), np.zeros(count), 0
    for signs in _sign_vectors(n):
        r = np.abs(signs @ unit[:, order])
        rest = np.maximum.accumulate(r[:, ::-1], axis=1)[:, ::-1]  # max over this and later ones
        single += (r >= observed[order] - _TIE).sum(axis=0)
        stepped += (rest >= observed[order] - _TIE).sum(axis=0)
        vectors += len(signs)
    back = np.argsort(order)
    return SignFlip(
        n=n,
        t=tuple(student_t(column) for column in d.T),
        single=tuple((single / vectors)[back].tolist()),
        adjusted=tuple(np.maximum.accumulate(stepped / vectors)[back].tolist()),
        smallest=1 / vectors,
        vectors=2 * vectors,
        exact=n <= EXACT_SEEDS,
    )


def _sign_vectors(n: int) -> Iterator[Array]:
    """Sign vectors in blocks, the identity first. The first seed keeps its sign: flipping all
    seeds leaves |t| as it is, so half of the 2^n vectors carry the whole distribution."""
    total, block = 2 ** (min(n, EXACT_SEEDS) - 1), 2**14
    generator = np.random.default_rng(0)
    for start in range(0, total, block):
        index = np.arange(start, min(start + block, total))
        if n <= EXACT_SEEDS:
            bits = (index[:, None] >> np.arange(n)) & 1
        else:
            bits = generator.integers(0, 2, (len(index), n)) * (index[:, None] > 0)
        yield 1.0 - 2.0 * bits


def student_t(values: Sequence[float] | Array) -> float:
    """t of a mean against 0: +-inf for a constant other than 0, 0 for all zeros, NaN for n < 2."""
    interval = t_interval(values)
    if interval.n < 2:
        return math.nan
    if interval.sd == 0:
        return math.copysign(math.inf, interval.mean) if interval.mean else 0.0
    return interval.mean / (interval.sd / math.sqrt(interval.n))


def verdict(difference: Interval, *, margin: float, sign: int) -> Verdict:
    """Judge an interval of arm minus other against a margin set before the runs.

    `sign` is +1 where more is better, -1 where less is. With the interval turned so that more is
    better: "better" if all of it lies above +margin, "worse" if all lies below -margin,
    "equivalent" if all lies within [-margin, margin], else (or without an interval) "undecided".
    """
    low, high = sorted((sign * difference.low, sign * difference.high))
    if low > margin:
        return "better"
    if high < -margin:
        return "worse"
    return "equivalent" if -margin <= low and high <= margin else "undecided"


def effect_size(difference: Interval) -> float:
    """Paired effect size d_z = mean / sd of the differences; NaN where sd is 0 or unknown."""
    return difference.mean / difference.sd if difference.sd > 0 else math.nan


def smallest_detectable(sd: float, n: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """The true difference that a two-sided paired t test finds with probability `power`.

    `sd` of the paired differences, n seeds; by the noncentral t distribution, for one contrast
    alone. NaN below two seeds or without an sd; 0 for sd = 0.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    critical = float(stdtrit(n - 1, (1 + level) / 2))

    def shortfall(shift: float) -> float:
        return 1 - float(nctdtr(n - 1, shift, critical)) - power  # the other tail is < 1e-4 here

    return float(brentq(shortfall, 0.0, 2 * critical + 10)) * sd / math.sqrt(n)


def _finite(values: object, dimensions: int) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != dimensions:
        raise ValueError(f"expected {dimensions}-dimensional values, seen shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{int((~np.isfinite(x)).sum())} of {x.size} values are not finite")
    return x
