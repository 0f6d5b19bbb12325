r"""The statistics of a grid: the seed is the unit of replication.

Test images recur in every seed (they are crossed with the seeds, not nested in them), so no
function here treats images as replicates: each takes one number per seed, or the crossed table of
seeds and objects.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

Array = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "undecided"]

LEVEL = 0.05  # of every test, two-sided; intervals hold with 1 - LEVEL
FEWEST_SEEDS = 6  # below it the smallest possible p, 2/2^n, is above .05
EXACT_SEEDS = 20  # so many have all their sign vectors tried; beyond it they are drawn
DRAWN = 2 ** (EXACT_SEEDS - 1)  # and the mirror image of each, which has the same statistic
TIE = 1e-12  # two sums of the same numbers in another order are the same statistic


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


def t_interval(values: Sequence[float] | Array) -> Interval:
    r"""Student t interval of a mean: m +- t_{1 - LEVEL/2, n-1} s / sqrt(n).

    `values` (n,), one per seed, n >= 0. A constant sample has an interval of
    width 0. Raises ValueError for values that are not finite.
    """
    x = _finite(values, 1)
    n = len(x)
    if n < 2:
        return Interval(n, float(x[0]) if n else math.nan, math.nan, math.nan, math.nan)
    mean = float(x.mean())
    sd = 0.0 if np.ptp(x) == 0 else float(x.std(ddof=1))
    half = float(stdtrit(n - 1, 1 - LEVEL / 2)) * sd / math.sqrt(n)
    return Interval(n, mean, mean - half, mean + half, sd)


def crossed_interval(values: Sequence[Sequence[float]] | Array) -> Interval:
    r"""Interval of a mean for new seeds and new objects: m +- t_{1 - LEVEL/2, df} sqrt(V / (n O)).

    `values` (n, O): row = seed, column = object (images of one object averaged first), n, O >= 2.
    With the mean squares of the two-way layout with random seeds and objects, without replicates,
    V = MS_seed + MS_object - MS_rest, which is unbiased, and Satterthwaite's
    df = V^2 / (MS_seed^2 / (n-1) + MS_object^2 / (O-1) + MS_rest^2 / ((n-1) (O-1))).

    It is never narrower than Student's t interval over the seeds' means alone or over the objects'
    means alone: what holds for new seeds and new objects is known no better than what holds for
    either. Where V comes out below MS_seed or MS_object, negative perhaps, the wider of these two
    is the interval: coverage is then above 1 - LEVEL rather than (seen: .79) below it.

    `n` and `sd` are those of the seeds' means. Unknown (NaN) below two seeds or two objects.
    Raises ValueError for values that are not finite. Source: Satterthwaite 1946; Searle, Casella
    and McCulloch, Variance Components, 1992.
    """
    x = _finite(values, 2)
    n, objects = x.shape
    if n < 2 or objects < 2:
        return Interval(n, float(x.mean()) if x.size else math.nan, math.nan, math.nan, math.nan)
    seeds = t_interval(x.mean(axis=1))
    things = t_interval(x.mean(axis=0))
    rest = x - x.mean(axis=1)[:, None] - x.mean(axis=0) + seeds.mean
    freedom = np.array([n - 1, objects - 1, (n - 1) * (objects - 1)])
    squares = np.array([objects * seeds.sd**2, n * things.sd**2, (rest**2).sum() / freedom[2]])
    v = float(squares[0] + squares[1] - squares[2])
    half = max(seeds.half, things.half)
    if v > squares[:2].max():
        df = v**2 / float((squares**2 / freedom).sum())
        half = max(half, float(stdtrit(df, 1 - LEVEL / 2)) * math.sqrt(v / x.size))
    return Interval(n, seeds.mean, seeds.mean - half, seeds.mean + half, seeds.sd)


@dataclass(frozen=True)
class Superiority:
    """P(A > B): the share of seeds in which A was better, with its interval."""

    share: float
    low: float
    high: float


def superiority(values: Sequence[float] | Array, *, sign: int) -> Superiority:
    r"""Probability that A beats B at the same seed: k / n, k = wins + ties / 2.

    `values` (n,) differences A - B, n >= 1; `sign` is +1 where more is better, -1 where less is.
    The interval is Clopper and Pearson's (1934), from quantiles of the beta distribution, which
    take half a win as they take a whole one. Raises ValueError without a value or for NaN.
    Source: Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, MLSys 2021.
    """
    x = sign * _finite(values, 1)
    n, tail = len(x), LEVEL / 2
    if n == 0:
        raise ValueError("P(A > B) needs the difference of at least one seed, seen none")
    k = int((x > 0).sum()) + int((x == 0).sum()) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Superiority(k / n, low, high)


@dataclass(frozen=True)
class SignFlip:
    """Outcome of the joint sign flip: per contrast Student's t, the p of that contrast alone and
    the p adjusted for all of them; `smallest` is the least p that n seeds can give. `vectors` of
    signs were tried, all there are if `exact`, and the mirror image of each counts with it."""

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
    up to 20 seeds (smallest p 2/2^n, whatever C is); beyond, 2^19 drawn with a fixed seed and
    their mirror images.

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
    single, adjusted = step_down(d[None], sign_vectors(n))
    vectors = min(2 ** (n - 1), DRAWN)
    return SignFlip(
        n=n,
        t=tuple(student_t(column) for column in d.T),
        single=tuple(single[0].tolist()),
        adjusted=tuple(adjusted[0].tolist()),
        smallest=1 / vectors,
        vectors=vectors,
        exact=n <= EXACT_SEEDS,
    )


def step_down(d: Array, signs: Iterable[Array]) -> tuple[Array, Array]:
    """Single and adjusted p (T, C) of the joint sign flip of T grids at once: `d` (T, n, C) are
    their differences, `signs` blocks of sign vectors (K, n), the identity among them."""
    rms = np.sqrt((d**2).mean(axis=1, keepdims=True))
    unit = np.divide(d, rms * d.shape[1], out=np.zeros_like(d), where=rms > 0)
    observed = np.abs(unit.sum(axis=1))
    order = np.argsort(-observed, axis=1, kind="stable")
    unit = np.take_along_axis(unit, order[:, None, :], axis=2)
    observed = np.take_along_axis(observed, order, axis=1)
    single, stepped, vectors = np.zeros_like(observed), np.zeros_like(observed), 0
    for block in signs:
        r = np.abs(block @ unit)
        rest = np.maximum.accumulate(r[:, :, ::-1], axis=2)[:, :, ::-1]  # of this and later ones
        single += np.count_nonzero(r >= observed[:, None, :] - TIE, axis=1)
        stepped += np.count_nonzero(rest >= observed[:, None, :] - TIE, axis=1)
        vectors += len(block)
    adjusted = np.maximum.accumulate(stepped / vectors, axis=1)
    back = np.argsort(order, axis=1)
    return np.take_along_axis(single / vectors, back, 1), np.take_along_axis(adjusted, back, 1)


def sign_vectors(n: int, most: int = DRAWN) -> Iterator[Array]:
    """Sign vectors (K, n) in blocks, the identity first: all of them, or `most` with a fixed
    seed where there are more. The first seed keeps its sign: flipping all seeds leaves |t| as it
    is, so half of the 2^n vectors carry the whole distribution."""
    total, block = min(2 ** (n - 1), most), 2**14
    generator = np.random.default_rng(0)
    for start in range(0, total, block):
        index = np.arange(start, min(start + block, total))
        if 2 ** (n - 1) <= most:
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


def _finite(values: object, dimensions: int) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != dimensions:
        raise ValueError(f"expected {dimensions}-dimensional values, seen shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{int((~np.isfinite(x)).sum())} of {x.size} values are not finite")
    return x
