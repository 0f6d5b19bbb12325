"""Coverage and error rates of the statistics, by simulation; what they are is told at the end."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.stats import (
    Interval,
    crossed_interval,
    joint_sign_flip,
    t_interval,
    verdict,
)
from analysis.summary import best_separated
from tests.analysis.simulate import null_grid, three_errors, within_error

Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]
EVEN: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
}
SKEWED: dict[str, Draw] = {
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
}


def covered(intervals: list[Interval]) -> float:
    """Share of the intervals that hold the true mean, 0."""
    return float(np.mean([i.low <= 0 <= i.high for i in intervals]))


@pytest.mark.parametrize("n", [6, 8, 10])
@pytest.mark.parametrize("shape", EVEN)
def test_the_t_interval_covers_the_mean_at_its_rate(n: int, shape: str) -> None:
    trials = 4000
    share = covered([t_interval(d) for d in EVEN[shape](np.random.default_rng(n), (trials, n))])
    assert 0.93 <= share <= 0.97
    if shape == "normal":
        assert within_error(share, 0.95, trials)


@pytest.mark.parametrize("shape", SKEWED)
def test_the_t_interval_of_skewed_differences_covers_less_and_how_much_less_is_told(
    shape: str, record_property: Callable[[str, object], None]
) -> None:
    shares = {}
    for n in (6, 8, 10):
        draws = SKEWED[shape](np.random.default_rng(n), (4000, n))
        shares[n] = covered([t_interval(d) for d in draws])
    told = ", ".join(f"{share:.3f} (n = {n})" for n, share in shares.items())
    record_property("counted", f"95 % t interval of {shape} differences covers {told}")
    floor = {"exponential": 0.86, "lognormal": 0.78}[shape]
    assert all(floor <= share <= 0.95 for share in shares.values())


def crossed_table(
    rng: np.random.Generator, sds: tuple[float, float, float], objects: str, shape: tuple[int, int]
) -> Any:
    """Differences (n, O) of new seeds and new objects; sds of seeds, objects and the rest."""
    n, count = shape
    seed, thing, rest = sds
    rows, columns = rng.normal(0, seed, (n, 1)), thing * EVEN[objects](rng, (1, count))
    return rows + columns + rng.normal(0, rest, shape)


@pytest.mark.parametrize("shape", [(6, 5), (8, 23), (10, 60)], ids=str)
@pytest.mark.parametrize("objects", EVEN)
def test_the_crossed_interval_covers_for_new_seeds_and_new_objects(
    shape: tuple[int, int], objects: str, record_property: Callable[[str, object], None]
) -> None:
    trials, shares = 2500, {}
    for sds in [(1, 1, 1), (1, 0, 1), (0, 1, 1), (0.3, 0.3, 1), (0.1, 1, 3), (0, 0, 1)]:
        rng = np.random.default_rng(3)
        tables = [crossed_table(rng, sds, objects, shape) for _ in range(trials)]
        shares[sds] = covered([crossed_interval(table) for table in tables])
    n, count = shape
    record_property(
        "counted",
        f"95 % crossed interval of {n} seeds and {count} objects ({objects}) covers "
        f"{shares[1, 1, 1]:.3f} where seeds, objects and the rest vary alike, "
        f"{min(shares.values()):.3f} to {max(shares.values()):.3f} in six mixtures",
    )
    assert all(share >= 0.95 - three_errors(0.95, trials) for share in shares.values())
    assert shares[1, 1, 1] <= 0.98  # wide only where next to nothing but the rest varies


def test_an_interval_over_seeds_alone_does_not_cover_for_new_objects() -> None:
    rng = np.random.default_rng(4)
    tables = [crossed_table(rng, (1, 1, 1), "normal", (8, 5)) for _ in range(1000)]
    assert covered([t_interval(table.mean(axis=1)) for table in tables]) < 0.93


def test_an_interval_over_images_does_not_cover_for_new_seeds() -> None:
    rng = np.random.default_rng(4)
    tables = [crossed_table(rng, (1, 0.3, 1), "normal", (8, 92)) for _ in range(1000)]
    assert covered([t_interval(table.mean(axis=0)) for table in tables]) < 0.6


def test_the_family_wise_error_stays_at_five_percent_over_null_grids(
    record_property: Callable[[str, object], None],
) -> None:
    rng, trials = np.random.default_rng(11), 2000
    found = [
        min(joint_sign_flip(null_grid(rng, [0.0] * 6)).adjusted) <= 0.05 for _ in range(trials)
    ]
    record_property(
        "counted",
        f"{np.sum(found)} of {trials} null grids of 6 contrasts and 8 seeds had an adjusted "
        "p <= .05",
    )
    assert np.mean(found) <= 0.05 + three_errors(0.05, trials)
    assert np.mean(found) > 0.03  # and the test is not idle


def test_true_nulls_beside_a_large_effect_are_still_protected() -> None:
    rng, trials = np.random.default_rng(12), 2000
    wrong = [
        min(joint_sign_flip(null_grid(rng, [9.0, 9.0, 0.0, 0.0, 0.0, 0.0])).adjusted[2:]) <= 0.05
        for _ in range(trials)
    ]
    assert np.mean(wrong) <= 0.05 + three_errors(0.05, trials)


def test_verdicts_on_arms_that_differ_by_the_margin_err_one_by_one_and_how_often_together_is_told(
    record_property: Callable[[str, object], None],
) -> None:
    rng, trials, margin = np.random.default_rng(13), 2000, 6.0
    named = np.array(
        [
            [verdict(t_interval(d), margin=margin, sign=1) for d in null_grid(rng, [margin] * 6).T]
            for _ in range(trials)
        ]
    )
    told = []
    for word in ("better", "equivalent"):  # neither is true of a difference of just the margin
        wrong = named == word
        assert wrong.mean() <= 0.025 + three_errors(0.025, trials)
        assert wrong.any(axis=1).mean() > wrong.mean()
        told.append(f"{word} {wrong.mean():.3f} of contrasts, {wrong.any(axis=1).mean():.3f} of "
                    "grids in one or more")  # fmt: skip
    record_property(
        "counted",
        f"6 contrasts that differ by just the margin, 8 seeds: called {'; '.join(told)}",
    )


def test_the_best_of_equal_arms_is_seldom_called_separated() -> None:
    rng, trials = np.random.default_rng(7), 1000
    named = 0
    for _ in range(trials):
        means = rng.normal(size=(8, 7)) + rng.normal(0, 3, (8, 1))
        named += best_separated(pd.DataFrame(means, columns=list("abcdefg")), 1) is not None
    assert named / trials <= 0.05 + three_errors(0.05, trials)
