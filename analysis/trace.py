"""Which runs are behind a number of a table: `python -m analysis.report FOLDER --trace ...`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from analysis.grid import Contrast
from analysis.load import part_means, seed_means
from analysis.metrics import METRICS, nearest
from analysis.pooled import COUNTS, POOLED, TEXT_FREE, sums
from analysis.sections import change, definitions, stratum_label
from analysis.spelling import DASH, number, places, ranges, row_places
from analysis.stats import Interval
from analysis.strata import StratumRow, kinds, strata
from analysis.summary import Summary


def trace(summary: Summary, arm: str, metric: str, *, stratum: str = "") -> str:
    """The runs behind a cell: for each seed its value, run hash, commit and folder.

    `arm` is an arm, or a contrast spelled "mae - bce", for which each seed has both runs and
    their difference. `stratum` takes a contrast's difference on one part of the test images,
    "area:small". The values average to the table's cell; those made of counts have them beside
    them, and the thresholds that the run chose.

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
        inside = _inside(summary, found)
        where = f"{_by(found)} {stratum_label(found)}" if found else ""
        difference = found.difference if found else pair.difference
        title, table, foot = (
            str(pair.contrast),
            *_contrast(summary, pair.contrast, metric, difference, inside),
        )
    else:
        raise ValueError(f"no {'' if stratum else 'arm or '}contrast {arm!r}"
                         f"{nearest(_plain(arm), known)}")  # fmt: skip
    head = f"{title} by {metric}{where}: {METRICS[metric].about if metric in METRICS else metric}"
    return "\n".join(
        [definitions(summary), head, "", *_aligned(table), "", foot, _origin(summary)]
    )


def _part(summary: Summary, contrast: Contrast, metric: str, stratum: str) -> StratumRow:
    every = [row for row in strata(summary) if row.contrast == contrast]
    rows = {f"{row.by}:{row.name}": row for row in every if row.metric == metric}
    others = dict.fromkeys(r.metric for r in every if f"{r.by}:{r.name}" == stratum)
    if stratum not in rows and others:
        raise ValueError(f"no stratum {stratum!r} of {metric}: it has {', '.join(others)}")
    if not rows:
        raise ValueError(f"no strata of {metric}: the table has none by it, or too few images")
    if stratum not in rows:
        raise ValueError(f"no stratum {stratum!r} of {metric}{nearest(stratum, list(rows))}")
    return rows[stratum]


def _by(part: StratumRow) -> str:
    return "," if part.metric == TEXT_FREE else f", {part.by}"


def _inside(summary: Summary, part: StratumRow | None) -> pd.Index | None:
    """The test images of a part; None: all of them."""
    if part is None:
        return None
    sizes = kinds(summary.results)[part.by]
    return sizes.index[sizes.between(*part.bounds)]


def _means(summary: Summary, metric: str, inside: pd.Index | None) -> pd.DataFrame:
    """Means over the test images, or over those of a part: rows seeds, columns arms."""
    if inside is None:
        return seed_means(summary.results, metric)
    means = part_means(summary.results, metric, pd.Series("inside", index=inside))
    return means["inside"].unstack("arm")


def _arm(summary: Summary, arm: str, metric: str) -> tuple[list[list[str]], str]:
    row, means = summary.arms[arm, metric], seed_means(summary.results, metric)
    counts = _counts(summary, metric, None)
    table = [["seed", "value", *_heads(metric)]]
    for seed in row.seeds:
        value = f"{_value(means, seed, arm):.10g}"
        table.append([str(seed), value, *_behind(summary, counts, arm, seed)])
    digits = places(summary)[metric]
    half = number(row.mean.half, digits)
    cell = number(row.mean.mean, digits) + ("" if half == DASH else f" ± {half}")
    lacking = sorted({*summary.grid.seeds} - {*row.seeds})
    gap = f"; no value of seeds {ranges(tuple(lacking))}" if lacking else ""
    return table, f"{_mean(row.mean)}; in the table: {cell}{gap}"


def _contrast(
    summary: Summary,
    contrast: Contrast,
    metric: str,
    difference: Interval,
    inside: pd.Index | None,
) -> tuple[list[list[str]], str]:
    means, counts = _means(summary, metric, inside), _counts(summary, metric, inside)
    arms = (contrast.arm, contrast.minus)
    heads = (f"{head} of {arm}" for arm in arms for head in _heads(metric))
    table = [["seed", "difference", *arms, *heads]]
    both = means.reindex(columns=[*arms]).dropna() if difference.n else means.iloc[:0]
    for seed in both.index:
        one, other = (_value(means, seed, arm) for arm in arms)
        runs = [part for arm in arms for part in _behind(summary, counts, arm, seed)]
        table.append([str(seed), f"{one - other:.10g}", f"{one:.10g}", f"{other:.10g}", *runs])
    row = next(row for row in summary.contrasts[metric] if row.contrast == contrast)
    digits = row_places(summary, row) if inside is None else places(summary)[metric]
    shown = change(difference, digits)
    return table, f"{_mean(difference)}; in the table: {shown}"


def _mean(interval: Interval) -> str:
    return f"mean of {interval.n}: {interval.mean:.10g}" if interval.n else "no run"


def _value(means: pd.DataFrame, seed: int, arm: str) -> float:
    return float(means[arm].to_dict()[seed])


_CHOSEN = ("cut", "least_score")  # of metrics.json: thresholds, chosen on validation images


def _heads(metric: str) -> list[str]:
    """What stands behind a value: the counts it is made of and the thresholds, and its run."""
    counted = "nothing found/no word" if metric == TEXT_FREE else "/".join(COUNTS)
    return [*((counted, *_CHOSEN) if metric in POOLED else ()), "hash", "commit", "folder"]


def _counts(summary: Summary, metric: str, inside: pd.Index | None) -> pd.Series | None:
    """By arm and seed the counts that a metric is made of; None for others."""
    if metric not in POOLED:
        return None
    images = summary.results.images.index if inside is None else inside
    part = pd.Series("inside", index=images)
    of = (TEXT_FREE,) if metric == TEXT_FREE else ("precision", "recall")
    found = [frame["inside"] for name in of for frame in sums(summary.results.table, name, part)]
    if metric != TEXT_FREE:  # matched of recall is that of precision
        found.pop(2)
    return pd.concat(found, axis=1).astype(int).astype(str).agg("/".join, axis=1)


def _behind(summary: Summary, counts: pd.Series | None, arm: str, seed: int) -> list[str]:
    """The cells below `_heads`; a run's folder is relative to the grid's."""
    cell = next(c for c in summary.grid.cells if (c.arm, c.seed) == (arm, seed))
    told = _told(summary, arm, seed)
    made = []
    if counts is not None:
        made = [counts.to_dict()[arm, seed], *(str(told.get(key, DASH)) for key in _CHOSEN)]
    return [*made, cell.hash, told.get("commit") or DASH, Path(cell.run).as_posix()]


def _told(summary: Summary, arm: str, seed: int) -> dict[str, Any]:
    """What a complete run's metrics.json says."""
    run = summary.results.run_folder(arm, seed)
    path = cast(Path, run) / "metrics.json"
    return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))


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
