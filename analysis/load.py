"""Read a grid's folder: grid.json, and every complete run as one long table.

Nothing is averaged over a gap: a damaged, mixed or NaN run is an error that names it, and cells
that did not finish are listed in `Results.absent` for the table to show.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.grid import Cell, Grid, parse_grid

COLUMNS = ("image", "group", "metric", "value")


@dataclass(frozen=True)
class Results:
    """One grid as it was found.

    `table` is long: grid, arm, seed, image, group, metric, value, one row per measured number.
    `absent` are the planned cells without a complete run, `code` the digest all runs share.
    """

    folder: Path
    grid: Grid
    table: pd.DataFrame
    absent: tuple[Cell, ...]
    code: str

    @property
    def metrics(self) -> list[str]:
        """The measured metrics, in alphabetical order."""
        return sorted(self.table["metric"].unique())

    @property
    def images(self) -> int:
        """How many test images every run was scored on."""
        return int(self.table["image"].nunique())

    def run_folder(self, arm: str, seed: int) -> Path | None:
        """The folder of a complete run, or None."""
        for cell in self.grid.cells:
            if (cell.arm, cell.seed, cell.state) == (arm, seed, "complete"):
                return self.folder / cell.run
        return None


def load(folder: Path | str) -> Results:
    """Read `folder` (results/<grid>/<preset>).

    Raises FileNotFoundError for a file that should be there, and ValueError for a value that is
    not finite, an image or metric that some runs lack, runs on other data or made by other code,
    or a grid without any complete run.
    """
    folder = Path(folder)
    grid = read_grid(folder)
    complete = [cell for cell in grid.cells if cell.state == "complete"]
    if not complete:
        raise ValueError(
            f"{folder}: none of the {len(grid.cells)} planned runs is complete; "
            f"run `python experiments/run.py --grid {grid.name} --preset {grid.preset}` first"
        )
    code = _one_code([(cell, _checked_meta(folder, grid, cell)) for cell in complete])
    frames = [_read_run(folder / cell.run) for cell in complete]
    _check_alike(complete, frames)
    _check_named_metrics(grid, set(frames[0]["metric"]))
    for cell, frame in zip(complete, frames, strict=True):
        frame.insert(0, "seed", cell.seed)
        frame.insert(0, "arm", cell.arm)
        frame.insert(0, "grid", grid.name)
    absent = tuple(cell for cell in grid.cells if cell.state != "complete")
    return Results(folder, grid, pd.concat(frames, ignore_index=True), absent, code)


def read_grid(folder: Path) -> Grid:
    """Read and check `folder`/grid.json; the error names the likely folder when it is absent."""
    path = folder / "grid.json"
    if not path.is_file():
        inner = sorted(p.parent.name for p in folder.glob("*/grid.json"))
        hint = f"; presets found below it: {', '.join(inner)}" if inner else ""
        raise FileNotFoundError(
            f"{path} not found: expected a folder results/<grid>/<preset> written by "
            f"experiments/run.py{hint}"
        )
    return parse_grid(_read_json(path), where=str(path))


def seed_means(results: Results, metric: str) -> pd.DataFrame:
    """Mean over the test images, one row per seed and one column per arm (NaN: no such run)."""
    rows = results.table[results.table["metric"] == metric]
    means = rows.groupby(["seed", "arm"], sort=True)["value"].mean().unstack("arm")
    return means.reindex(columns=list(results.grid.arms))


def image_means(results: Results, metric: str, arm: str) -> pd.Series:
    """Mean over the seeds of one arm, one value per test image."""
    rows = results.table[(results.table["metric"] == metric) & (results.table["arm"] == arm)]
    return rows.groupby("image", sort=True)["value"].mean()


def _checked_meta(folder: Path, grid: Grid, cell: Cell) -> str:
    """The code digest of one run, after its metrics.json was found to be that cell's."""
    path = folder / cell.run / "metrics.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found, although grid.json calls {cell} complete; run the grid again"
        )
    meta = _read_json(path)
    seen = (meta.get("arm"), meta.get("seed"), meta.get("hash"))
    if seen != (cell.arm, cell.seed, cell.hash):
        raise ValueError(
            f"{path} says arm, seed, hash {seen}, expected {(cell.arm, cell.seed, cell.hash)} "
            "from grid.json; the folder holds another run"
        )
    if meta.get("data_digest") != grid.data_digest:
        raise ValueError(
            f"{cell} was scored on data {_short(meta.get('data_digest'))}, the grid's data are "
            f"{_short(grid.data_digest)}; runs on different data make no table, run it again"
        )
    return str(meta.get("code_digest"))


def _one_code(runs: list[tuple[Cell, str]]) -> str:
    """The one code digest of all runs; several are refused with who has which."""
    holders: dict[str, list[str]] = {}
    for cell, code in runs:
        holders.setdefault(code, []).append(str(cell))
        if cell.code and cell.code != code:
            raise ValueError(
                f"{cell}: metrics.json has code digest {_short(code)}, grid.json "
                f"{_short(cell.code)}; run the grid again"
            )
    if len(holders) > 1:
        parts = [
            f"{_short(code)}: {len(cells)} runs ({', '.join(cells[:3])}"
            f"{', ...' if len(cells) > 3 else ''})"
            for code, cells in sorted(holders.items(), key=lambda item: -len(item[1]))
        ]
        raise ValueError(
            "runs made by different code make no table; code digests " + "; ".join(parts)
        )
    return next(iter(holders))


def _read_run(run: Path) -> pd.DataFrame:
    """One per_image.parquet, sorted by metric and image; every value is finite."""
    path = run / "per_image.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; the run is incomplete, run the grid again")
    frame = pd.read_parquet(path)
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking or frame.empty:
        raise ValueError(
            f"{path}: expected rows of {', '.join(COLUMNS)}, seen {len(frame)} rows of "
            f"{', '.join(map(str, frame.columns))}"
        )
    frame = frame[list(COLUMNS)].sort_values(["metric", "image"], ignore_index=True)
    bad = frame[~np.isfinite(frame["value"].to_numpy(dtype=float))]
    if len(bad):
        first = bad.iloc[0]
        raise ValueError(
            f"{path}: {len(bad)} values are not finite, the first is {first['metric']} of image "
            f"{first['image']!r} = {first['value']}; a mean over the rest would hide it"
        )
    twice = frame[frame.duplicated(["metric", "image"])]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(f"{path}: {first['metric']} of image {first['image']!r} is there twice")
    return frame


def _check_alike(cells: list[Cell], frames: list[pd.DataFrame]) -> None:
    """Every run was scored on the same images by the same metrics, else they are not paired."""
    expected = _keys(frames[0])
    for cell, frame in zip(cells[1:], frames[1:], strict=True):
        keys = _keys(frame)
        if keys == expected:
            continue
        word: Literal["lacks", "adds"] = "lacks" if expected - keys else "adds"
        metric, image, group = sorted((expected - keys) or (keys - expected))[0]
        raise ValueError(
            f"{cell} {word} {metric} of image {image!r} (group {group!r}) compared with "
            f"{cells[0]}; paired arms need the same images and metrics, run the grid again"
        )


def _keys(frame: pd.DataFrame) -> set[tuple[str, str, str]]:
    return set(zip(frame["metric"], frame["image"], frame["group"], strict=True))


def _check_named_metrics(grid: Grid, measured: set[str]) -> None:
    for role, names in (("primary", (grid.primary,)), ("guards", grid.guards)):
        for name in names:
            if name not in measured:
                raise ValueError(
                    f"{role} metric {name!r} was not measured; the runs hold "
                    f"{', '.join(sorted(measured))}"
                )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); run the grid again") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected an object, seen {type(raw).__name__}")
    return raw


def _short(digest: object) -> str:
    return str(digest)[:12]
