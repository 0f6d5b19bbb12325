"""What the tests by simulation share."""

import math

import numpy as np
from numpy.typing import NDArray

from analysis.stats import joint_sign_flip

Array = NDArray[np.float64]


def three_errors(rate: float, trials: int) -> float:
    """Three Monte-Carlo standard errors of a rate."""
    return 3 * math.sqrt(rate * (1 - rate) / trials)


def within_error(share: float, rate: float, trials: int) -> bool:
    """Whether a simulated share agrees with a rate within Monte-Carlo error."""
    return abs(share - rate) <= three_errors(rate, trials)


def null_grid(rng: np.random.Generator, effects: list[float], n: int = 8) -> Array:
    """Differences of arms 1.. to arm 0 that share its noise, as contrasts to a baseline do."""
    arms = rng.standard_t(4, (n, len(effects) + 1)) + rng.normal(0, 3, (n, 1))
    return np.asarray(arms[:, 1:] - arms[:, :1] + effects)


def half_splits(values: Array, trials: int, seed: int) -> Array:
    """Differences (trials, n // 2) between random halves of one arm's n seeds, paired at random:
    an arm against itself."""
    rng = np.random.default_rng(seed)
    half = len(values) // 2
    drawn = rng.permuted(np.tile(values, (trials, 1)), axis=1)
    return np.asarray(drawn[:, :half] - drawn[:, half : 2 * half])


def false_winners(splits: Array) -> float:
    """Share of the splits in which the sign flip finds a difference (p <= .05)."""
    return float(np.mean([joint_sign_flip(d[:, None]).adjusted[0] <= 0.05 for d in splits]))
