"""Read a grid's folder: grid.json, and every complete run as one long table.

Nothing is averaged over a gap: a damaged, mixed or NaN run is an error that names it, and cells
that did not finish are listed in `Results.absent` for the table to show.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.grid import Cell, Grid, parse_grid
from analysis.pairing import check_comparable
from analysis.pooled import COUNTS, POOLED, by_part, jackknifed, sums
from analysis.runs import MAY_LACK, Run, finished, read_json, read_run
from analysis.shares import of_taught_branches

Variant = Literal["plain", "published"]


@dataclass(frozen=True)
class Results:
    """One grid as it was found.

    `table` is long: grid, arm, seed, image, group, metric, value, one row per score of an image
    (counts of text detection among them).
    `images` describes the test images, which are its index: group, area (share of the pixels),
    outline (length over the image's diagonal), components. `runs` is long: arm, seed, metric,
    value of what a run has one of (F_max, H_mean, steps_90). `history`: arm, seed, step and the
    columns of history.csv. `absent` are the planned cells without a complete run, `code` the
    digest all runs share, `variant` how predictions were prepared for the metrics.
    """

    folder: Path
    grid: Grid
    table: pd.DataFrame
    images: pd.DataFrame
    runs: pd.DataFrame
    history: pd.DataFrame
    absent: tuple[Cell, ...]
    code: str
    variant: Variant

    @property
    def image_metrics(self) -> list[str]:
        """The metrics that every image has, in alphabetical order."""
        return sorted({*self.table["metric"].cat.categories} - {*COUNTS})

    @property
    def ranking(self) -> str | None:
        """The metric of images that stands for the primary one, if there is any."""
        primary = self.grid.primary
        found = "H_image" if primary in POOLED else primary
        return found if found in self.image_metrics else None

    @property
    def metrics(self) -> list[str]:
        """The metrics of images and those of whole runs, in alphabetical order."""
        return sorted({*self.image_metrics, *self.runs["metric"]})

    def run_folder(self, arm: str, seed: int) -> Path | None:
        """The folder of a complete run, or None."""
        for cell in self.grid.cells:
            if (cell.arm, cell.seed, cell.state) == (arm, seed, "complete"):
                return self.folder / cell.run
        return None


def load(folder: Path | str) -> Results:
    """Read `folder` (results/<grid>/<preset>), also while its grid runs or after it was killed.

    Raises FileNotFoundError for a file that should be there, and ValueError for a value that is
    not finite, an image that some runs lack, a metric that some runs of an arm lack, runs on
    other data, of another preset or made by other code, or a grid without any complete run.
    """
    folder = Path(folder)
    grid = _as_found(folder, read_grid(folder))
    complete = [cell for cell in grid.cells if cell.state == "complete"]
    if not complete:
        raise ValueError(
            f"{folder}: none of the {len(grid.cells)} planned runs is complete; "
            f"run `python experiments/run.py --grid {grid.name} --preset {grid.preset}` first"
        )
    runs = [read_run(folder, grid, cell) for cell in complete]
    check_comparable(grid, runs)
    runs = of_taught_branches(grid, runs)
    return Results(
        folder=folder,
        grid=grid,
        table=_long(grid, runs),
        images=runs[0].images,
        runs=_totals(runs),
        history=_histories(runs),
        absent=tuple(cell for cell in grid.cells if cell.state != "complete"),
        code=runs[0].code,
        variant=_variant(runs[0]),
    )


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
    return parse_grid(read_json(path, f"delete {path}, then run the grid again"), where=str(path))


def _as_found(folder: Path, grid: Grid) -> Grid:
    """The grid with what made its runs, and every cell complete whose run is.

    grid.json is written before and after the runs: while they run, or if they were killed, it
    knows less than its folder.
    """
    found = {cell: finished(folder / cell.run, cell) for cell in grid.cells if cell.run}
    done = {cell: meta for cell, meta in found.items() if meta}
    cells = tuple(replace(c, state="complete") if c in done else c for c in grid.cells)
    commit, versions = made_with([*done.values()])
    return replace(grid, cells=cells, commit=commit, versions=versions)


def made_with(metas: list[dict[str, Any]]) -> tuple[str, dict[str, str]]:
    """Commit, versions and device by the metrics.json of runs; several are joined by " / "."""
    found: dict[str, set[str]] = {}
    for meta in metas:
        versions = json.loads(meta.get("versions", "{}"))
        for name, value in (*versions.items(), ("device", meta.get("device", "unknown"))):
            found.setdefault(name, set()).add(value)
    commits = sorted({str(meta.get("commit", "")) for meta in metas})
    return " / ".join(commits), {name: " / ".join(sorted(v)) for name, v in found.items()}


def seed_means(results: Results, metric: str) -> pd.DataFrame:
    """One row per seed and one column per arm: the mean over the test images, or the run's own
    value of a metric of whole runs. NaN: no such run, or an arm without that metric."""
    rows = _rows(results, metric)
    means = rows.groupby(["seed", "arm"], observed=True)["value"].mean().unstack("arm")
    return means.reindex(columns=list(results.grid.arms))


def image_means(results: Results, metric: str, arm: str) -> pd.Series:
    """Mean over the seeds of one arm, one value per test image; empty without such runs."""
    rows = _rows(results, metric)
    means = rows[rows["arm"] == arm].groupby("image", observed=True)["value"].mean()
    return means.set_axis(means.index.astype(str))


def part_means(results: Results, metric: str, part: pd.Series) -> pd.DataFrame:
    """A metric of each part of the test set: rows (arm, seed), a column per part.

    `part` maps images to parts, as `results.images["group"]` maps them to objects; images that
    it leaves out do not count. The mean of a metric that images have, else the ratio of their
    counts (`pooled`).
    """
    if metric in POOLED:
        return by_part(results.table, metric, part)
    rows = _rows(results, metric)
    parts = rows["image"].map(part.to_dict()).rename("part")
    means = rows["value"].groupby([rows["arm"], rows["seed"], parts], observed=True).mean()
    return means.unstack("part")


def object_means(results: Results, metric: str) -> pd.DataFrame | None:
    """What each object (or photograph) says of a metric: rows (arm, seed), a column per object.

    Its images' mean, or what it adds to the ratio of the counts (`pooled.jackknifed`); None for
    another metric of whole runs.
    """
    groups = results.images["group"]
    if metric in results.image_metrics:
        return part_means(results, metric, groups)
    if metric in POOLED and metric in results.metrics:
        return jackknifed(*sums(results.table, metric, groups))
    return None


def _rows(results: Results, metric: str) -> pd.DataFrame:
    long = results.table if metric in results.image_metrics else results.runs
    return long[long["metric"] == metric]


def _variant(run: Run) -> Variant:
    name = run.setting.get("train.metrics", "plain")  # older files have none
    if name not in get_args(Variant):
        raise ValueError(
            f"{run.cell}: config.json has train.metrics = {name!r}, expected one of "
            f"{', '.join(get_args(Variant))}"
        )
    return cast(Variant, name)


def _long(grid: Grid, runs: list[Run]) -> pd.DataFrame:
    """The long table. Names are categories: a number's row takes 20 bytes rather than 200."""
    images = runs[0].images
    metrics = sorted({str(metric) for run in runs for metric in run.scores})
    groups = sorted(images["group"].unique())
    of_image = pd.Categorical(images["group"], categories=groups).codes
    counts = [run.scores.shape[1] for run in runs]
    lengths = [count * len(images) for count in counts]
    measured = [metrics.index(str(metric)) for run in runs for metric in run.scores]

    def named(codes: NDArray[Any] | list[int], names: list[str]) -> "pd.Categorical[str]":
        return pd.Categorical.from_codes(np.asarray(codes, dtype=np.int32), pd.Index(names))

    arms = list(grid.arms)
    rows = sum(counts)
    return pd.DataFrame(
        {
            "grid": named(np.zeros(sum(lengths)), [grid.name]),
            "arm": named(np.repeat([arms.index(run.cell.arm) for run in runs], lengths), arms),
            "seed": np.repeat([run.cell.seed for run in runs], lengths),
            "image": named(np.tile(np.arange(len(images)), rows), [*images.index.astype(str)]),
            "group": named(np.tile(of_image, rows), groups),
            "metric": named(np.repeat(measured, len(images)), metrics),
            "value": np.concatenate([run.scores.to_numpy().T.ravel() for run in runs]),
        }
    )


def _totals(runs: list[Run]) -> pd.DataFrame:
    """The long table of what a run has one of; none of an arm where some of its runs lack it."""
    lacking = {(run.cell.arm, metric) for run in runs for metric in MAY_LACK - {*run.totals}}
    rows = [
        (run.cell.arm, run.cell.seed, metric, float(value))
        for run in runs
        for metric, value in sorted(run.totals.items())
        if (run.cell.arm, metric) not in lacking
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value"])


def _histories(runs: list[Run]) -> pd.DataFrame:
    parts = []
    for run in runs:
        part = run.history.copy()
        part.insert(0, "seed", run.cell.seed)
        part.insert(0, "arm", run.cell.arm)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
