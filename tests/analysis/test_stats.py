"""The statistics against scipy, brute force and laws (simulations: test_simulations.py)."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as reference

from analysis.stats import (
    Interval,
    crossed_interval,
    effect_size,
    joint_sign_flip,
    student_t,
    superiority,
    t_interval,
    verdict,
)


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


def test_the_crossed_interval_follows_from_the_mean_squares_of_scipys_analysis_of_variance() -> (
    None
):
    x = np.random.default_rng(0).normal(size=(6, 9)) + np.arange(6)[:, None] + np.arange(9)
    n, objects = x.shape
    seeds = objects * reference.tvar(x.mean(axis=1))
    images = n * reference.tvar(x.mean(axis=0))
    within = seeds / reference.f_oneway(*x).statistic * n * (objects - 1)  # objects and rest
    rest = (within - images * (objects - 1)) / ((n - 1) * (objects - 1))
    v = seeds + images - rest
    terms = (seeds, n - 1), (images, objects - 1), (rest, (n - 1) * (objects - 1))
    df = v**2 / sum(square**2 / freedom for square, freedom in terms)
    half = reference.t.ppf(0.975, df) * math.sqrt(v / x.size)
    assert crossed_interval(x).half == pytest.approx(half)


def test_objects_that_behave_alike_leave_the_interval_over_the_seeds() -> None:
    seeds = np.random.default_rng(0).normal(size=8)
    found, known = crossed_interval(np.repeat(seeds[:, None], 5, axis=1)), t_interval(seeds)
    assert (found.low, found.high, found.sd) == pytest.approx((known.low, known.high, known.sd))


def test_seeds_and_objects_change_places_without_changing_the_crossed_interval() -> None:
    x = np.random.default_rng(1).normal(size=(7, 12))
    found, turned = crossed_interval(x), crossed_interval(x.T)
    assert (found.low, found.high) == pytest.approx((turned.low, turned.high))


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0])
def test_the_crossed_interval_is_never_narrower_than_that_over_seeds_or_objects_alone(
    scale: float,
) -> None:
    rng = np.random.default_rng(0)
    for n, objects in [(2, 4), (6, 3), (8, 40)]:
        x = rng.normal(size=(n, objects)) + scale * rng.normal(size=objects)
        alone = (t_interval(x.mean(axis=1)).half, t_interval(x.mean(axis=0)).half)
        assert crossed_interval(x).half >= max(alone)


def test_a_negative_variance_estimate_gives_way_to_the_wider_interval_of_the_two() -> None:
    rest = 10 * np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    for x in (rest + np.arange(4)[:, None], rest + np.arange(3)):
        wider = max(t_interval(x.mean(axis=axis)).half for axis in (0, 1))
        assert crossed_interval(x).half == wider


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (3, 1), (1, 1), (3, 0)])
def test_a_table_of_one_seed_or_one_object_has_no_crossed_interval(shape: tuple[int, int]) -> None:
    assert math.isnan(crossed_interval(np.ones(shape)).low)


def test_a_constant_table_has_a_crossed_interval_without_width_and_nan_is_refused() -> None:
    found = crossed_interval(np.full((4, 3), 0.1))
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    with pytest.raises(ValueError, match="1 of 12 values are not finite"):
        crossed_interval(np.where(np.arange(12).reshape(4, 3) == 5, np.nan, 1))


@pytest.mark.parametrize("sign", [1, -1])
def test_superiority_has_the_exact_binomial_interval_of_scipy(sign: int) -> None:
    for n, wins in [(1, 1), (6, 0), (8, 5), (8, 8), (30, 11)]:
        values = sign * np.where(np.arange(n) < wins, 0.2, -0.1)
        known = reference.binomtest(wins, n).proportion_ci(0.95, method="exact")
        found = superiority(values, sign=sign)
        assert (found.share, found.low, found.high) == pytest.approx((wins / n, *known))


def test_a_tie_is_half_a_win_and_equal_arms_are_even() -> None:
    assert superiority([0.1, 0.0, -0.1, 0.2], sign=1).share == 2.5 / 4
    even = superiority(np.zeros(8), sign=1)
    assert (even.share, even.low + even.high) == pytest.approx((0.5, 1.0))
    narrower, wider = superiority([1, 1, 0], sign=1), superiority([1, 1, 1], sign=1)
    assert superiority([1, 1, -1], sign=1).low < narrower.low < wider.low
    with pytest.raises(ValueError, match="at least one seed"):
        superiority([], sign=1)


@pytest.mark.parametrize("n", [6, 8, 10])
def test_the_interval_of_superiority_covers_every_probability_at_its_level(n: int) -> None:
    found = [superiority(np.where(np.arange(n) < k, 1.0, -1.0), sign=1) for k in range(n + 1)]
    for share in np.linspace(0.01, 0.99, 99):
        chances = reference.binom.pmf(np.arange(n + 1), n, share)
        inside = [interval.low <= share <= interval.high for interval in found]
        assert chances[inside].sum() >= 0.95


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
    assert (found.vectors, found.exact) == (2 ** (n - 1), True)  # and as many mirror images


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
    assert (first.exact, first.vectors, first.smallest) == (False, 2**19, 2**-19)
    known = [reference.ttest_1samp(c, 0).pvalue for c in d.T]
    assert first.single == pytest.approx(known, abs=0.01)


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.zeros((8, 0)), np.full((8, 2), np.nan)])
def test_too_few_seeds_no_contrasts_and_nan_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"at least 6 seeds|not finite"):
        joint_sign_flip(bad)


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
