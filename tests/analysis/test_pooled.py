"""Ratios of summed counts: what they are, and that their interval holds for new photographs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from analysis.pooled import COUNTS, POOLED, by_part, linear, pooled, sums
from analysis.stats import crossed_interval, t_interval
from experiments.text import icdar

Rows = list[tuple[int, int, int]]


@some.composite
def images(draw: some.DrawFn) -> Rows:
    """Matched, detections and words of a few images."""
    found = []
    for _ in range(draw(some.integers(1, 6))):
        matched = draw(some.integers(0, 3))
        more = some.integers(0, 3)
        found.append((matched, matched + draw(more), matched + draw(more)))
    return found


def frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*COUNTS])


def long(rows: Rows) -> pd.DataFrame:
    """The rows as the long table of one run."""
    counts = frame(rows).rename_axis("image").reset_index()
    counts["image"] = counts["image"].astype(str)
    table = counts.melt(id_vars="image", var_name="metric")
    return table.assign(arm="bce", seed=0)


@given(images())
def test_a_run_s_numbers_are_those_of_the_evaluation_that_wrote_it(rows: Rows) -> None:
    expected = icdar.pooled(icdar.Counts(*row) for row in rows)
    found = pooled(frame(rows))
    known = {"precision", "recall", "H_mean"} if any(w for _, _, w in rows) else set()
    known |= {"P_textfree"} if any(not w for _, _, w in rows) else set()
    assert {*found} == known
    assert found == pytest.approx({name: expected[name] for name in known}, abs=1e-12)


@given(images())
def test_h_mean_is_the_harmonic_mean_of_precision_and_recall(rows: Rows) -> None:
    found = pooled(frame(rows))
    if found.get("H_mean"):
        assert 2 / (1 / found["precision"] + 1 / found["recall"]) == pytest.approx(found["H_mean"])


@settings(max_examples=30)
@given(images(), some.sampled_from(POOLED))
def test_the_test_set_as_one_part_has_the_run_s_numbers(rows: Rows, metric: str) -> None:
    every = pd.Series("all", index=[str(i) for i in range(len(rows))])
    found = by_part(long(rows), metric, every).iloc[0, 0]
    known = pooled(frame(rows)).get(metric)
    if known is None:
        assert metric == "precision" or np.isnan(found) or sum(w for _, _, w in rows) == 0
    else:
        assert found == pytest.approx(known)


@settings(max_examples=30)
@given(images(), some.sampled_from(POOLED))
def test_what_the_parts_add_has_the_ratio_as_its_mean(rows: Rows, metric: str) -> None:
    each = pd.Series({str(i): i // 2 for i in range(len(rows))})
    parts = linear(*sums(long(rows), metric, each))
    assert parts.shape == (1, each.nunique())
    assert parts.mean(axis=1).iloc[0] == pytest.approx(pooled(frame(rows)).get(metric, 0.0))


def test_parts_that_weigh_alike_add_their_own_ratios() -> None:
    rows = [(1, 2, 4), (4, 4, 2), (2, 3, 3)]  # detections and words are 6 in each
    each = pd.Series({str(i): i for i in range(3)})
    table = long(rows)
    found = linear(*sums(table, "H_mean", each)).iloc[0]
    assert found.to_list() == pytest.approx(by_part(table, "H_mean", each).iloc[0].to_list())
    assert found.to_list() == pytest.approx([2 / 6, 8 / 6, 4 / 6])


def drawn(rng: np.random.Generator, seeds: int, photographs: int, sds: tuple[float, ...]) -> Any:
    """2 matched, and detections + words, of two alike arms: (2, seeds, photographs) each.

    Logits of finding a word vary by photograph, by arm within it, by seed and by all of them.
    """
    photograph, seed, rest = sds
    words = rng.choice([0, 1, 2, 4, 8, 12], size=photographs)
    logit = rng.normal(0.8, 1, photographs) + rng.normal(0, photograph, (2, 1, photographs))
    logit = logit + rng.normal(0, seed, (2, seeds, 1))
    logit = logit + rng.normal(0, rest, (2, seeds, photographs))
    matched = rng.binomial(words, 1 / (1 + np.exp(-logit)))
    wrong = rng.poisson(0.15 + 0.05 * words, matched.shape)
    return 2 * matched, matched + wrong + words


@pytest.mark.parametrize("sds", [(0.5, 0.1, 0.3), (1, 0, 0), (0, 0.3, 0)], ids=str)
def test_the_crossed_interval_of_a_ratio_covers_for_new_seeds_and_photographs(
    sds: tuple[float, ...], record_property: Callable[[str, object], None]
) -> None:
    rng, trials, crossed, single = np.random.default_rng(3), 500, 0, 0
    runs = [drawn(rng, 8, 24, sds) for _ in range(trials)]
    above, below = (np.concatenate(part, axis=1) for part in zip(*runs, strict=True))
    one, other = (linear(pd.DataFrame(above[arm]), pd.DataFrame(below[arm])) for arm in (0, 1))
    for apart in (one - other).to_numpy().reshape(trials, 8, 24):
        interval, seeds = crossed_interval(apart), t_interval(apart.mean(axis=1))
        crossed += interval.low <= 0 <= interval.high
        single += seeds.low <= 0 <= seeds.high
    record_property(
        "counted",
        f"95 % intervals of differences in H_mean, 8 seeds, 24 photographs, sds {sds}: crossed "
        f"covers {crossed / trials:.3f} for new ones, that of the seeds {single / trials:.3f}",
    )
    assert 0.92 <= crossed / trials <= 0.99
    assert sds[0] < 1 or single / trials < 0.8
