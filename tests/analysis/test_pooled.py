"""Ratios of summed counts: what they are, and that their interval holds for new photographs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from analysis.pooled import COUNTS, POOLED, by_part, jackknifed, pooled, sums
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
    if known is None:  # what is found where no word is: nothing of it is right
        below = {"H_mean": sum(d for _, d, _ in rows), "precision": 1}.get(metric, 0)
        known = 0.0 if below else np.nan
    assert found == pytest.approx(known, nan_ok=True)


@settings(max_examples=30)
@given(images(), some.sampled_from(POOLED))
def test_what_the_parts_add_has_the_ratio_as_its_mean(rows: Rows, metric: str) -> None:
    each = pd.Series({str(i): i // 2 for i in range(len(rows))})
    parts = jackknifed(*sums(long(rows), metric, each))
    assert parts.shape == (1, each.nunique())
    assert parts.mean(axis=1).iloc[0] == pytest.approx(pooled(frame(rows)).get(metric, 0.0))


def test_parts_that_weigh_alike_add_their_own_ratios() -> None:
    rows = [(1, 2, 4), (4, 4, 2), (2, 3, 3)]  # detections and words are 6 in each
    each = pd.Series({str(i): i for i in range(3)})
    table = long(rows)
    found = jackknifed(*sums(table, "H_mean", each)).iloc[0]
    assert found.to_list() == pytest.approx(by_part(table, "H_mean", each).iloc[0].to_list())
    assert found.to_list() == pytest.approx([2 / 6, 8 / 6, 4 / 6])


def test_what_a_part_adds_is_its_jackknife_value() -> None:
    rows = [(1, 2, 4), (9, 12, 10), (0, 3, 1), (2, 2, 7)]
    matched, detections, words = np.array(rows).T
    above, below = 2 * matched, detections + words
    ratios = [np.delete(above, g).sum() / np.delete(below, g).sum() for g in range(4)]
    values = 4 * above.sum() / below.sum() - 3 * np.array(ratios)
    found = jackknifed(pd.DataFrame(above[None]), pd.DataFrame(below[None])).to_numpy()[0]
    assert found - found.mean() == pytest.approx(values - values.mean())
    assert found.mean() == pytest.approx(above.sum() / below.sum())


def drawn(
    rng: np.random.Generator,
    seeds: int,
    photographs: int,
    sds: tuple[float, ...],
    words: tuple[int, ...],
) -> Any:
    """2 matched, and detections + words, of two alike arms: (2, seeds, photographs) each.

    Logits of finding a word vary by photograph, by arm within it, by seed and by all of them.
    """
    photograph, seed, rest = sds
    of_each = rng.choice(words, size=photographs)
    logit = rng.normal(0.8, 1, photographs) + rng.normal(0, photograph, (2, 1, photographs))
    logit = logit + rng.normal(0, seed, (2, seeds, 1))
    logit = logit + rng.normal(0, rest, (2, seeds, photographs))
    matched = rng.binomial(of_each, 1 / (1 + np.exp(-logit)))
    wrong = rng.poisson(0.15 + 0.05 * of_each, matched.shape)
    return 2 * matched, matched + wrong + of_each


UNEQUAL, EQUAL = (0, 1, 2, 4, 8, 12), (12,)


@pytest.mark.parametrize(
    ("photographs", "words", "sds"),
    [
        (24, UNEQUAL, (0.5, 0.1, 0.3)),
        (24, UNEQUAL, (1, 0, 0)),
        (24, UNEQUAL, (0, 0.3, 0)),
        (11, UNEQUAL, (0.5, 0.1, 0.3)),
        (11, UNEQUAL, (1, 0, 0)),
        (11, EQUAL, (1, 0, 0)),
    ],
    ids=str,
)
def test_the_crossed_interval_of_a_ratio_covers_for_new_seeds_and_photographs(
    photographs: int,
    words: tuple[int, ...],
    sds: tuple[float, ...],
    record_property: Callable[[str, object], None],
) -> None:
    rng, trials, crossed, single = np.random.default_rng(3), 800, 0, 0
    runs = [drawn(rng, 8, photographs, sds, words) for _ in range(trials)]
    above, below = (np.concatenate(part, axis=1) for part in zip(*runs, strict=True))
    one, other = (jackknifed(pd.DataFrame(above[arm]), pd.DataFrame(below[arm])) for arm in (0, 1))
    for apart in (one - other).to_numpy().reshape(trials, 8, photographs):
        interval, seeds = crossed_interval(apart), t_interval(apart.mean(axis=1))
        crossed += interval.low <= 0 <= interval.high
        single += seeds.low <= 0 <= seeds.high
    record_property(
        "counted",
        f"95 % intervals of differences in H_mean, 8 seeds, {photographs} photographs of "
        f"{'/'.join(map(str, words))} words, sds {sds}: crossed covers {crossed / trials:.3f} "
        f"for new ones, that of the seeds {single / trials:.3f}",
    )
    assert 0.945 <= crossed / trials <= 0.98
    assert sds[0] < 1 or single / trials < 0.8
