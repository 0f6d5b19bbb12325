"""Reading a grid: what is complete is one long table, what is damaged or mixed is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.load import load, seed_means
from analysis.report import main


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_table(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_a_complete_grid_is_one_long_table_of_every_measured_number(make_grid: Any) -> None:
    results = load(make_grid(seeds=3, images=4))
    columns = ["grid", "arm", "seed", "image", "group", "metric", "value"]
    assert list(results.table.columns) == columns
    assert len(results.table) == 4 * 3 * 4 * 5  # arms, seeds, images, metrics
    assert results.images == 4
    assert results.absent == ()


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


def test_a_cell_that_grid_json_leaves_out_is_missing(make_grid: Any) -> None:
    folder = make_grid(seeds=2)
    cells = json.loads((folder / "grid.json").read_text())["cells"]
    edit_json(folder / "grid.json", cells=cells[1:])
    assert [str(c) for c in load(folder).absent] == ["none/0"]


def test_a_run_whose_files_were_lost_is_an_error_that_names_the_file(make_grid: Any) -> None:
    for name in ("per_image.parquet", "metrics.json"):
        folder = make_grid(seeds=2)
        (folder / "runs/1-0" / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"1-0.{name}"):
            load(folder)


def damage(name: str, folder: Path) -> None:
    """One kind of damage to a grid of two seeds."""
    run = folder / "runs/3-1"
    table, metrics, grid = run / "per_image.parquet", run / "metrics.json", folder / "grid.json"
    match name:
        case "nan":
            edit_table(table, lambda t: t.assign(value=t["value"].where(t.index != 3)))
        case "infinite":
            edit_table(table, lambda t: t.assign(value=float("inf")))
        case "twice":
            edit_table(table, lambda t: pd.concat([t, t.head(1)]))
        case "no column":
            edit_table(table, lambda t: t.drop(columns="group"))
        case "no rows":
            edit_table(table, lambda t: t.head(0))
        case "image lacking":
            edit_table(table, lambda t: t[t["image"] != "000.png"])
        case "metric lacking":
            edit_table(table, lambda t: t[t["metric"] != "S"])
        case "image added":
            extra = {"image": "new.png", "group": "x", "metric": "S", "value": 0.5}
            edit_table(table, lambda t: pd.concat([t, pd.DataFrame([extra])]))
        case "other code":
            edit_json(metrics, code_digest="0ther")
            cells = json.loads(grid.read_text())["cells"]
            edit_json(grid, cells=[{**c, "code": ""} for c in cells])
        case "code not grid's":
            edit_json(metrics, code_digest="0ther")
        case "other data":
            edit_json(metrics, data_digest="0ther")
        case "other run":
            edit_json(metrics, seed=0)
        case "not json":
            metrics.write_text("{")
        case "list":
            grid.write_text("[]")
        case "key lacking":
            content = json.loads(grid.read_text())
            del content["margin"]
            grid.write_text(json.dumps(content))
        case "cell twice":
            cells = json.loads(grid.read_text())["cells"]
            edit_json(grid, cells=[*cells, cells[0]])
        case "arm twice":
            edit_json(grid, arms=["bce", "mae", "none", "released", "bce"])
        case "odd state":
            edit_json(grid, cells=[{"arm": "bce", "seed": 0, "state": "done"}])
        case "unplanned":
            edit_json(grid, cells=[{"arm": "bce", "seed": 9, "state": "complete"}])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", r"1 values are not finite, the first is .* of image '00\d.png' = nan"),
        ("infinite", r"25 values are not finite"),
        ("twice", r"of image '000.png' is there twice"),
        ("no column", r"expected rows of image, group, metric, value, seen 25 rows"),
        ("no rows", r"seen 0 rows"),
        ("image lacking", r"mae/1 lacks BIoU of image '000.png'"),
        ("metric lacking", r"mae/1 lacks S of image"),
        ("image added", r"mae/1 adds S of image 'new.png'"),
        ("other code", r"code digests c0dec0dec0de: 7 runs .*; 0ther: 1 runs \(mae/1\)"),
        ("code not grid's", r"metrics.json has code digest 0ther, grid.json c0dec0dec0de"),
        ("other data", r"mae/1 was scored on data 0ther, the grid's data are da7ada7ada7a"),
        ("other run", r"the folder holds another run"),
        ("not json", r"metrics.json is not JSON"),
        ("list", r"expected an object, seen list"),
        ("key lacking", r"lacks margin"),
        ("cell twice", r"cell none/0 is there twice"),
        ("arm twice", r"arms with different names, seen \['bce'"),
        ("odd state", r"cell bce/0 is 'done', expected one of complete, failed"),
        ("unplanned", r"cell bce/9 is not planned"),
    ],
)
def test_damaged_and_mixed_results_are_refused_by_name(
    make_grid: Any, name: str, message: str
) -> None:
    folder = make_grid(seeds=2)
    damage(name, folder)
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"primary": "F_weigthed"}, r"no direction \(did you mean 'F_weighted'\?\)"),
        ({"primary": "HCE"}, r"primary metric 'HCE' was not measured; the runs hold BIoU"),
        ({"guards": ["Dice"]}, r"guards metric 'Dice' was not measured"),
        ({"contrasts": (("mse", "bce"),)}, r"unknown arm 'mse' \(did you mean 'mae'\?\)"),
        ({"contrasts": (("bce", "bce"),)}, r"compares an arm with itself"),
        ({"margin": -1}, r"margin is -1, expected a number >= 0"),
        ({"margin": float("nan")}, r"margin is nan"),
    ],
)
def test_a_grid_that_names_what_is_not_there_is_refused(
    make_grid: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(make_grid(seeds=1, **settings))


def test_a_grid_without_a_complete_run_says_what_to_run(make_grid: Any) -> None:
    absent = {(arm, 0): "missing" for arm in ("bce", "mae")}
    with pytest.raises(ValueError, match="none of the 2 planned runs is complete; run `python"):
        load(make_grid(arms=("bce", "mae"), seeds=1, absent=absent))


def test_the_command_line_ends_with_2_and_names_the_presets_below_a_wrong_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "laptop").mkdir()
    (tmp_path / "laptop/grid.json").write_text("{}")
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "grid.json not found" in error
    assert "presets found below it: laptop" in error
