"""Power and the number of seeds: against published tables, and as simulated grids have it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

from analysis.load import load
from analysis.plan import MOST_SEEDS, plan, plan_text, power_at
from analysis.power import joint_power, seeds_needed, smallest_detectable, t_power
from analysis.stats import joint_sign_flip, sign_vectors, step_down
from analysis.summary import Summary, summarise
from tests.analysis.simulate import three_errors, within_error


def summary_of(make_grid: Any, **settings: Any) -> Summary:
    return summarise(load(make_grid(images=2, **settings)))


@pytest.mark.parametrize("n", [6, 8, 12])
def test_the_smallest_detectable_difference_is_found_with_its_power(n: int) -> None:
    shift, trials = smallest_detectable(1.0, n), 4000
    draws = np.random.default_rng(n).normal(shift, 1, (trials, n))
    power = (reference.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert within_error(power, 0.8, trials)
    assert t_power(shift, n) == pytest.approx(0.8)
    assert smallest_detectable(2.5, n) == pytest.approx(2.5 * shift)


def test_nothing_is_known_to_be_detectable_without_an_sd_and_anything_with_an_sd_of_zero() -> None:
    assert smallest_detectable(0.0, 8) == 0
    assert math.isnan(smallest_detectable(1.0, 1))
    assert math.isnan(smallest_detectable(math.nan, 8))


@pytest.mark.parametrize(
    ("effect", "power", "expected"),
    [(0.2, 0.8, 199), (0.5, 0.8, 34), (0.8, 0.8, 15), (1.0, 0.8, 10), (0.5, 0.95, 54)],
)
def test_the_seeds_needed_are_those_of_gpower(effect: float, power: float, expected: int) -> None:
    assert seeds_needed(1.0, effect, power=power) == expected
    assert seeds_needed(2.0, -2 * effect, power=power) == expected


def test_the_seeds_needed_are_the_fewest_and_six_at_least() -> None:
    for effect in (0.05, 0.3, 0.7, 1.1):
        n = seeds_needed(1.0, effect)
        assert t_power(effect, n - 1) < 0.8 <= t_power(effect, n)
    assert seeds_needed(1.0, 9.0) == seeds_needed(0.0, 0.1) == 6
    assert seeds_needed(1.0, 1e-4) == pytest.approx((1.959964 + 0.841621) ** 2 * 1e8, rel=1e-5)


@pytest.mark.parametrize(
    ("sd", "effect"), [(1.0, 0.0), (math.nan, 1.0), (-1.0, 1.0), (1.0, math.inf)]
)
def test_no_seeds_are_planned_for_no_effect_or_an_unknown_sd(sd: float, effect: float) -> None:
    with pytest.raises(ValueError, match="expected sd >= 0 and an effect other than 0"):
        seeds_needed(sd, effect)


def correlated(rng: np.random.Generator, n: int) -> Any:
    """Differences to a common baseline: correlation .5, sds 1, 2 and 1/2."""
    arms = rng.normal(size=(n, 4))
    return (arms[:, 1:] - arms[:, :1]) / math.sqrt(2) * [1, 2, 0.5]


@pytest.mark.parametrize("n", [6, 8, 10])
def test_the_test_of_many_simulated_grids_at_once_is_the_joint_sign_flip(n: int) -> None:
    rng = np.random.default_rng(n)
    grids = np.stack([correlated(rng, n) + np.array([0.8, 0, 0.3]) for _ in range(20)])
    single, adjusted = step_down(grids, sign_vectors(n))
    known = [joint_sign_flip(grid) for grid in grids]
    assert adjusted.tolist() == [[*flip.adjusted] for flip in known]
    assert single.tolist() == [[*flip.single] for flip in known]


@pytest.mark.parametrize(("n", "shift"), [(6, 2.2), (8, 1.8), (14, 0.9)])
def test_the_joint_power_is_that_of_the_joint_sign_flip(n: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    seen = correlated(rng, 400)  # so many that its covariance is the true one
    shifts = np.array([shift, 0.0, 0.5 * shift])
    trials = 400
    found = np.zeros(3)
    for _ in range(trials):
        found += np.array(joint_sign_flip(correlated(rng, n) + shifts).adjusted) <= 0.05
    told = joint_power(seen, shifts, n)
    assert 0.2 < told[0] < 0.98
    error = math.hypot(three_errors(0.5, trials), three_errors(0.5, 1000))
    assert np.abs(told - found / trials) == pytest.approx(0, abs=error)


def test_eight_seeds_find_two_standard_deviations_with_the_power_that_the_design_tells() -> None:
    arms = np.random.default_rng(0).normal(size=(2000, 7))
    seen = (arms[:, 1:] - arms[:, :1]) / math.sqrt(2)  # six contrasts to one baseline
    shifts = np.array([2.0, 0, 0, 0, 0, 0])
    assert joint_power(seen, shifts, 8)[0] == pytest.approx(0.94, abs=three_errors(0.94, 1000))
    assert joint_power(seen, shifts, 6)[0] == pytest.approx(0.51, abs=three_errors(0.51, 1000))


def test_a_joint_power_is_reproducible_and_zero_below_six_seeds() -> None:
    seen = correlated(np.random.default_rng(0), 8)
    first, second = (joint_power(seen, np.ones(3), 8, trials=200) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert joint_power(seen, np.ones(3), 5).tolist() == [0, 0, 0]


def test_a_plan_names_the_seeds_with_which_each_test_finds_the_effect(make_grid: Any) -> None:
    summary = summary_of(make_grid, noise=0.003)
    rows = plan(summary, 0.005)
    assert [row.contrast for row in rows] == [row.contrast for row in summary.primary]
    for index, (row, seen) in enumerate(zip(rows, summary.primary, strict=True)):
        assert (row.n, row.sd, row.detectable) == (8, seen.difference.sd, seen.detectable)
        assert row.needed == seeds_needed(row.sd, 0.005)
        assert row.needed_joint is not None
        assert row.power_now == power_at(summary, index, 0.005, 8)
        assert power_at(summary, index, 0.005, row.needed_joint) >= 0.8
        assert row.needed <= row.needed_joint
        if row.needed_joint > row.needed:
            assert power_at(summary, index, 0.005, row.needed_joint - 1) < 0.8
        draws = np.random.default_rng(index).normal(0.005, row.sd, (2000, row.needed))
        power = (reference.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
        assert power >= 0.8 - three_errors(0.8, 2000)


def test_the_planned_seeds_give_simulated_grids_the_planned_power(
    make_grid: Any, record_property: Callable[[str, object], None]
) -> None:
    summary = summary_of(make_grid, noise=0.003)
    values = np.array([row.values for row in summary.primary]).T
    row = plan(summary, 0.005)[1]
    assert row.needed_joint == 10
    rng, trials, found = np.random.default_rng(5), 400, 0
    for _ in range(trials):
        d = rng.multivariate_normal([0, 0.005, 0], np.cov(values.T), row.needed_joint)
        found += joint_sign_flip(d).adjusted[1] <= 0.05
    record_property(
        "counted",
        f"the joint test found the effect planned for in {found} of {trials} grids of the "
        f"{row.needed_joint} seeds planned (power .8; a t test alone: {row.needed} seeds)",
    )
    error = math.hypot(three_errors(0.8, trials), three_errors(0.8, 1000))
    assert 0.8 - error <= found / trials <= 0.9 + error


def test_a_plan_beyond_the_simulated_seeds_says_so(make_grid: Any) -> None:
    summary = summary_of(make_grid, arms=("bce", "mae"))
    (row,) = plan(summary, 1e-5)
    assert row.needed is not None
    assert row.needed > MOST_SEEDS
    assert row.needed_joint is None
    assert f"| over {MOST_SEEDS} |" in plan_text(summary, 1e-5)


def test_a_plan_without_an_sd_has_dashes_and_says_why(make_grid: Any) -> None:
    summary = summary_of(make_grid, seeds=1, test=False)
    assert {(row.needed, row.needed_joint, row.power_now) for row in plan(summary, 0.005)} == {
        (None, None, None)
    }
    text = plan_text(summary, 0.005)
    assert "| `released` − `none` | — | 1 | — | — | — | — |" in text
    assert "Fewer than two seeds are complete" in text
    assert "Preset laptop is no evidence" in text


def test_identical_arms_need_no_more_than_the_fewest_seeds(make_grid: Any) -> None:
    summary = summary_of(make_grid, noise=0.0)
    assert [(row.sd, row.needed, row.needed_joint) for row in plan(summary, 0.005)] == [
        (0, 6, 6)
    ] * 3


def test_a_plan_for_a_half_finished_grid_goes_by_the_seeds_that_are_there(make_grid: Any) -> None:
    absent = {("mae", seed): "missing" for seed in range(8)} | {("bce", 0): "failed"}
    rows = plan(summary_of(make_grid, absent=absent), 0.005)
    assert [row.n for row in rows] == [8, 7, 0]
    assert rows[2].needed is None
    assert [row.power_now for row in rows] == [None] * 3  # no seed is complete in all arms


@pytest.mark.parametrize("effect", [0.0, math.nan, math.inf])
def test_a_plan_for_no_effect_is_refused(make_grid: Any, effect: float) -> None:
    with pytest.raises(ValueError, match="expected a number other than 0"):
        plan_text(summary_of(make_grid, seeds=2), effect)
