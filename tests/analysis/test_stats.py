"""The statistics against scipy, brute force and simulation."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from analysis.stats import (
    Interval,
    effect_size,
    joint_sign_flip,
    smallest_detectable,
    student_t,
    t_interval,
    verdict,
)
from analysis.summary import best_separated


def within_error(share: float, rate: float, trials: int, *, errors: float = 3) -> bool:
    """Whether a simulated share agrees with a rate within Monte-Carlo standard errors."""
    return abs(share - rate) <= errors * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize("n", [2, 6, 8, 30])
def test_the_t_interval_and_t_are_those_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.3, 1, n)
    known = reference.ttest_1samp(values, 0)
    low, high = known.confidence_interval(0.95)
    found = t_interval(values)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert student_t(values) == pytest.approx(known.statistic, rel=1e-12)
    assert effect_size(found) == pytest.approx(known.statistic / math.sqrt(n))


def test_an_interval_of_fewer_than_two_seeds_is_unknown_and_of_equal_ones_has_no_width() -> None:
    assert t_interval([]).n == 0
    assert t_interval([0.7]).mean == 0.7
    assert math.isnan(t_interval([0.7]).low)
    assert not t_interval([0.7]).excludes_zero
    constant = t_interval([0.1] * 7)
    assert (constant.low, constant.high, constant.sd) == pytest.approx((0.1, 0.1, 0.0))
    assert math.isnan(effect_size(constant))


@pytest.mark.parametrize("n", [6, 8, 10])
@pytest.mark.parametrize("shape", ["normal", "t3"])
def test_the_t_interval_covers_the_mean_at_its_rate(n: int, shape: str) -> None:
    trials = 4000
    rng = np.random.default_rng(n)
    draws = rng.normal(size=(trials, n)) if shape == "normal" else rng.standard_t(3, (trials, n))
    hits = sum(i.low <= 0 <= i.high for i in map(t_interval, draws))
    assert 0.93 <= hits / trials <= 0.97
    if shape == "normal":
        assert within_error(hits / trials, 0.95, trials)


@pytest.mark.parametrize("n", [6, 7, 8])
def test_the_sign_flip_equals_brute_force_over_all_sign_vectors(n: int) -> None:
    d = np.random.default_rng(n).normal(0.4, 1, (n, 3))
    observed = np.array([abs(reference.ttest_1samp(c, 0).statistic) for c in d.T])
    flipped = np.array(
        [
            [abs(reference.ttest_1samp(c, 0).statistic) for c in (d * np.array(s)[:, None]).T]
            for s in itertools.product([1, -1], repeat=n)
        ]
    )
    at_least = flipped >= observed * (1 - 1e-9)
    order = np.argsort(-observed)
    steps = [
        (flipped[:, order[k:]].max(axis=1) >= observed[order[k]] * (1 - 1e-9)).mean()
        for k in range(3)
    ]
    found = joint_sign_flip(d)
    assert found.single == pytest.approx(at_least.mean(axis=0).tolist())
    assert np.array(found.adjusted)[order] == pytest.approx(np.maximum.accumulate(steps))
    assert np.abs(found.t) == pytest.approx(observed)
    assert (found.vectors, found.exact) == (2**n, True)


def test_the_sign_flip_of_one_contrast_equals_scipys_permutation_test() -> None:
    values = np.random.default_rng(3).normal(0.5, 1, 9)
    known = reference.permutation_test(
        (values,), lambda x, axis: np.abs(x.mean(axis)), vectorized=True,
        permutation_type="samples", alternative="greater", n_resamples=np.inf,
    )  # fmt: skip
    assert joint_sign_flip(values[:, None]).adjusted[0] == pytest.approx(known.pvalue)


def test_adjusted_p_never_decrease_along_the_order_nor_fall_below_the_single_ones() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = joint_sign_flip(rng.normal(0.3, 1, (7, 5)))
        order = np.argsort(-np.abs(found.t))
        assert (np.diff(np.array(found.adjusted)[order]) >= 0).all()
        assert (np.array(found.adjusted) >= np.array(found.single)).all()


@pytest.mark.parametrize("contrasts", [1, 6, 40])
def test_the_smallest_adjusted_p_is_two_in_two_to_the_n_whatever_the_contrasts(
    contrasts: int,
) -> None:
    d = 1 + 0.01 * np.random.default_rng(0).normal(size=(8, contrasts))
    found = joint_sign_flip(d)
    assert found.smallest == 2 / 2**8
    assert found.adjusted == (found.smallest,) * contrasts


def test_contrast_order_and_scale_and_a_common_flip_change_no_p() -> None:
    d = np.random.default_rng(5).normal(0.4, 1, (8, 4))
    known = joint_sign_flip(d).adjusted
    assert joint_sign_flip(d[:, ::-1]).adjusted == known[::-1]
    assert joint_sign_flip(d * [1e-6, 1, 1e6, -1]).adjusted == known


def test_constant_and_zero_differences_are_neither_nan_nor_errors() -> None:
    noise = np.random.default_rng(0).normal(size=8)
    found = joint_sign_flip(np.stack([np.full(8, 0.1), np.zeros(8), noise], axis=1))
    assert found.t[:2] == (math.inf, 0.0)
    assert found.adjusted[:2] == (2 / 2**8, 1.0)
    assert student_t([-0.1, -0.1]) == -math.inf
    assert math.isnan(student_t([0.1]))


def test_many_seeds_draw_sign_vectors_reproducibly() -> None:
    d = np.random.default_rng(0).normal(0.4, 1, (24, 2))
    first, second = joint_sign_flip(d), joint_sign_flip(d)
    assert first == second
    assert not first.exact
    known = [reference.ttest_1samp(c, 0).pvalue for c in d.T]
    assert first.single == pytest.approx(known, abs=0.01)


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.zeros((8, 0)), np.full((8, 2), np.nan)])
def test_too_few_seeds_no_contrasts_and_nan_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"at least 6 seeds|not finite"):
        joint_sign_flip(bad)


def null_grid(rng: np.random.Generator, effects: list[float], n: int = 8) -> np.ndarray:
    """Differences of arms 1.. to arm 0 that share its noise, as contrasts to a baseline do."""
    arms = rng.standard_t(4, (n, len(effects) + 1)) + rng.normal(0, 3, (n, 1))
    return arms[:, 1:] - arms[:, :1] + effects


def test_the_family_wise_error_stays_at_five_percent_over_null_grids() -> None:
    rng, trials = np.random.default_rng(11), 2000
    found = [
        min(joint_sign_flip(null_grid(rng, [0.0] * 6)).adjusted) <= 0.05 for _ in range(trials)
    ]
    assert np.mean(found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert np.mean(found) > 0.03  # and the test is not idle


def test_true_nulls_beside_a_large_effect_are_still_protected() -> None:
    rng, trials = np.random.default_rng(12), 2000
    wrong = [
        min(joint_sign_flip(null_grid(rng, [9.0, 9.0, 0.0, 0.0, 0.0, 0.0])).adjusted[2:]) <= 0.05
        for _ in range(trials)
    ]
    assert np.mean(wrong) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.parametrize("n", [6, 8, 12])
def test_the_smallest_detectable_difference_is_found_with_its_power(n: int) -> None:
    shift, trials = smallest_detectable(1.0, n), 4000
    draws = np.random.default_rng(n).normal(shift, 1, (trials, n))
    power = (reference.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert within_error(power, 0.8, trials)
    assert smallest_detectable(0.0, n) == 0
    assert math.isnan(smallest_detectable(1.0, 1))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.006, 0.010, "better"),
        (-0.010, -0.006, "worse"),
        (-0.004, 0.004, "equivalent"),
        (0.001, 0.004, "equivalent"),
        (-0.005, 0.005, "equivalent"),
        (0.005, 0.010, "undecided"),
        (0.001, 0.010, "undecided"),
        (-0.020, 0.020, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_verdict_is_read_off_the_whole_interval(
    low: float, high: float, expected: str
) -> None:
    interval = Interval(8, (low + high) / 2, low, high, 0.01)
    turned = Interval(8, -(low + high) / 2, -high, -low, 0.01)
    assert verdict(interval, margin=0.005, sign=1) == expected
    assert verdict(turned, margin=0.005, sign=-1) == expected


def test_the_best_of_equal_arms_is_seldom_called_separated() -> None:
    rng, trials = np.random.default_rng(7), 1000
    named = 0
    for _ in range(trials):
        means = rng.normal(size=(8, 7)) + rng.normal(0, 3, (8, 1))
        named += best_separated(pd.DataFrame(means, columns=list("abcdefg")), 1) is not None
    assert named / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
