"""The conclusion: it finds what was planted, and claims no more than the statistics."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from analysis.claims import WORDS, Claim, claim
from analysis.load import load
from analysis.stats import Interval, Verdict
from analysis.summary import Summary, summarise
from analysis.verdict import conclusion

from .concluded import of_one_kind
from .conftest import ARMS

NULLS = 320
SAID = re.compile(rf"“([^”]*)” is ({'|'.join(WORDS.values())}) “([^”]*)”")
Simulate = Callable[..., Summary]


def said(text: str) -> dict[tuple[str, str], str]:
    """What a conclusion says of each contrast that it names."""
    return {(arm, minus): word for arm, word, minus in SAID.findall(text)}


def differences(text: str) -> list[str]:
    """The contrasts of which it claims a difference."""
    return [word for word in said(text).values() if word != WORDS["equivalent"]]


@pytest.fixture
def conclude(make_grid: Any) -> Callable[..., str]:
    """The conclusion of a grid that is written and read."""
    return lambda **settings: conclusion(summarise(load(make_grid(**settings))))


@pytest.fixture
def simulate(make_grid: Any) -> Simulate:
    """A summary of four arms by eight seeds and two images, without files: `effects` by arm,
    `noise` of a pair, from a seed."""
    results = load(make_grid(images=2))
    table = results.table[results.table["metric"] == "F_weighted"]
    table = table.assign(metric=table["metric"].cat.remove_unused_categories())
    grid = replace(results.grid, guards=())
    bare = replace(results, grid=grid, table=table, runs=results.runs.iloc[:0])

    def make(seed: int, effects: dict[str, float], noise: float, heavy: bool = False) -> Summary:
        rng = np.random.default_rng([seed, 7])
        size = (len(ARMS), 8)
        pairs = rng.standard_t(3, size) if heavy else rng.normal(size=size)
        values = 0.7 + rng.normal(0, 0.02, 8) + noise * pairs
        values += np.array([[effects.get(arm, 0.0)] for arm in ARMS])
        arms, seeds = table["arm"].cat.rename_categories(str), table["seed"].to_numpy(int)
        rows = [ARMS.index(str(arm)) for arm in arms]
        shifted = values[rows, seeds] + rng.normal(0, 0.001, len(table))
        return summarise(replace(bare, table=table.assign(value=shifted)))

    return make


def test_a_planted_winner_is_called_better_with_its_interval_and_p(conclude: Any) -> None:
    text = conclude(effects={"bce": 0.03, "mae": 0.03})
    assert said(text)["bce", "released"] == "better than"
    assert re.search(r"“bce” is better than “released” \(\+0\.0\d+, 95 % \[\+0\.0\d+, "
                     r"\+0\.0\d+\], adjusted p 0\.0078\)", text)  # fmt: skip
    assert "In this data, at this scale (preset laptop, 8 seeds)" in text
    assert "margin of 0.005" in text


def test_a_planted_loser_is_called_worse(conclude: Any) -> None:
    text = conclude(effects={"mae": -0.03})
    assert said(text)["mae", "bce"] == "worse than"
    assert "better" not in text


def test_where_less_is_better_the_lower_arm_is_the_better_one(conclude: Any) -> None:
    text = conclude(effects={"mae": 0.03}, primary="MAE", guards=["IoU"])
    assert said(text)["mae", "bce"] == "better than"
    assert re.search(r"“mae” is better than “bce” \(−0\.0\d+, 95 % \[−", text)


def test_equal_arms_with_little_noise_are_called_equivalent(conclude: Any) -> None:
    text = conclude(noise=0.0005)
    assert set(said(text).values()) == {"equivalent to"}
    assert len(said(text)) == 3


@pytest.mark.parametrize("settings", [{}, {"seeds": 2}, {"test": False}], ids=str)
def test_of_identical_arms_nothing_is_said_but_that_they_are_identical(
    conclude: Any, settings: dict[str, Any]
) -> None:
    text = conclude(noise=0, object_noise=0, effects={"bce": 0.03, "mae": 0.03}, **settings)
    assert text.endswith(
        "The arms of “released” − “none” and “mae” − “bce” are identical in every seed: does the "
        "setting that tells them apart reach the run?"
    )
    assert set(said(text)) <= {("bce", "released")}
    assert "identical" not in conclude(**settings)


def test_equal_arms_with_much_noise_are_left_undecided_with_what_remains_possible(
    make_grid: Any,
) -> None:
    summary = summarise(load(make_grid(noise=0.02)))
    text = conclusion(summary)
    most = max(max(-r.difference.low, r.difference.high) for r in summary.primary)
    found = re.search(r"difference of up to ([\d.]+)", text)
    assert found
    assert float(found[1]) == pytest.approx(most, abs=0.001)
    assert "none of the 3 contrasts is settled" in text
    low, high = (f([r.detectable for r in summary.primary]) for f in (min, max))
    named = re.search(
        r"a t test of one contrast alone finds with power \.8 is ([\d.]+\d) to ([\d.]+\d)", text
    )
    assert named
    assert [float(x) for x in named.groups()] == pytest.approx([low, high], abs=0.001)
    assert not said(text)


def test_a_difference_that_reaches_into_the_margin_is_ahead_and_not_better(conclude: Any) -> None:
    text = conclude(effects={"bce": 0.006, "mae": 0.006}, noise=0.001)
    assert said(text)["bce", "released"] == "ahead of"
    assert "perhaps by less than the margin" in text


def test_on_grids_without_differences_at_most_one_in_twenty_claims_one(
    simulate: Simulate, record_property: Any
) -> None:
    claims = sum(
        bool(differences(conclusion(simulate(seed, {}, 0.008, heavy=seed % 2 == 1))))
        for seed in range(NULLS)
    )
    record_property("counted", f"conclusions: {claims} of {NULLS} null grids claim a difference")
    assert claims / NULLS <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / NULLS)


def test_no_conclusion_contradicts_the_verdicts_of_the_table(simulate: Simulate) -> None:
    seen = set()
    verdicts: dict[str, Verdict] = {
        "better than": "better", "worse than": "worse", "ahead of": "undecided",
        "behind": "undecided", "equivalent to": "equivalent",
    }  # fmt: skip
    for seed in range(60):
        rng = np.random.default_rng([seed, 8])
        effects = dict(zip(ARMS, rng.choice([0, 0.008, 0.02], 4), strict=True))
        summary = simulate(seed, effects, 0.003)
        rows = {(r.contrast.arm, r.contrast.minus): r for r in summary.primary}
        for pair, word in said(conclusion(summary)).items():
            assert rows[pair].judged == verdicts[word]
            mean = rows[pair].difference.mean
            assert word not in ("better than", "ahead of") or mean > 0
            assert word not in ("worse than", "behind") or mean < 0
            seen.add(word)
    assert seen == {*verdicts}


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_below_six_seeds_nothing_is_concluded(conclude: Any, seeds: int) -> None:
    text = conclude(seeds=seeds, effects={"bce": 0.3})
    assert text.startswith("Nothing can be concluded")
    assert f"{seeds} seed" in text
    assert not said(text)


def test_a_preset_without_evidence_concludes_nothing(conclude: Any) -> None:
    text = conclude(test=False, preset="smoke", effects={"bce": 0.3})
    assert text.startswith("Nothing can be concluded: preset smoke")
    assert not said(text)


def test_what_verdicts_rest_on_is_told(conclude: Any) -> None:
    own = "each contrast by its own 95 % interval against a margin of 0.005: "
    assert own in conclude(effects={"bce": 0.03, "mae": 0.03})
    assert own in conclude(noise=0.02)
    one = conclude(effects={"bce": 0.03}, contrasts=(("bce", "released"),))
    assert "by F_weighted, against a margin of 0.005: " in one


@pytest.mark.parametrize("settings", [{"test": False}, {"contrasts": ()}, {"seeds": 2}], ids=str)
def test_without_a_test_it_still_says_how_many_runs_are_missing(
    conclude: Any, settings: dict[str, Any]
) -> None:
    assert conclude(absent={("mae", 1): "missing"}, **settings).endswith("runs missing.")
    assert "missing" not in conclude(**settings)


def test_without_contrasts_nothing_is_concluded(conclude: Any) -> None:
    assert "names no contrasts" in conclude(contrasts=())
    assert "names no contrasts" in conclude(arms=("bce",))


def test_an_unfinished_grid_is_provisional_and_counts_what_is_missing(conclude: Any) -> None:
    text = conclude(absent={("mae", 1): "missing", ("bce", 1): "missing"}, effects={"bce": 0.03})
    assert text.startswith("Provisional, with 2 of 32 runs missing: in this data")
    assert "7 seeds" in text
    some = conclude(absent={("mae", seed): "missing" for seed in range(8)})
    assert some.startswith("Nothing can be concluded yet: no seed is complete")
    assert "with 8 of 32 runs missing" in some


def test_an_interval_over_other_seeds_than_those_of_the_test_says_over_how_many(
    conclude: Any,
) -> None:
    text = conclude(absent={("mae", 1): "missing"}, effects={"bce": 0.03, "mae": 0.06})
    assert "(preset laptop, 7 seeds)" in text
    own = r"“bce” is better than “released” \([^()]*\] over 8 seeds, adjusted p 0\.0156\)"
    assert re.search(own, text)
    assert re.search(r"“mae” is better than “bce” \([^()]*\], adjusted p 0\.0156\)", text)
    assert "over 8 seeds" not in conclude(effects={"bce": 0.03, "mae": 0.06})


def test_arms_with_failed_runs_are_named_as_their_seeds_left_may_be_the_better_ones(
    conclude: Any,
) -> None:
    absent = {("mae", 1): "failed", ("mae", 2): "failed", ("bce", 1): "missing"}
    text = conclude(absent=absent, effects={"bce": 0.03})
    assert text.startswith("Provisional, with 3 of 32 runs missing, of which 2 of “mae” failed: ")
    one_of_each = {(arm, 1): "failed" for arm in ARMS}
    assert (
        "with 4 of 32 runs missing, of which 1 of “none”, 1 of “released”, 1 of “bce” and 1 of "
        "others failed: "
    ) in conclude(absent=one_of_each)


@pytest.mark.parametrize(
    ("absent", "yet"),
    [
        ({("mae", seed): "failed" for seed in range(3)}, False),
        ({("mae", seed): "missing" for seed in range(3)}, True),
        ({("mae", 0): "failed", ("mae", 1): "missing", ("mae", 2): "running"}, True),
    ],
    ids=["failed", "missing", "both"],
)
def test_nothing_can_be_concluded_yet_only_where_runs_that_did_not_fail_would_do(
    conclude: Any, absent: dict[tuple[str, int], str], yet: bool
) -> None:
    lead = f"Nothing can be concluded{' yet' if yet else ''}: 5 seeds are complete"
    assert conclude(absent=absent).startswith(lead)


def test_seeds_added_after_a_look_are_told(conclude: Any) -> None:
    assert "8 seeds, 2 of them added after a look" in conclude(seeds_added=[6, 7])


def with_row(summary: Summary, **fields: Any) -> Summary:
    """The summary whose first contrast by the primary metric has other fields."""
    first, *rest = summary.primary
    rows = (replace(first, **fields), *rest)
    return replace(summary, contrasts={**summary.contrasts, summary.grid.primary: rows})


def test_a_claim_is_limited_to_the_test_set_unless_new_images_support_it(make_grid: Any) -> None:
    summary = summarise(load(make_grid(effects={"bce": 0.03}, contrasts=(("bce", "released"),))))
    wide, narrow = (Interval(8, 0.03, low, 0.06 - low, 0.01) for low in (0.004, 0.01))
    only = "holds for these 5 test images and is open for new ones"
    assert only in conclusion(with_row(summary, new_images=wide))
    assert only in conclusion(with_row(summary, new_images=None))
    assert "holds for new images of this kind too" in conclusion(
        with_row(summary, new_images=narrow)
    )


def test_an_interval_beyond_the_margin_is_no_claim_where_the_adjusted_p_is_above_5_percent(
    make_grid: Any,
) -> None:
    summary = summarise(load(make_grid(effects={"released": 0.03, "bce": 0.03, "mae": 0.03})))
    text = conclusion(with_row(summary, p=0.07))
    assert ("released", "none") not in said(text)
    assert "“released” − “none” is not settled" in text
    assert "alone lies beyond the margin, but p adjusted for all 3 contrasts is 0.07" in text


@pytest.mark.parametrize("kind", get_args(Claim))
def test_one_to_twenty_contrasts_give_two_whole_sentences(make_grid: Any, kind: Claim) -> None:
    base = summarise(load(make_grid(images=2)))
    for count in range(1, 21):
        summary = of_one_kind(base, kind, count)
        assert {claim(row, sign=1) for row in summary.primary} == {kind}
        text = conclusion(summary)
        assert len(re.findall(r"[.?](?= [A-Z“]|$)", text)) == 2
        assert text[-1] == ("?" if kind == "identical" else ".")
        for flaw in ("  ", " ,", "nan", " 1 more pairs", "the 1 ", "and and", ", and 8 more"):
            assert flaw not in text
        assert len(text) < 700
        rows = tuple(replace(row, new_images=None) for row in summary.primary[1:])
        mixed = {**summary.contrasts, summary.grid.primary: (summary.primary[0], *rows)}
        assert len(conclusion(replace(summary, contrasts=mixed))) < 900
