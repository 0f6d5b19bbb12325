"""The conclusion: guards that contradict a claim are named, whichever claim it is."""

from dataclasses import replace
from typing import Any

import pytest

from analysis.claims import Claim
from analysis.load import load
from analysis.stats import Interval
from analysis.summary import Summary, summarise
from analysis.verdict import conclusion

from .concluded import of_one_kind

BELOW, ABOVE = (Interval(8, mean, mean - 0.01, mean + 0.01, 0.01) for mean in (-0.02, 0.02))


def with_guards(summary: Summary, index: int = 0, **found: Interval) -> Summary:
    """The summary with other intervals of guards in one of its contrasts."""
    contrasts = dict(summary.contrasts)
    for guard, interval in found.items():
        rows = [*contrasts[guard]]
        rows[index] = replace(rows[index], difference=interval)
        contrasts[guard] = tuple(rows)
    return replace(summary, contrasts=contrasts)


@pytest.mark.parametrize(
    ("kind", "agrees", "contradicts", "word"),
    [
        ("better", ABOVE, BELOW, "worse"),
        ("ahead", ABOVE, BELOW, "worse"),
        ("worse", BELOW, ABOVE, "better"),
        ("behind", BELOW, ABOVE, "better"),
        ("equivalent", Interval(8, 0.0, -0.01, 0.01, 0.01), BELOW, "worse"),
        ("equivalent", Interval(8, 0.0, -0.01, 0.01, 0.01), ABOVE, "better"),
    ],
)
def test_a_guard_whose_interval_contradicts_a_claim_is_named(
    make_grid: Any, kind: Claim, agrees: Interval, contradicts: Interval, word: str
) -> None:
    summary = of_one_kind(summarise(load(make_grid(images=2))), kind, 1, guards=("BIoU",))
    assert "but" not in conclusion(with_guards(summary, BIoU=agrees))
    told = conclusion(with_guards(summary, BIoU=contradicts))
    assert f"; but by its interval BIoU is {word})" in told


def test_guards_on_both_sides_of_a_tie_are_both_named(make_grid: Any) -> None:
    base = summarise(load(make_grid(images=2)))
    summary = of_one_kind(base, "equivalent", 1, guards=("MAE", "BIoU"))
    text = conclusion(with_guards(summary, MAE=BELOW, BIoU=BELOW))  # of MAE less is better
    assert "; but by their intervals BIoU is worse and MAE is better)" in text


def test_guards_against_pairs_that_are_only_counted_are_named_with_them(make_grid: Any) -> None:
    base = summarise(load(make_grid(images=2)))
    summary = of_one_kind(base, "better", 9, guards=("MAE", "BIoU"))
    assert "6 more pairs likewise" in conclusion(summary)
    assert "of which" not in conclusion(with_guards(summary, 2, BIoU=BELOW))
    one = with_guards(summary, 4, BIoU=BELOW)
    assert "6 more pairs likewise, of which “arm 4” − “bce” has BIoU against it" in conclusion(one)
    two = with_guards(one, 7, MAE=ABOVE, BIoU=BELOW)
    assert (
        "6 more pairs likewise, of which “arm 4” − “bce” (BIoU) and “arm 7” − “bce” (MAE and "
        "BIoU) have guards against them"
    ) in conclusion(two)
    all_six = summary
    for index in range(3, 9):
        all_six = with_guards(all_six, index, BIoU=BELOW)
    assert "“arm 5” − “bce” (BIoU) and 3 more have guards against them" in conclusion(all_six)
