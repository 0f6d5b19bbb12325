"""Two scales of a grid beside each other: what is said, what is refused, what is written."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import report
from analysis import scales as beside
from analysis.load import load
from analysis.scales import Scales, answer, compare, notes
from analysis.spelling import DASH
from analysis.summary import Summary, summarise

from .conftest import write_grid
from .text_grid import write_text_grid

ARMS = ("none", "released", "bce", "mae", "hybrid")
SPREAD = {"none": -0.06, "released": -0.03, "bce": 0.0, "mae": 0.03, "hybrid": 0.06}
Effects = Mapping[str, float]


class Pair:
    """Two written runs of the same arms without effects; effects and noise are added in memory."""

    def __init__(self, folder: Path) -> None:
        self.runs = []
        for preset in ("laptop", "evening"):
            (folder / preset).mkdir()
            path = write_grid(folder / preset, arms=ARMS, preset=preset, images=1, noise=0.0,
                              object_noise=0.0)  # fmt: skip
            self.runs.append(summarise(load(path)))

    def __call__(self, small: Effects, large: Effects, noise: float = 0.002) -> Scales:
        rng = np.random.default_rng(1)
        return compare(*(
            _shifted(run, effects, noise * rng.normal(size=(5, 8)))
            for run, effects in zip(self.runs, (small, large), strict=True)
        ))  # fmt: skip


def _shifted(run: Summary, effects: Effects, noise: Any) -> Summary:
    table = run.results.table
    shift = table["arm"].map({arm: effects.get(arm, 0.0) for arm in ARMS}).astype(float)
    jitter = noise[table["arm"].cat.codes, table["seed"]]
    moved = table.assign(value=table["value"] + shift + jitter)
    return summarise(replace(run.results, table=moved))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """`pair(small, large)` compares a laptop and an evening run with these effects of arms."""
    return Pair(tmp_path_factory.mktemp("pair"))


def both(make_grid: Any, arms: tuple[str, ...], **settings: Any) -> Scales:
    """A laptop and an evening run of these arms without effects."""
    folders = [make_grid(arms=arms, preset=p, images=1, **settings) for p in ("laptop", "evening")]
    return compare(*(summarise(load(folder)) for folder in folders))


@pytest.fixture(scope="module")
def found(pair: Pair) -> Scales:
    """Two scales that order all arms the same way."""
    return pair(SPREAD, SPREAD)


def test_scales_that_agree_are_said_to(found: Scales) -> None:
    assert found.tau is not None
    assert (found.tau.low, found.tau.mean, found.tau.high) == (1, 1, 1)
    said = answer(found)
    assert "By F_weighted, of 10 pairs of arms laptop separates 10, evening 10" in said
    assert "the 10 that both separate lie the same way" in said
    assert "tau of the arms' means is +1.00, that of the true means within [+1.00, +1.00]" in said


def test_pairs_that_lie_opposite_ways_are_named(pair: Pair) -> None:
    turned = SPREAD | {"none": SPREAD["hybrid"], "hybrid": SPREAD["none"]}
    found = pair(SPREAD, turned)
    assert ("none", "hybrid") in found.separated(-1)
    said = answer(found)
    assert "of the 10 that both separate 3 lie the same way and 7 opposite ways" in said
    assert "“none” − “released”, “none” − “bce”, “none” − “mae”, 4 more" in said
    assert found.tau is not None
    assert found.tau.mean == pytest.approx(-0.4)


def test_a_scale_that_separates_nothing_confirms_nothing(pair: Pair) -> None:
    said = answer(pair({}, SPREAD, noise=0.01))
    assert "laptop separates none, evening" in said
    assert "evening neither confirms nor refutes the order of laptop" in said
    assert "that of the true means may be anything" in said


def test_scales_that_order_no_three_arms_have_no_tau(pair: Pair) -> None:
    found = pair({"mae": 0.05}, {"mae": 0.05}, noise=0.01)
    assert found.tau is None
    assert "a rank correlation would be one of noise" in answer(found)
    row = next(line for line in beside.markdown(found).splitlines() if "Kendall's tau of" in line)
    assert row.count(DASH) == 2


def test_below_seven_seeds_no_pair_is_separated_and_that_is_said(make_grid: Any) -> None:
    found = both(make_grid, ARMS[:3], effects=SPREAD, seeds=6)
    assert "laptop separates none (6 seeds, and it takes 7)" in answer(found)
    assert not found.agreement.any()


def test_r_without_the_arm_furthest_from_the_others_is_told(pair: Pair) -> None:
    found = pair({"mae": 0.5}, {"mae": 0.5}, noise=0.01)
    assert found.furthest == "mae"
    assert found.r is not None
    assert found.r.mean > 0.99
    assert "without “mae”, furthest from the others, it is" in answer(found)
    assert "| `mae` left out: r |" in beside.markdown(found)


def test_a_correlation_of_noise_is_said_to_tell_nothing(pair: Pair) -> None:
    same = pair({}, SPREAD, noise=0.0)
    assert same.r is None
    assert same.small.reliability == 0
    assert "tells nothing: in laptop they differ by no more than noise" in answer(same)


def test_three_arms_are_too_few_to_correlate(make_grid: Any) -> None:
    found = both(make_grid, ARMS[:3], effects=SPREAD, seeds=2)
    assert found.r is None
    assert "3 arms are too few for a correlation" in answer(found)
    assert not any("Pearson" in note for note in notes(found))


def test_common_arms_and_seeds_alone_count_in_the_order_of_the_large_scale(
    make_grid: Any,
) -> None:
    small = make_grid(arms=ARMS, preset="laptop", absent={("mae", 2): "failed"}, images=1)
    large = make_grid(arms=("extra", *ARMS[:0:-1]), contrasts=(("bce", "mae"),), seeds=2,
                      images=1)  # fmt: skip
    found = compare(summarise(load(small)), summarise(load(large)))
    assert found.arms == ("hybrid", "mae", "bce", "released")
    assert found.small.seeds == (0, 1, 3, 4, 5, 6, 7)
    assert found.small.values.shape == (7, 4)
    said = "\n".join(notes(found))
    assert "left out: none, extra" in said
    assert "unfinished: 1 of 40 runs are not here" in said
    assert [str(row.contrast) for row in found.changes] == ["bce − mae"]  # there: mae − bce


def test_a_change_of_a_contrast_is_large_minus_small(pair: Pair) -> None:
    found = pair({"mae": 0.01}, {"mae": 0.04}, noise=0.0)
    row = next(row for row in found.changes if str(row.contrast) == "mae − bce")
    assert row.change.mean == pytest.approx(0.03)
    assert row.change.mean == pytest.approx(row.large.mean - row.small.mean)
    assert "| contrast | `laptop` | `evening` | `evening` − `laptop` |" in beside.markdown(found)


def test_ranks_of_a_metric_of_errors_begin_at_the_least(make_grid: Any) -> None:
    found = both(make_grid, ARMS, effects=SPREAD, seeds=2, primary="MAE", guards=[])
    assert [rank for rank, _, _ in found.large.ranks] == [5, 4, 3, 2, 1]
    assert found.large.means[0] > found.large.means[-1]


def test_runs_of_one_preset_are_told_apart_by_their_folders(make_grid: Any) -> None:
    folders = [make_grid(seeds=2, images=1) for _ in range(2)]
    found = compare(*(summarise(load(folder)) for folder in folders))
    assert [scale.label for scale in found.both] == [folder.name for folder in folders]
    assert "preset laptop" in notes(found)[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"grid": "other"}, "the grid is toy in .* and other in"),
        ({"primary": "S"}, "the primary metric is F_weighted in .* and S in"),
        ({"variant": "published"}, "the metrics' variant is plain in .* and published in"),
        ({"test": False, "preset": "smoke"}, "preset smoke prints no test"),
        ({"arms": ("bce", "mae", "b", "c")}, "have 2 arms in common, expected at least three"),
        ({"absent": {("mae", 1): "missing"}}, "1 seeds are complete in all"),
    ],
    ids=["grid", "metric", "variant", "test", "arms", "seeds"],
)
def test_runs_that_are_no_two_scales_of_one_question_are_refused(
    make_grid: Any, settings: dict[str, Any], said: str
) -> None:
    small, large = (
        make_grid(**{"seeds": 2, "images": 1} | own) for own in ({"preset": "evening"}, settings)
    )
    before = {path.name for path in large.iterdir()}
    with pytest.raises(ValueError, match=said):
        report.write(large, small)
    assert {path.name for path in large.iterdir()} == before
    with pytest.raises(ValueError, match="compared with itself"):
        report.write(small, small.parent / "." / small.name)


def test_an_arm_with_another_loss_is_refused_by_the_knob_that_differs(make_grid: Any) -> None:
    small, large = (make_grid(seeds=2, images=1, preset=p) for p in ("laptop", "evening"))
    for path in large.glob("runs/3-*/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        config["model"]["preset"] = "official"  # presets differ in models
        config["loss"]["pixel"]["gamma"] = 5.0
        path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"arm 'mae': loss.pixel.gamma is 'not set' in .* and 5.0"
    ):
        compare(summarise(load(small)), summarise(load(large)))


def test_two_arms_that_find_no_word_at_a_scale_have_no_interval_there(tmp_path: Path) -> None:
    runs = []
    for preset, silent in (("laptop", ("bce", "dice")), ("bench", ())):
        (tmp_path / preset).mkdir()
        folder = write_text_grid(tmp_path / preset, seeds=2, silent=silent, preset=preset)
        runs.append(summarise(load(folder)))
    row = compare(*runs).changes[0]
    assert np.isnan([row.small.low, row.small.high, row.change.low, row.change.high]).all()
    assert np.isfinite([row.large.low, row.large.high]).all()


def test_an_arm_without_a_run_at_one_scale_is_refused_with_what_is_complete(
    make_grid: Any,
) -> None:
    small = make_grid(seeds=3, images=1, preset="laptop")
    large = make_grid(seeds=3, images=1, preset="evening",
                      absent={("mae", seed): "missing" for seed in range(3)})  # fmt: skip
    with pytest.raises(ValueError, match=r"mae 0\), expected at least two; run the grid to its"):
        compare(summarise(load(small)), summarise(load(large)))
