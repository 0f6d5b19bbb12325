"""What the summary tells of every arm and contrast."""

import math
from typing import Any

import numpy as np
import pytest

from analysis.load import load, part_means, seed_means
from analysis.power import smallest_detectable
from analysis.stats import crossed_interval
from analysis.summary import ContrastRow, Summary, best_separated, summarise


def summary_of(make_grid: Any, **settings: Any) -> Summary:
    return summarise(load(make_grid(**settings)))


def row_of(summary: Summary, metric: str, arm: str) -> ContrastRow:
    return next(row for row in summary.contrasts[metric] if row.contrast.arm == arm)


def test_new_images_are_judged_by_objects_crossed_with_seeds(make_grid: Any) -> None:
    summary = summary_of(make_grid, images=8, seeds=4)
    objects = part_means(summary.results, "IoU", summary.results.images["group"])
    known = crossed_interval((objects.loc["mae"] - objects.loc["bce"]).to_numpy())
    assert row_of(summary, "IoU", "mae").new_images == known


def test_images_of_one_object_are_averaged_first(make_grid: Any) -> None:
    summary = summary_of(make_grid, images=3, seeds=4)  # two of one object, one of another
    table = summary.results.table
    rows = table[(table["metric"] == "IoU") & table["arm"].isin(["mae", "bce"])]
    means = rows.groupby(["arm", "image"], observed=True)["value"].mean().unstack("image")
    by_image = (means.loc["mae"] - means.loc["bce"]).to_numpy()
    expected = (by_image[:2].mean() + by_image[2]) / 2
    row = row_of(summary, "IoU", "mae")
    assert row.new_images is not None
    assert row.new_images.mean == pytest.approx(expected)
    assert row.difference.mean == pytest.approx(by_image.mean())


def test_what_differs_from_object_to_object_widens_the_interval_for_new_images(
    make_grid: Any,
) -> None:
    alike, uneven = (
        row_of(summary_of(make_grid, images=20, seeds=4, object_noise=sd), "IoU", "mae")
        for sd in (0.0, 0.05)
    )
    assert alike.new_images is not None
    assert uneven.new_images is not None
    assert alike.new_images.half == pytest.approx(alike.difference.half)
    assert uneven.new_images.half > 3 * uneven.difference.half
    assert uneven.difference.half == pytest.approx(alike.difference.half)


@pytest.mark.parametrize("settings", [{"images": 2}, {"seeds": 1}], ids=str)
def test_one_object_or_one_seed_says_nothing_of_new_images(
    make_grid: Any, settings: dict[str, int]
) -> None:
    summary = summary_of(make_grid, **settings)
    assert {row.new_images for rows in summary.contrasts.values() for row in rows} == {None}


def test_metrics_of_whole_runs_have_seed_intervals_and_none_for_new_images(make_grid: Any) -> None:
    summary = summary_of(make_grid)
    for metric in ("F_max", "E_max", "steps_90"):
        row = row_of(summary, metric, "mae")
        assert (row.difference.n, row.new_images, row.p, row.judged) == (8, None, None, None)
        assert row.difference.half > 0


def test_an_arm_without_a_metric_is_unknown_by_it_and_no_arm_is_best(make_grid: Any) -> None:
    summary = summary_of(make_grid, gradient=("bce", "mae"), effects={"mae": 0.05})
    assert summary.arms["mae", "G_corr"].mean.n == 8
    assert math.isnan(summary.arms["none", "G_corr"].mean.mean)
    assert not any(row.best or row.second for (_, m), row in summary.arms.items() if m == "G_corr")
    row = row_of(summary, "G_corr", "released")
    assert (row.difference.n, row.superiority, row.new_images) == (0, None, None)
    assert row_of(summary, "G_corr", "mae").superiority is not None


def test_superiority_counts_the_seeds_in_which_the_arm_was_better(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects={"mae": 0.05})
    for metric in ("F_weighted", "MAE"):
        found = row_of(summary, metric, "mae").superiority
        assert found is not None
        assert (found.share, found.high) == (1.0, 1.0)
        assert found.low == pytest.approx(0.025 ** (1 / 8))


def test_what_could_have_been_detected_is_told_for_every_metric(make_grid: Any) -> None:
    summary = summary_of(make_grid)
    for rows in summary.contrasts.values():
        for row in rows:
            assert row.detectable == smallest_detectable(row.difference.sd, row.difference.n)
            assert 0.9 < row.detectable / (1.156 * row.difference.sd) < 1.1  # n = 8


def test_the_runner_up_is_named_only_beside_a_best(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects={"mae": 0.05, "bce": 0.02})
    marks = {arm: (row.best, row.second) for (arm, m), row in summary.arms.items() if m == "MAE"}
    assert marks == {
        "none": (False, False), "released": (False, False), "bce": (False, True),
        "mae": (True, False),
    }  # fmt: skip
    tied = summary_of(make_grid, effects={"mae": 0.05, "bce": 0.05})
    assert not any(row.second for (_, m), row in tied.arms.items() if m == "F_weighted")


def test_no_runner_up_is_named_where_arms_have_different_seeds(make_grid: Any) -> None:
    effects = {"mae": 0.05, "bce": 0.02}
    summary = summary_of(make_grid, effects=effects, absent={("none", 7): "missing"})
    assert summary.arms["mae", "F_weighted"].best
    assert not any(row.second for row in summary.arms.values())


def test_best_and_second_are_named_by_the_shown_metrics_alone(make_grid: Any) -> None:
    summary = summary_of(make_grid, gradient=("none", "released", "bce", "mae"),
                         effects={"mae": 0.05, "bce": 0.02})  # fmt: skip
    assert best_separated(seed_means(summary.results, "G_corr"), 1) == "mae"
    assert best_separated(seed_means(summary.results, "steps_90"), -1) == "none"
    named = {metric for (_, metric), row in summary.arms.items() if row.best or row.second}
    assert named == {*summary.shown}


def test_arms_are_identical_where_no_seed_tells_them_apart(make_grid: Any) -> None:
    summary = summary_of(make_grid, noise=0.0, object_noise=0.0, effects={"mae": 1e-9})
    assert [row.identical for row in summary.primary] == [True, True, False]
    none = {("mae", seed): "missing" for seed in range(8)}
    assert not row_of(summary_of(make_grid, absent=none), "IoU", "mae").identical


def test_identical_arms_and_constant_metrics_are_equivalent_and_even(make_grid: Any) -> None:
    summary = summary_of(make_grid, noise=0.0, object_noise=0.0)
    for row in summary.primary:
        assert row.judged == "equivalent"
        assert row.p is not None
        assert (row.difference.mean, row.detectable) == pytest.approx((0, 0))
        assert row.new_images is not None
        assert (row.new_images.low, row.new_images.high) == pytest.approx((0, 0))
    assert not any(row.best for (_, m), row in summary.arms.items() if m == "F_weighted")


def test_a_half_finished_grid_pairs_the_seeds_that_both_arms_have(make_grid: Any) -> None:
    summary = summary_of(make_grid, absent={("bce", 0): "failed", ("mae", 3): "missing"})
    row = row_of(summary, "IoU", "mae")
    assert row.seeds == (1, 2, 4, 5, 6, 7)
    assert row.new_images is not None
    assert row.new_images.n == 6
    assert np.isfinite(row.new_images.half)
