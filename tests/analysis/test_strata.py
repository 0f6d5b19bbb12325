"""Strata of the test images, and what the summary tells of every contrast."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.load import load
from analysis.stats import t_interval
from analysis.strata import StratumRow, strata
from analysis.summary import summarise


def rows_of(folder: Path) -> tuple[StratumRow, ...]:
    return strata(summarise(load(folder)))


def set_images(folder: Path, **columns: Any) -> None:
    """Give the images of every run these areas, outlines or components, in their order."""
    for path in folder.glob("runs/*/per_image.parquet"):
        table = pd.read_parquet(path)
        place = pd.factorize(table["image"], sort=True)[0]
        values = {name: np.asarray(column)[place] for name, column in columns.items()}
        table.assign(**values).to_parquet(path, index=False)


def test_terciles_split_the_images_by_their_own_values(make_grid: Any) -> None:
    rows = [row for row in rows_of(make_grid(images=12, seeds=3)) if row.by == "area"]
    found = list(dict.fromkeys((row.name, row.bounds, row.images) for row in rows))
    assert [(name, images) for name, _, images in found] == [
        ("small", 4), ("middle", 4), ("large", 4)
    ]  # fmt: skip
    lows, highs = zip(*(bounds for _, bounds, _ in found), strict=True)
    assert all(high < low for high, low in zip(highs, lows[1:], strict=False))


@pytest.mark.parametrize("by", ["area", "outline", "components"])
def test_every_image_is_in_one_stratum_and_none_is_empty(make_grid: Any, by: str) -> None:
    rows = [row for row in rows_of(make_grid(images=25, seeds=3)) if row.by == by]
    strata_of = {row.name: row.images for row in rows}
    assert sum(strata_of.values()) == 25
    assert min(strata_of.values()) > 0
    assert len(rows) == len(strata_of) * 3 * 3  # contrasts, primary metric and guards


def test_a_stratums_difference_is_that_of_its_images_over_the_seeds(make_grid: Any) -> None:
    folder = make_grid(images=12, seeds=3)
    results = load(folder)
    row = next(r for r in rows_of(folder) if (r.name, r.contrast.arm) == ("small", "mae"))
    small = results.images.index[results.images["area"] <= row.bounds[1]]
    table = results.table[(results.table["metric"] == "F_weighted")]
    means = table[table["image"].isin(small)].groupby(["arm", "seed"], observed=True)["value"]
    known = t_interval((means.mean()["mae"] - means.mean()["bce"]).to_numpy())
    assert (row.images, row.metric) == (4, "F_weighted")
    found = row.difference
    assert (found.n, found.mean, found.low) == pytest.approx((3, known.mean, known.low))


def test_an_effect_on_small_objects_alone_is_seen_there_alone(make_grid: Any) -> None:
    folder = make_grid(images=12, seeds=3, noise=0.0005)
    for path in folder.glob("runs/3-*/per_image.parquet"):  # mae
        table = pd.read_parquet(path)
        better = 0.02 * (table["area"] < table["area"].quantile(1 / 3))
        table.assign(value=table["value"] + better).to_parquet(path, index=False)
    found = {
        row.name: row.difference.mean
        for row in rows_of(folder)
        if (row.by, row.contrast.arm, row.metric) == ("area", "mae", "F_weighted")
    }
    assert found["small"] > 0.015
    assert abs(found["middle"]) < 0.005 > abs(found["large"])


def test_components_are_grouped_so_that_no_group_is_empty(make_grid: Any) -> None:
    folder = make_grid(images=8, seeds=2)
    set_images(folder, components=[0, 1, 1, 2, 5, 6, 20, 1])
    groups = {r.name: (r.bounds, r.images) for r in rows_of(folder) if r.by == "components"}
    assert groups == {
        "0": ((0, 0), 1), "1": ((1, 1), 3), "2-5": ((2, 5), 2), "6 and more": ((6, 20), 2)
    }  # fmt: skip
    set_images(folder, components=[1, 1, 1, 1, 1, 1, 3, 3])
    assert list(dict.fromkeys(r.name for r in rows_of(folder) if r.by == "components")) == [
        "1", "2-5"
    ]  # fmt: skip


def test_equal_values_stay_together_and_what_all_images_share_makes_no_stratum(
    make_grid: Any,
) -> None:
    folder = make_grid(images=9, seeds=2)
    set_images(folder, area=[0.1] * 7 + [0.5] * 2, outline=[1.0] * 9, components=[1] * 9)
    found = dict.fromkeys((row.by, row.name, row.bounds, row.images) for row in rows_of(folder))
    assert list(found) == [
        ("area", "small", (0.1, 0.1), 7),
        ("area", "large", (0.5, 0.5), 2),
    ]


def test_few_images_have_no_strata(make_grid: Any) -> None:
    assert rows_of(make_grid(images=5, seeds=2)) == ()
    assert rows_of(make_grid(images=6, seeds=2)) != ()


def test_an_arm_without_runs_or_without_the_metric_has_no_difference(make_grid: Any) -> None:
    absent = {("mae", seed): "missing" for seed in range(3)}
    settings = {"gradient": ("none", "bce"), "guards": ["G_corr", "F_max"]}
    rows = rows_of(make_grid(absent=absent, images=6, seeds=3, **settings))
    counts = {(row.contrast.arm, row.metric): row.difference.n for row in rows}
    assert counts == {
        ("released", "F_weighted"): 3, ("bce", "F_weighted"): 3, ("mae", "F_weighted"): 0,
        ("released", "G_corr"): 0, ("bce", "G_corr"): 0, ("mae", "G_corr"): 0,
    }  # fmt: skip
