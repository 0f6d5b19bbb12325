"""Which runs are behind a number of a table: `python -m analysis.report FOLDER --trace ...`."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.grid import Contrast
from analysis.load import part_means, seed_means
from analysis.metrics import METRICS, nearest
from analysis.sections import change, definitions, stratum_label
from analysis.spelling import DASH, number, places, ranges
from analysis.stats import Interval
from analysis.strata import StratumRow, strata
from analysis.summary import Summary


def trace(summary: Summary, arm: str, metric: str, *, stratum: str = "") -> str:
    """The runs behind a cell: for each seed its value, run hash, commit and folder.

    `arm` is an arm, or a contrast spelled "mae - bce", for which each seed has both runs and
    their difference. `stratum` takes a contrast's difference on one part of the test images,
    "area:small". The values average to the table's cell.

    Raises:
        ValueError: an arm, contrast, metric or stratum that the grid does not have, with the
            nearest that it has.
    """
    if metric not in summary.metrics:
        raise ValueError(f"no metric {metric!r}{nearest(metric, list(summary.metrics))}")
    rows = summary.contrasts[metric]
    pairs = {_plain(str(row.contrast)): row for row in rows}
    pair = pairs.get(_plain(arm))
    known = [*pairs] if stratum else [*summary.grid.arms, *pairs]
    where = ""
    if arm in summary.grid.arms and not stratum:
        title, table, foot = arm, *_arm(summary, arm, metric)
    elif pair is not None:
        found = _part(summary, pair.contrast, metric, stratum) if stratum else None
        means = _means(summary, metric, found)
        where = f", {found.by} {stratum_label(found)}" if found else ""
        difference = found.difference if found else pair.difference
        title, table, foot = (
            str(pair.contrast),
            *_contrast(summary, pair.contrast, difference, means, places(summary)[metric]),
        )
    else:
        raise ValueError(f"no {'' if stratum else 'arm or '}contrast {arm!r}"
                         f"{nearest(_plain(arm), known)}")  # fmt: skip
    head = f"{title} by {metric}{where}: {METRICS[metric].about if metric in METRICS else metric}"
    return "\n".join(
        [definitions(summary), head, "", *_aligned(table), "", foot, _origin(summary)]
    )


def _part(summary: Summary, contrast: Contrast, metric: str, stratum: str) -> StratumRow:
    rows = {f"{row.by}:{row.name}": row for row in strata(summary)
            if (row.contrast, row.metric) == (contrast, metric)}  # fmt: skip
    if not rows:
        raise ValueError(f"no strata of {metric}: the table has none by it, or too few images")
    if stratum not in rows:
        raise ValueError(f"no stratum {stratum!r} of {metric}{nearest(stratum, list(rows))}")
    return rows[stratum]


def _means(summary: Summary, metric: str, part: StratumRow | None) -> pd.DataFrame:
    """Means over the test images, or over those of a part: rows seeds, columns arms."""
    if part is None:
        return seed_means(summary.results, metric)
    sizes = summary.results.images[part.by]
    inside = sizes.index[sizes.between(*part.bounds)]
    means = part_means(summary.results, metric, pd.Series(part.name, index=inside))
    return means[part.name].unstack("arm")


def _arm(summary: Summary, arm: str, metric: str) -> tuple[list[list[str]], str]:
    row, means = summary.arms[arm, metric], seed_means(summary.results, metric)
    table = [["seed", "value", "hash", "commit", "folder"]]
    for seed in row.seeds:
        table.append([str(seed), f"{_value(means, seed, arm):.10g}", *_run(summary, arm, seed)])
    digits = places(summary)[metric]
    half = number(row.mean.half, digits)
    cell = number(row.mean.mean, digits) + ("" if half == DASH else f" ± {half}")
    lacking = sorted({*summary.grid.seeds} - {*row.seeds})
    gap = f"; no value of seeds {ranges(tuple(lacking))}" if lacking else ""
    return table, f"{_mean(row.mean)}; in the table: {cell}{gap}"


def _contrast(
    summary: Summary, contrast: Contrast, difference: Interval, means: pd.DataFrame, digits: int
) -> tuple[list[list[str]], str]:
    arms = (contrast.arm, contrast.minus)
    parts = [f"{part} of {arm}" for arm in arms for part in ("hash", "commit", "folder")]
    table = [["seed", "difference", *arms, *parts]]
    both = means.reindex(columns=[*arms]).dropna() if difference.n else means.iloc[:0]
    for seed in both.index:
        one, other = (_value(means, seed, arm) for arm in arms)
        runs = [part for arm in arms for part in _run(summary, arm, seed)]
        table.append([str(seed), f"{one - other:.10g}", f"{one:.10g}", f"{other:.10g}", *runs])
    return table, f"{_mean(difference)}; in the table: {change(difference, digits)}"


def _mean(interval: Interval) -> str:
    return f"mean of {interval.n}: {interval.mean:.10g}" if interval.n else "no run"


def _value(means: pd.DataFrame, seed: int, arm: str) -> float:
    return float(means[arm].to_dict()[seed])


def _run(summary: Summary, arm: str, seed: int) -> tuple[str, str, str]:
    """A complete run's hash and commit, and its folder relative to the grid's."""
    cell = next(c for c in summary.grid.cells if (c.arm, c.seed) == (arm, seed))
    path = summary.results.folder / cell.run / "metrics.json"
    commit = json.loads(path.read_text(encoding="utf-8")).get("commit", "")
    return cell.hash, commit or DASH, Path(cell.run).as_posix()


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
