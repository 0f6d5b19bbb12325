"""Which runs are behind a number of a table: `python -m analysis.report FOLDER --trace ...`."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.load import seed_means
from analysis.metrics import METRICS, nearest
from analysis.notes import DASH, finer, number, places, ranges, span
from analysis.summary import ContrastRow, Summary


def trace(summary: Summary, arm: str, metric: str) -> str:
    """The runs behind a cell: for each seed its value, run hash, commit and folder.

    `arm` is an arm, or a contrast spelled "mae - bce", for which each seed has both runs and
    their difference. The values average to the table's cell. Raises ValueError for an arm,
    contrast or metric that the grid does not have, with the nearest that it has.
    """
    if metric not in summary.metrics:
        raise ValueError(f"no metric {metric!r}{nearest(metric, list(summary.metrics))}")
    pairs = {_plain(str(row.contrast)): row for row in summary.contrasts[metric]}
    if arm in summary.grid.arms:
        title, table, foot = arm, *_arm(summary, arm, metric)
    elif (pair := pairs.get(_plain(arm))) is not None:
        title, table, foot = str(pair.contrast), *_contrast(summary, pair)
    else:
        known = [*summary.grid.arms, *pairs]
        raise ValueError(f"no arm or contrast {arm!r}{nearest(_plain(arm), known)}")
    head = f"{title} by {metric}: {METRICS[metric].about if metric in METRICS else metric}"
    return "\n".join([head, "", *_aligned(table), "", foot, _origin(summary)])


def _arm(summary: Summary, arm: str, metric: str) -> tuple[list[list[str]], str]:
    row, means = summary.arms[arm, metric], seed_means(summary.results, metric)
    table = [["seed", "value", "hash", "commit", "folder"]]
    for seed in row.seeds:
        folder, found = _run(summary, arm, seed)
        table.append([str(seed), f"{_value(means, seed, arm):.10g}", *found, folder])
    digits = places(summary)[metric]
    half = number(row.mean.half, digits)
    cell = number(row.mean.mean, digits) + ("" if half == DASH else f" ± {half}")
    lacking = sorted({*summary.grid.seeds} - {*row.seeds})
    gap = f"; no value of seeds {ranges(tuple(lacking))}" if lacking else ""
    return table, f"mean of {row.mean.n}: {row.mean.mean:.10g}; in the table: {cell}{gap}"


def _contrast(summary: Summary, row: ContrastRow) -> tuple[list[list[str]], str]:
    one, other = row.contrast.arm, row.contrast.minus
    means = seed_means(summary.results, row.metric)
    table = [["seed", "difference", one, other, f"hash of {one}", f"hash of {other}"]]
    for seed, value in zip(row.seeds, row.values, strict=True):
        hashes = [_run(summary, arm, seed)[1][0] for arm in (one, other)]
        values = [f"{_value(means, seed, arm):.10g}" for arm in (one, other)]
        table.append([str(seed), f"{value:.10g}", *values, *hashes])
    digits = finer(row.difference, places(summary)[row.metric])
    cell = number(row.difference.mean, digits, signed=True)
    interval = span(row.difference, digits)
    mean = f"mean of {row.difference.n}: {row.difference.mean:.10g}"
    return table, f"{mean}; in the table: {cell} {interval}"


def _value(means: pd.DataFrame, seed: int, arm: str) -> float:
    return float(means[arm].to_dict()[seed])


def _run(summary: Summary, arm: str, seed: int) -> tuple[str, tuple[str, str]]:
    """A complete run's folder, relative to the grid's, with its hash and commit."""
    cell = next(c for c in summary.grid.cells if (c.arm, c.seed) == (arm, seed))
    path = summary.results.folder / cell.run / "metrics.json"
    commit = json.loads(path.read_text(encoding="utf-8")).get("commit", "")
    return Path(cell.run).as_posix(), (cell.hash, commit or DASH)


def _origin(summary: Summary) -> str:
    grid = summary.grid
    versions = ", ".join(f"{name} {version}" for name, version in sorted(grid.versions.items()))
    return (
        f"grid {grid.name}, preset {grid.preset}; data {grid.data_name}, digest "
        f"{grid.data_digest}; metrics {summary.results.variant}; code digest "
        f"{summary.results.code}; commit {grid.commit or 'unknown'}; {versions}"
    )


def _plain(name: str) -> str:
    return " ".join(name.replace("−", "-").split())


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
