"""The statistics of two scales: against other formulas for the same, and their coverage."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from scipy import stats as reference

from analysis.scales.agreement import (
    correlation,
    furthest,
    order,
    orders_three,
    rank_correlation,
    ranks,
    reliability,
    signs,
    welch,
)
from analysis.stats import joint_sign_flip, t_interval
from tests.analysis.simulate import three_errors

WAYS = some.sampled_from([-1.0, 0.0, 1.0])


def drawn(
    rng: np.random.Generator, means: list[float], trials: int = 1, noise: float = 1.0
) -> Any:
    """Values (trials, 8 seeds, A) of arms with these true means, whose seeds share a shift."""
    shape = (trials, 8, len(means))
    return rng.normal(means, noise, shape) + rng.normal(0, 3, (trials, 8, 1))


def test_pairs_far_apart_are_separated_with_the_sign_of_their_difference() -> None:
    values = drawn(np.random.default_rng(0), [0.0, 0.0, 30.0, -30.0])[0]
    assert order(values).tolist() == [0, -1, 1, -1, 1, 1]
    assert order(-values).tolist() == [0, 1, -1, 1, -1, -1]


@pytest.mark.parametrize(("seeds", "found"), [(6, 0), (7, 3)])
def test_it_takes_seven_seeds_to_separate_a_pair(seeds: int, found: int) -> None:
    values = drawn(np.random.default_rng(1), [0.0, 30.0, 60.0])[0][:seeds]
    assert np.count_nonzero(order(values)) == found


def test_a_pair_is_separated_at_half_of_five_percent_in_one_run_as_in_many() -> None:
    runs = drawn(np.random.default_rng(12), [0.0, 1.5, 3.0], 40)
    first, second = np.triu_indices(3, 1)
    adjusted = np.array([joint_sign_flip(r[:, first] - r[:, second]).adjusted for r in runs])
    found = order(runs)
    assert ((adjusted > 0.025) & (adjusted <= 0.05)).any()
    assert ((found != 0) == (adjusted <= 0.025)).all()
    assert [order(run).tolist() for run in runs] == found.tolist()


def test_three_arms_are_ordered_only_if_each_pair_of_them_is_separated() -> None:
    chain = np.array([1.0, 1, 0, 1, 0, 0])  # 0-1, 0-2 and 1-2 of four arms
    assert orders_three(chain, 4)
    star = np.array([1.0, 1, 1, 0, 0, 0])  # 0 from each other arm alone
    assert not orders_three(star, 4)


def test_tau_is_kendall_s_and_equal_means_count_0() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 9))
    nothing = (np.zeros(36), np.zeros(36))
    found = rank_correlation((one, other), nothing)
    assert found.mean == pytest.approx(reference.kendalltau(one, other).statistic)
    assert (found.low, found.high) == (-1, 1)
    tied = rank_correlation((np.array([0.0, 0, 1]), np.array([0.0, 1, 2])), (np.zeros(3),) * 2)
    assert tied.mean == pytest.approx(2 / 3)


@given(arrays(float, 6, elements=WAYS), arrays(float, 6, elements=WAYS))
def test_the_interval_of_tau_is_between_all_open_pairs_one_way_and_all_the_other(
    one: Any, other: Any
) -> None:
    found = rank_correlation((np.arange(4.0),) * 2, (one, other))
    agree, contradict = (int((one * other == way).sum()) for way in (1, -1))
    rest = 6 - agree - contradict
    assert found.low == pytest.approx((agree - contradict - rest) / 6)
    assert found.high == pytest.approx((agree - contradict + rest) / 6)


@given(some.integers(0, 99))
def test_the_interval_of_tau_holds_the_estimate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = [drawn(rng, [0.0, 0.5, 4.0, 8.0])[0] for _ in range(2)]
    means, orders = ([f(v) for v in scales] for f in (lambda v: v.mean(axis=0), order))
    found = rank_correlation((means[0], means[1]), (orders[0], orders[1]))
    assert found.low - 1e-12 <= found.mean <= found.high + 1e-12


def test_ranks_count_better_arms_and_their_range_the_separated_pairs() -> None:
    means, apart = np.array([5.0, 3, 3, 1]), np.array([0.0, 0, 1, 0, 1, 0])
    assert ranks(means, apart, turn=1) == [(1, 1, 3), (2, 1, 3), (2, 1, 4), (4, 3, 4)]
    assert ranks(means, apart, turn=-1) == [(4, 2, 4), (2, 2, 4), (2, 1, 4), (1, 1, 2)]


def test_all_true_ranks_lie_in_their_ranges_in_95_of_100_runs() -> None:
    rng, true = np.random.default_rng(3), [0.0, 0.05, 0.1, 3.0, 3.05, 6.0]
    held = 0
    for values in drawn(rng, true, 200):
        found = ranks(values.mean(axis=0), order(values), turn=1)
        held += all(best <= 6 - i <= worst for i, (_, best, worst) in enumerate(found))
    assert held / 200 >= 0.95 - three_errors(0.95, 200)


def test_reliability_is_cronbach_s_alpha_with_seeds_as_items() -> None:
    values = drawn(np.random.default_rng(4), [0.0, 0.5, 1.0, 2.0])[0]
    items, total = values.var(axis=1, ddof=1).sum(), values.sum(axis=0).var(ddof=1)
    assert reliability(values) == pytest.approx(8 / 7 * (1 - items / total))
    assert reliability(values + 100 * np.arange(8)[:, None]) == pytest.approx(reliability(values))
    assert reliability(np.tile([0.1, 0.2, 0.7], (8, 1))) == pytest.approx(1)
    assert reliability(np.repeat(values[:, :1], 3, axis=1)) == 0


def test_reliability_is_never_negative() -> None:
    found = [reliability(v) for v in drawn(np.random.default_rng(5), [0.0] * 5, 50)]
    assert min(found) == 0
    assert max(found) < 1


def test_r_and_its_interval_are_those_of_fisher() -> None:
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=(2, 7))
    found, expected = correlation(one, other), reference.pearsonr(one, other)
    assert found is not None
    assert found.mean == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))


def test_r_needs_four_arms_that_are_not_all_the_same() -> None:
    rising = np.arange(4.0)
    assert correlation(rising[:3], rising[:3]) is None
    assert correlation(rising, np.full(4, 0.3)) is None
    found = correlation(rising, -2 * rising)
    assert found is not None
    assert (found.low, found.mean, found.high) == pytest.approx((-1, -1, -1))


def test_one_arm_far_from_all_others_makes_r_large_by_itself() -> None:
    rng, far = np.random.default_rng(7), np.array([0.0, 0, 0, 20, 0, 0])
    one, other = rng.normal(size=(2, 6)) + far
    found = correlation(one, other)
    assert found is not None
    assert found.mean > 0.95
    assert furthest(one, other) == 3


def test_noise_alone_lowers_r_to_the_root_of_the_reliabilities(
    record_property: Callable[[str, object], None],
) -> None:
    rng, trials = np.random.default_rng(8), 300
    true = [*np.linspace(0, 2, 12)]
    one, other = (drawn(rng, true, trials) for _ in range(2))
    found = [np.corrcoef(a.mean(axis=0), b.mean(axis=0))[0, 1]
             for a, b in zip(one, other, strict=True)]  # fmt: skip
    ceiling = [np.sqrt(reliability(a) * reliability(b)) for a, b in zip(one, other, strict=True)]
    record_property(
        "counted",
        f"12 arms whose true means are the same at two scales of 8 seeds: r {np.mean(found):.2f} "
        f"on average, root of the reliabilities {np.mean(ceiling):.2f}",
    )
    assert np.mean(found) < 0.85
    assert np.mean(ceiling) == pytest.approx(np.mean(found), abs=0.06)


def test_the_change_between_two_scales_has_welch_s_interval() -> None:
    rng = np.random.default_rng(9)
    large, small = rng.normal(1, 1, 8), rng.normal(0, 3, 12)
    found = welch(t_interval(large), t_interval(small))
    expected = reference.ttest_ind(large, small, equal_var=False).confidence_interval(0.95)
    assert found.mean == pytest.approx(large.mean() - small.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    still = welch(t_interval([2.0, 2.0]), t_interval([0.5, 0.5]))
    assert (still.low, still.high) == (1.5, 1.5)


def resampled(rng: np.random.Generator, values: Any, resamples: int = 200) -> Any:
    """Signs (resamples, P) of all pairs of one run, its seeds drawn with replacement."""
    means = values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    first, second = np.triu_indices(values.shape[1], 1)
    return np.sign(means[:, first] - means[:, second])


NEAR = [0.0, 0.05, 0.1, 0.15, 0.2, 3.0, 6.0]
TRUE: dict[str, tuple[list[float], list[float], float]] = {  # and what a bootstrap covers at most
    "five near ties in the same order": (NEAR, NEAR, 0.15),
    "five near ties in opposite orders": (NEAR, [*NEAR[4::-1], 3.0, 6.0], 0.2),
    "no differences at all": ([0.0] * 7, [0.0] * 7, 1.0),
}


@pytest.mark.parametrize("kind", TRUE)
def test_the_interval_of_tau_covers_where_a_bootstrap_over_seeds_does_not(
    kind: str, record_property: Callable[[str, object], None]
) -> None:
    rng, trials = np.random.default_rng(10), 200
    small, large, at_most = TRUE[kind]
    tau = float((signs(np.array(small)) * signs(np.array(large))).mean())
    one, other = drawn(rng, small, trials), drawn(rng, large, trials)
    covered = np.zeros((2, trials))
    for trial, pair in enumerate(zip(order(one), order(other), strict=True)):
        means = (one[trial].mean(axis=0), other[trial].mean(axis=0))
        found = rank_correlation(means, pair)
        drawings = (resampled(rng, one[trial]) * resampled(rng, other[trial])).mean(axis=1)
        ends = ((found.low, found.high), np.quantile(drawings, [0.025, 0.975]))
        covered[:, trial] = [low - 1e-9 <= tau <= high + 1e-9 for low, high in ends]
    ours, bootstrap = covered.mean(axis=1)
    record_property(
        "counted",
        f"95 % interval of tau, {kind} (true tau {tau:+.2f}, 7 arms, 8 seeds): covers {ours:.3f}, "
        f"a bootstrap over seeds {bootstrap:.3f}",
    )
    assert ours >= 0.95 - three_errors(0.95, trials)
    assert bootstrap <= at_most


def test_no_pair_of_two_scales_is_separated_wrongly_in_95_of_100_runs(
    record_property: Callable[[str, object], None],
) -> None:
    rng, trials = np.random.default_rng(11), 1000
    wrong = np.zeros(trials, dtype=bool)
    for _ in range(2):
        wrong |= (order(drawn(rng, [0.0] * 6, trials)) != 0).any(axis=1)
    record_property(
        "counted",
        f"{wrong.sum()} of {trials} times a pair of 6 equal arms was separated at one of 2 scales",
    )
    assert 0.02 < wrong.mean() <= 0.05 + three_errors(0.05, trials)
