"""Reading a grid: what is complete is one long table (what is refused: test_load_refuses.py)."""

import json
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from analysis.load import Variant, image_means, load, part_means, seed_means
from analysis.runs import INCIDENTAL, steps_to_90
from experiments import config


def test_a_complete_grid_is_one_long_table_of_every_measured_number(make_grid: Any) -> None:
    results = load(make_grid(seeds=3, images=4))
    columns = ["grid", "arm", "seed", "image", "group", "metric", "value"]
    assert list(results.table.columns) == columns
    assert len(results.table) == 4 * 3 * 4 * 5  # arms, seeds, images, metrics
    assert results.absent == ()
    assert not results.table.isna().any().any()


def test_the_images_are_described_by_group_and_mask(make_grid: Any) -> None:
    images = load(make_grid(seeds=1, images=4)).images
    assert list(images.index) == ["000.png", "001.png", "002.png", "003.png"]
    assert list(images["group"]) == ["object 0", "object 0", "object 1", "object 1"]
    assert list(images["components"]) == [1, 3, 5, 7]
    assert list(images["area"]) == [0.125, 0.5, 0.375, 0.25]


def test_metrics_of_whole_runs_stand_beside_those_of_images(make_grid: Any) -> None:
    folder = make_grid(seeds=2)
    results = load(folder)
    assert results.image_metrics == ["BIoU", "F_weighted", "IoU", "MAE", "S"]
    assert set(results.metrics) - set(results.image_metrics) == {"E_max", "F_max", "steps_90"}
    known = json.loads((folder / "runs/2-1/metrics.json").read_text())["test"]["F_max"]
    assert seed_means(results, "F_max").loc[1, "bce"] == known


def test_the_history_is_one_long_table_of_every_runs_steps(make_grid: Any) -> None:
    history = load(make_grid(seeds=2)).history
    assert list(history.columns[:4]) == ["arm", "seed", "step", "loss"]
    assert len(history) == 4 * 2 * 100
    assert history["val_F_weighted"].notna().sum() == 4 * 2 * 10


def test_a_metric_that_an_arm_does_not_have_is_nan_in_all_of_that_arm(make_grid: Any) -> None:
    results = load(make_grid(seeds=3, gradient=("bce", "mae")))
    assert {"G_MAE", "G_corr"} <= set(results.image_metrics)
    assert seed_means(results, "G_corr").isna().sum().to_dict() == {
        "none": 3, "released": 3, "bce": 0, "mae": 0
    }  # fmt: skip
    assert image_means(results, "G_corr", "none").empty
    assert len(image_means(results, "G_corr", "mae")) == 5


def test_the_means_of_an_image_and_of_an_object_are_over_their_runs(make_grid: Any) -> None:
    folder = make_grid(seeds=2, images=4)
    results = load(folder)
    tables = [pd.read_parquet(folder / f"runs/3-{seed}/per_image.parquet") for seed in (0, 1)]
    rows = pd.concat([table[table["metric"] == "IoU"].assign(seed=i)
                      for i, table in enumerate(tables)])  # fmt: skip
    known = rows.groupby("image")["value"].mean()
    assert image_means(results, "IoU", "mae").to_dict() == pytest.approx(known.to_dict())
    objects = part_means(results, "IoU", results.images["group"]).loc["mae"]
    known = rows[rows["group"] == "object 1"].groupby("seed")["value"].mean()
    assert objects["object 1"].to_dict() == pytest.approx(known.to_dict())


@pytest.mark.parametrize(
    ("values", "turn", "expected"),
    [
        ([0.2, 0.6, 0.8, 1.0], 1, 35.0),  # .9, between the third and the last
        ([0.2, 0.6, 1.0, 0.5], 1, 27.5),  # of the best, not of the last
        ([0.9, 0.5, 1.0, 0.95], 1, 10.0),  # there at once
        ([1.0, 0.5, 0.2, 0.0], -1, 35.0),  # nine tenths of the way down from the first
        ([0.3, 0.4, 0.5, 0.6], -1, 10.0),  # never better than at first
        ([0.5, 0.5, 0.5, 0.5], 1, 10.0),
        ([0.7], 1, 10.0),
    ],
)
def test_the_steps_to_ninety_percent_are_read_off_the_line_between_validations(
    values: list[float], turn: int, expected: float
) -> None:
    steps = pd.Series(np.arange(10, 10 * len(values) + 1, 10))
    assert steps_to_90(steps, pd.Series(values), turn=turn) == pytest.approx(expected)


def test_steps_are_counted_as_taken_and_need_two_validations(make_grid: Any) -> None:
    folder = make_grid(arms=("bce",), seeds=1)
    path = folder / "runs/0-0/history.csv"
    history = pd.read_csv(path)
    flat = history["val_F_weighted"].notna()
    history.assign(val_F_weighted=history["val_F_weighted"].where(~flat, 0.5)).to_csv(path)
    assert seed_means(load(folder), "steps_90").loc[0, "bce"] == 10  # the row of step 9
    history.assign(val_F_weighted=history["val_F_weighted"].where(~flat, 0.0)).to_csv(path)
    assert "steps_90" not in load(folder).metrics
    first = history["step"] == 9
    history.assign(val_F_weighted=history["val_F_weighted"].where(first)).to_csv(path)
    assert "steps_90" not in load(folder).metrics


def test_a_primary_metric_that_falls_is_followed_downwards(make_grid: Any) -> None:
    results = load(make_grid(seeds=2, primary="MAE", guards=["IoU"]))
    steps = seed_means(results, "steps_90").mean()
    assert steps.is_monotonic_increasing  # later arms of the toy learn more slowly
    assert steps.between(10, 100).all()


def test_the_metrics_variant_is_that_of_the_runs_and_plain_by_default(make_grid: Any) -> None:
    assert load(make_grid(seeds=1)).variant == "plain"
    assert load(make_grid(seeds=1, variant="published")).variant == "published"
    with pytest.raises(ValueError, match=r"train.metrics = 'stretched', expected one of plain"):
        load(make_grid(seeds=1, variant="stretched"))


def test_settings_that_no_result_depends_on_may_differ_between_runs(make_grid: Any) -> None:
    folder = make_grid(seeds=2)
    path = folder / "runs/1-1/config.json"
    content = json.loads(path.read_text())
    content["data"] |= {"name": "/elsewhere/embedded", "workers": 4}
    content["train"] |= {"save_seconds": 1.0}
    path.write_text(json.dumps(content))
    assert len(load(folder).table) == 4 * 2 * 5 * 5


def test_names_may_hold_any_letters(make_grid: Any) -> None:
    names = ("α_β & 50 %", "naïve|$x$")
    results = load(make_grid(arms=names, contrasts=(names,), seeds=2, baseline=names[0]))
    assert list(seed_means(results, "IoU").columns) == list(names)
    assert set(results.table["arm"]) == set(names)


def test_the_seed_mean_is_the_mean_over_the_images_of_that_run(make_grid: Any) -> None:
    folder = make_grid(seeds=2)
    table = pd.read_parquet(folder / "runs/2-1/per_image.parquet")
    expected = table[table["metric"] == "IoU"]["value"].mean()
    assert seed_means(load(folder), "IoU").loc[1, "bce"] == pytest.approx(expected, abs=1e-15)


def test_cells_that_did_not_finish_are_listed_and_not_averaged(make_grid: Any) -> None:
    absent = {("mae", 1): "failed", ("none", 0): "missing", ("bce", 2): "running"}
    results = load(make_grid(seeds=3, absent=absent))
    assert {(c.arm, c.seed): c.state for c in results.absent} == absent
    means = seed_means(results, "IoU")
    assert int(means.isna().sum().sum()) == 3
    assert pd.isna(means.loc[1, "mae"])


def test_a_run_that_is_complete_counts_whatever_grid_json_says(make_grid: Any) -> None:
    """While a grid runs, and after it was killed, grid.json is that of its beginning."""
    folder = make_grid(seeds=3)
    whole = load(folder)
    content = json.loads((folder / "grid.json").read_text())
    for cell in content["cells"]:
        cell["state"] = "missing"
        path = folder / cell["run"] / "metrics.json"
        made = {"commit": f"c{cell['seed']}", "versions": json.dumps({"torch": "2.13.0"})}
        path.write_text(json.dumps({**json.loads(path.read_text()), **made, "device": "cpu"}))
    (folder / "grid.json").write_text(json.dumps(content))
    runs = {(cell["arm"], cell["seed"]): folder / cell["run"] for cell in content["cells"]}
    (runs["mae", 2] / "metrics.json").unlink()  # at work, or killed
    other = runs["none", 0] / "metrics.json"
    other.write_text(json.dumps({**json.loads(other.read_text()), "hash": "another definition's"}))
    found = load(folder)
    assert [str(cell) for cell in found.absent] == ["none/0", "mae/2"]
    assert len(found.table) == len(whole.table) * 10 // 12
    assert found.run_folder("bce", 1) == runs["bce", 1]
    assert found.grid.commit == "c0 / c1 / c2"
    assert found.grid.versions == {"torch": "2.13.0", "device": "cpu"}


def test_a_cell_that_grid_json_leaves_out_is_missing(make_grid: Any) -> None:
    folder = make_grid(seeds=2)
    content = json.loads((folder / "grid.json").read_text())
    content["cells"] = content["cells"][1:]
    (folder / "grid.json").write_text(json.dumps(content))
    assert [str(c) for c in load(folder).absent] == ["none/0"]


def test_what_runs_may_differ_in_is_what_their_hash_leaves_out() -> None:
    assert {path.split(".")[1] for path in config.INCIDENTAL} == {*INCIDENTAL}
    assert get_args(Variant) == get_args(config.Variant)
