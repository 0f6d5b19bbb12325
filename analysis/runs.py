"""Read one run's folder: what it was, its scores image by image, its history."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.grid import Cell, Grid
from analysis.metrics import sign
from analysis.pooled import checked

MASK = ("area", "outline", "components")  # what describes an image's mask
COLUMNS = ("image", "group", *MASK, "metric", "value")
MAY_LACK = {"steps_90"}  # a metric that a run of an arm may lack: it then has no mean
# Settings on which no result depends; runs may differ in them and still be of one preset.
INCIDENTAL = ("cache", "image_dir", "mask_dir", "name", "save_seconds", "start", "workers")


@dataclass(frozen=True)
class Run:
    """One complete run in its `folder`.

    `scores` has the images as rows and the metrics as columns, both sorted; `images` describes
    each image by group, area, outline and components; `totals` are the metrics of the whole run;
    `setting` are the data and train settings that all runs of a preset share.
    """

    cell: Cell
    folder: Path
    code: str
    setting: dict[str, Any]
    scores: pd.DataFrame
    images: pd.DataFrame
    totals: dict[str, float]
    history: pd.DataFrame


def read_run(folder: Path, grid: Grid, cell: Cell) -> Run:
    """Read and check a complete cell's run.

    Raises FileNotFoundError for a file that is gone, ValueError for one that is damaged, for a
    value that is not finite, for sums that its counts do not make and for another run than
    grid.json names.
    """
    run = folder / cell.run
    meta = _meta(run, grid, cell)
    scores, images = _scores(run / "per_image.parquet", cell)
    history = _history(run / "history.csv")
    told = meta.get("test", {})
    totals = {metric: value for metric, value in told.items() if metric not in scores}
    if grid.task == "text":
        totals = checked(run, scores, totals, again(run))
    steps = _steps_90(history)
    if steps is not None:
        totals["steps_90"] = steps
    _check_totals(run / "metrics.json", totals)
    setting = _setting(run / "config.json")
    code = str(meta.get("code_digest"))
    return Run(cell, run, code, setting, scores, images, totals, history)


def finished(run: Path, cell: Cell) -> dict[str, Any] | None:
    """What metrics.json, which a run writes last, holds; None without one of the cell's hash."""
    path = run / "metrics.json"
    meta = read_json(path, again(run)) if path.is_file() else {}
    return meta if meta.get("hash") == cell.hash else None


def again(*runs: Path) -> str:
    """How to mend runs: while a run's folder has its metrics.json, a grid leaves it as it is."""
    return f"delete {' or '.join(map(str, runs))}, then run the grid again"


def read_json(path: Path, mend: str) -> dict[str, Any]:
    """The object that a JSON file holds; `mend` says what to do if it holds none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; {mend}")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {mend}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected an object, seen {type(raw).__name__}; {mend}")
    return raw


def short(digest: object) -> str:
    """A digest's first 12 digits."""
    return str(digest)[:12]


def steps_to_90(steps: pd.Series, values: pd.Series, *, turn: int) -> float:
    """Steps after which a validation metric has come 90 % of its way.

    The first step at which the curve, linear between validations, reaches .9 of its best
    value; where less is better (`turn` -1), .9 of the way from the first validation to the
    best. A curve that is there at its first validation gives that one's step: an upper bound.
    `steps` and `values` (K,), K >= 1, in order.
    """
    x, y = steps.to_numpy(dtype=float), values.to_numpy(dtype=float)
    goal = 0.9 * y.max() if turn > 0 else y[0] + 0.9 * (y.min() - y[0])
    there = int(np.argmax(turn * y >= turn * goal))
    if there == 0:
        return float(x[0])
    before, after = turn * y[there - 1], turn * y[there]
    part = (turn * goal - before) / (after - before)
    return float(x[there - 1] + part * (x[there] - x[there - 1]))


def _meta(run: Path, grid: Grid, cell: Cell) -> dict[str, Any]:
    """A run's metrics.json, found to be that cell's."""
    path = run / "metrics.json"
    meta = read_json(path, f"grid.json calls {cell} complete: {again(run)}")
    seen = (meta.get("arm"), meta.get("seed"), meta.get("hash"))
    if seen != (cell.arm, cell.seed, cell.hash):
        raise ValueError(
            f"{path} says arm, seed, hash {seen}, expected {(cell.arm, cell.seed, cell.hash)} "
            f"from grid.json; the folder holds another run: {again(run)}"
        )
    if meta.get("data_digest") != grid.data_digest:
        raise ValueError(
            f"{cell} was scored on data {short(meta.get('data_digest'))}, the grid's data are "
            f"{short(grid.data_digest)}; runs on different data make no table: {again(run)}"
        )
    return meta


def _setting(path: Path) -> dict[str, Any]:
    """`data.*`, `train.*` and `boxes.*`, how words are found, of a run's config.json without
    what no result depends on."""
    config = read_json(path, again(path.parent))
    return {
        f"{part}.{key}": value
        for part in ("data", "train", "boxes")
        for key, value in config.get(part, {}).items()
        if key not in INCIDENTAL
    }


def _scores(path: Path, cell: Cell) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One per_image.parquet: the scores (images x metrics), all finite, and the images."""
    mend = again(path.parent)
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; {mend}")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these
        raise ValueError(f"{path} is not Parquet ({error}); {mend}") from error
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking or frame.empty:
        raise ValueError(
            f"{path}: expected rows of {', '.join(COLUMNS)}, seen {len(frame)} rows of "
            f"{', '.join(map(str, frame.columns))}; {mend}"
        )
    _check_finite(path, frame)
    image, names = pd.factorize(frame["image"], sort=True)
    metric, metrics = pd.factorize(frame["metric"], sort=True)
    place = metric * len(names) + image
    counts = np.bincount(place, minlength=len(metrics) * len(names))
    if (counts != 1).any():
        odd = int(np.argmax(counts != 1))
        what = f"{metrics[odd // len(names)]} of image {names[odd % len(names)]!r}"
        if counts[odd]:
            raise ValueError(f"{path}: {what} is there twice; {mend}")
        raise ValueError(f"{cell} lacks {what}, which other metrics have; {mend}")
    values = np.empty(counts.size)
    values[place] = frame["value"]
    scores = pd.DataFrame(values.reshape(len(metrics), -1).T, names, metrics)
    return scores, _images(path, frame, image, names)


def _check_finite(path: Path, frame: pd.DataFrame) -> None:
    mend = again(path.parent)
    if frame[["image", "group", "metric"]].isna().any(axis=None):
        raise ValueError(f"{path}: rows without an image, a group or a metric; {mend}")
    for column in ("value", *MASK):
        bad = frame[~np.isfinite(frame[column].to_numpy(dtype=float))]
        if len(bad):
            first = bad.iloc[0]
            what = first["metric"] if column == "value" else column
            raise ValueError(
                f"{path}: {len(bad)} values are not finite, the first is {what} of image "
                f"{first['image']!r} = {first[column]}; {mend}"
            )


def _images(
    path: Path, frame: pd.DataFrame, image: NDArray[np.intp], names: pd.Index
) -> pd.DataFrame:
    """What describes each image, found to be the same in all of its rows."""
    first = np.unique(image, return_index=True)[1]
    kept = {}
    for column in ("group", *MASK):
        values = frame[column].to_numpy()
        kept[column] = values[first]
        differing = values != kept[column][image]
        if differing.any():
            name = names[image[np.argmax(differing)]]
            mend = again(path.parent)
            raise ValueError(f"{path}: image {name!r} has more than one {column}; {mend}")
    types = {"area": float, "outline": float, "components": int}
    return pd.DataFrame(kept, names.rename("image")).astype(types)


def _history(path: Path) -> pd.DataFrame:
    mend = again(path.parent)
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; {mend}")
    try:
        history = pd.read_csv(path)
    except ValueError as error:  # pandas' errors for what is no CSV are ValueErrors
        raise ValueError(f"{path} is not CSV ({error}); {mend}") from error
    if "step" not in history or history.empty:
        raise ValueError(
            f"{path}: expected rows with a column step, seen {len(history)} rows of "
            f"{', '.join(map(str, history.columns))}; {mend}"
        )
    return history


def _steps_90(history: pd.DataFrame) -> float | None:
    """Steps to 90 % of the validation metric; None below two validations, and where more is better
    but the best is 0: nothing was learned, and that soon."""
    column = next((name for name in history.columns if name.startswith("val_")), None)
    curve = history[["step", column]].dropna() if column else history.head(0)
    if column is None or len(curve) < 2:
        return None
    # a row's step counts from 0, and its validation came after it
    turn = sign(column.removeprefix("val_"))
    if turn > 0 and not curve[column].max() > 0:
        return None
    return steps_to_90(curve["step"] + 1, curve[column], turn=turn)


def _check_totals(path: Path, totals: dict[str, float]) -> None:
    for metric, value in totals.items():
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError(
                f"{path}: {metric} is {value!r}, expected a finite number; {again(path.parent)}"
            )
