"""Grids that are refused: damaged, mixed, or naming what is not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.load import load

# Damage to what was planned, and runs of which no single one is to blame.
PLAN = ("list", "key lacking", "cell twice", "arm twice", "odd state", "unplanned", "other code")


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_table(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_a_run_whose_files_were_lost_is_an_error_that_names_the_file(make_grid: Any) -> None:
    for name in ("per_image.parquet", "metrics.json", "history.csv", "config.json"):
        folder = make_grid(seeds=2)
        (folder / "runs/1-0" / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"1-0.{name} not found") as error:
            load(folder)
        assert f"delete {folder / 'runs/1-0'}, then run the grid again" in str(error.value)


def damage(name: str, folder: Path) -> None:
    """One kind of damage to a grid of two seeds."""
    run = folder / "runs/3-1"
    table, metrics, grid = run / "per_image.parquet", run / "metrics.json", folder / "grid.json"
    config, history = run / "config.json", run / "history.csv"
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
            edit_table(table, lambda t: pd.concat([t, t.head(1).assign(image="new.png")]))
        case "other images":
            edit_table(table, lambda t: t.assign(image=t["image"].replace("000.png", "new.png")))
        case "other group":
            edit_table(table, lambda t: t.assign(group="x"))
        case "other area":
            edit_table(table, lambda t: t.assign(area=t["area"] + 0.01))
        case "two areas":
            edit_table(table, lambda t: t.assign(area=t["area"].where(t.index != 3, 0.01)))
        case "group null":
            edit_table(table, lambda t: t.assign(group=t["group"].where(t.index != 3)))
        case "area nan":
            edit_table(table, lambda t: t.assign(area=t["area"].where(t.index != 3)))
        case "total lacking":
            test = json.loads(metrics.read_text())["test"]
            edit_json(metrics, test={k: v for k, v in test.items() if k != "F_max"})
        case "total nan":
            edit_json(metrics, test={"F_max": float("nan")})
        case "other preset":
            edit_json(config, train={"steps": 200, "batch": 8, "lr": 5e-3})
        case "other size":
            edit_json(config, data={"name": "embedded", "size": [256, 256]})
        case "half a table":
            table.write_bytes(table.read_bytes()[:500])
        case "history empty":
            history.write_text("step,loss\n")
        case "no history":
            history.write_text("")
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
        ("no column", r"expected rows of image, group, area, .*, value, seen 25 rows"),
        ("no rows", r"seen 0 rows"),
        ("image lacking", r"mae/1 lacks image '000.png' compared with none/0"),
        ("metric lacking", r"mae/1 lacks S compared with mae/0"),
        ("image added", r"mae/1 lacks BIoU of image 'new.png', which other metrics have"),
        ("other images", r"mae/1 lacks image '000.png' compared with none/0"),
        ("other group", r"mae/1 describes image '000.png' by x, 0.1, 0.5, 1, none/0 by object 0"),
        ("other area", r"mae/1 describes image '000.png' by object 0, 0.11, 0.5"),
        ("two areas", r"image '003.png' has more than one area"),
        ("group null", r"rows without an image, a group or a metric"),
        ("area nan", r"1 values are not finite, the first is area of image '003.png' = nan"),
        ("total lacking", r"mae/1 lacks F_max compared with mae/0"),
        ("total nan", r"metrics.json: F_max is nan, expected a finite number"),
        ("other preset", r"mae/1 has train.steps = 200, none/0 100: runs of different presets"),
        ("other size", r"mae/1 has data.size = \[256, 256\], none/0 \[128, 128\]"),
        ("half a table", r"per_image.parquet is not Parquet"),
        ("history empty", r"expected rows with a column step, seen 0 rows of step, loss"),
        ("no history", r"history.csv is not CSV"),
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
    with pytest.raises(ValueError, match=message) as error:
        load(folder)
    if name not in PLAN:
        assert f"delete {folder / 'runs/3-1'}" in str(error.value)
        assert str(error.value).endswith("then run the grid again")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"primary": "F_weigthed"}, r"no direction \(did you mean 'F_weighted'\?\)"),
        ({"primary": "HCE"}, r"primary metric 'HCE' was not measured; the runs hold BIoU"),
        ({"guards": ["HCE"]}, r"guards metric 'HCE' was not measured"),
        ({"contrasts": (("mse", "bce"),)}, r"unknown arm 'mse' \(did you mean 'mae'\?\)"),
        ({"contrasts": (("bce", "bce"),)}, r"compares an arm with itself"),
        ({"contrasts": (("bce", "mae"),) * 2}, r"contrast bce − mae is there twice"),
        ({"contrasts": (("bce", "mae"), ("mae", "bce"))}, r"contrast mae − bce is there twice"),
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


def test_a_folder_above_the_presets_is_refused_with_their_names(tmp_path: Path) -> None:
    for preset in ("laptop", "smoke"):
        (tmp_path / preset).mkdir()
        (tmp_path / preset / "grid.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"presets found below it: laptop, smoke"):
        load(tmp_path)
