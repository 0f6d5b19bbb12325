"""An arm against itself: the analysis finds no winner where there is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.load import Results, image_means, load, seed_means
from analysis.stats import t_interval, verdict
from analysis.summary import summarise
from tests.analysis.simulate import false_winners, half_splits, three_errors

FOLDER = Path(__file__).parent.parent.parent / "results" / "reference" / "aa" / "laptop"
TRIALS = 1000
RATE = 0.05 + three_errors(0.05, TRIALS)


@pytest.fixture(scope="module")
def aa() -> Results:
    """The committed grid `aa`: an arm, and its copy with initial weights off by a millionth."""
    return load(FOLDER)


def test_every_seed_of_both_arms_is_there(aa: Results) -> None:
    assert aa.grid.arms == ("bce", "copy")
    assert len(aa.grid.seeds) >= 16
    assert aa.absent == ()


def test_the_copys_runs_are_other_runs(aa: Results) -> None:
    means = seed_means(aa, aa.grid.primary)
    assert (means["copy"] != means["bce"]).all()
    one, other = (image_means(aa, aa.grid.primary, arm) for arm in aa.grid.arms)
    assert (one != other).mean() > 0.9


def test_the_copy_is_neither_better_nor_worse(
    aa: Results, record_property: Callable[[str, object], None]
) -> None:
    (row,) = summarise(aa).primary
    d = row.difference
    record_property(
        "counted",
        f"A/A grid, {d.n} seeds: difference {d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}], "
        f"p {row.p:.3f}, {row.judged}",
    )
    assert row.judged in ("equivalent", "undecided")


@pytest.mark.parametrize("arm", ["bce", "copy"])
def test_half_of_an_arms_seeds_beats_the_other_half_no_oftener_than_stated(
    aa: Results, arm: str, record_property: Callable[[str, object], None]
) -> None:
    grid = aa.grid
    splits = half_splits(seed_means(aa, grid.primary)[arm].to_numpy(), TRIALS, seed=0)
    found = false_winners(splits)
    named = [verdict(t_interval(d), margin=grid.margin, sign=1) for d in splits]
    settled = np.mean([word in ("better", "worse") for word in named])
    record_property(
        "counted",
        f"A/A half-splits of {arm}: p <= .05 in {found:.1%}, better or worse in {settled:.1%} "
        f"of {TRIALS}",
    )
    assert found <= RATE
    assert settled <= RATE


@pytest.mark.parametrize("shape", ["normal", "one outlier", "two clusters", "lognormal"])
def test_half_splits_of_any_sixteen_values_find_no_more_winners_than_stated(shape: str) -> None:
    values = np.random.default_rng(0).normal(size=16)
    match shape:
        case "one outlier":
            values[3] = 30
        case "two clusters":
            values[:8] += 10
        case "lognormal":
            values = np.exp(2 * values)
    assert false_winners(half_splits(values, TRIALS, seed=1)) <= RATE


def test_half_splits_pair_every_seed_once_and_are_reproducible() -> None:
    values = 2.0 ** np.arange(16)  # whose signed sums are all different
    splits = half_splits(values, 50, seed=2)
    assert splits.shape == (50, 8)
    signs = [np.binary_repr(int(values.sum() + d.sum()) // 2).count("1") for d in splits]
    assert signs == [8] * 50
    assert len(np.unique(splits.sum(axis=1))) > 40
    assert (half_splits(values, 50, seed=2) == splits).all()
