"""Metrics of text detection: ratios of counts that are summed over images first."""

import math
from pathlib import Path

import pandas as pd

COUNTS = ("matched", "detections", "words")  # of each image, without what is ignored
POOLED = ("H_mean", "P_textfree", "precision", "recall")
TEXT_FREE = "P_textfree"
WON_BY_SILENCE = (TEXT_FREE, "H_image")  # high where nothing is found at all


def fractions(metric: str, counts: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """What each row of `counts` (columns COUNTS) adds above and below a metric's fraction line.

    H_mean: 2 matched over detections + words; precision: matched over detections; recall:
    matched over words; P_textfree: rows with neither word nor detection over those without word.
    """
    matched, detections, words = (counts[name].astype(float) for name in COUNTS)
    empty = words == 0
    found: dict[str, tuple[pd.Series, pd.Series]] = {
        "H_mean": (2 * matched, detections + words),
        "precision": (matched, detections),
        "recall": (matched, words),
        TEXT_FREE: (empty & (detections == 0), empty),
    }
    above, below = found[metric]
    return above.astype(float), below.astype(float)


def pooled(counts: pd.DataFrame) -> dict[str, float]:
    """The metrics of a set of images; precision is 0 where nothing is found.

    `counts` has the images as rows, of columns COUNTS. Without a word there is P_textfree alone,
    and none of it without an image that has no word.
    """
    words = counts["words"]
    kinds = {TEXT_FREE: bool((words == 0).any())}
    found = {}
    for metric in POOLED:
        if kinds.get(metric, bool(words.any())):
            above, below = (part.sum() for part in fractions(metric, counts))
            found[metric] = float(above / below) if below else 0.0
    return found


def checked(
    run: Path, scores: pd.DataFrame, told: dict[str, float], mend: str
) -> dict[str, float]:
    """A run's own numbers, those of counts made anew from the `scores` of its images.

    Raises ValueError for scores without counts and where `told`, what metrics.json says, is
    another number; `mend` says what to do.
    """
    lacking = [name for name in COUNTS if name not in scores]
    if lacking:
        raise ValueError(
            f"{run / 'per_image.parquet'} lacks {', '.join(lacking)}, of which H_mean is made; "
            f"it has {', '.join(map(str, scores))}; {mend}"
        )
    found = pooled(scores)
    for metric, value in found.items():
        if not abs(told.get(metric, math.nan) - value) <= 1e-9:
            raise ValueError(
                f"{run / 'metrics.json'} says {metric} = {told.get(metric)}, but the counts in "
                f"per_image.parquet make {value:.12g}; {mend}"
            )
    return {name: value for name, value in told.items() if name not in POOLED} | found


def by_part(table: pd.DataFrame, metric: str, part: pd.Series) -> pd.DataFrame:
    """A metric of each part of the test set: rows (arm, seed), a column per part.

    `table` is `Results.table`; `part` maps images to parts, others do not count. NaN for a part
    without what the metric counts, but precision is 0 where nothing is found.
    """
    above, below = sums(table, metric, part)
    ratio = above / below.where(below > 0)
    return ratio.fillna(0.0) if metric == "precision" else ratio


def jackknifed(above: pd.DataFrame, below: pd.DataFrame) -> pd.DataFrame:
    r"""What each part adds to a ratio of sums: rows (arm, seed), columns parts.

    .. math:: R + (G - 1) (\bar R_{-} - R_{-g}), \quad R = \sum_g a_g / \sum_g b_g

    G parts with a_g `above` and b_g `below` the line (`sums`), :math:`R_{-g}` the ratio without
    part g (R where nothing else stands below the line) and :math:`\bar R_{-}` the mean of these.
    So they are the jackknife's values, moved to have R as their mean, and they spread as means of
    parts do, so that an interval of a mean holds for the ratio, of few parts too (Tukey, 1958;
    Miller, The Jackknife: A Review, 1974). All 0 where every b_g is.
    """
    parts = len(above.columns)
    total, whole = above.sum(axis=1), below.sum(axis=1)
    ratio = (total / whole.where(whole > 0)).fillna(0.0)
    rest = below.rsub(whole, axis=0)
    same = rest.mul(0.0).add(ratio, axis=0)
    without = (above.rsub(total, axis=0) / rest).where(rest > 0, same)
    apart: pd.DataFrame = without.rsub(without.mean(axis=1), axis=0)
    return apart.mul(parts - 1).add(ratio, axis=0)


def sums(table: pd.DataFrame, metric: str, part: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What stands above and below a metric's fraction line in each part, as `by_part` has it."""
    rows = table[table["metric"].isin(COUNTS) & table["image"].isin(part.index)]
    columns = {"metric": rows["metric"].astype(str), "image": rows["image"].astype(str)}
    keys = ["arm", "seed", "image"]
    counts = rows.assign(**columns).pivot(index=keys, columns="metric", values="value")
    parts = counts.index.get_level_values("image").map(part.to_dict())
    names = [counts.index.get_level_values(key).rename(key) for key in keys[:2]]
    found = []
    for share in fractions(metric, counts):
        totals = share.groupby([*names, parts.rename("part")], observed=True).sum()
        found.append(totals.unstack("part"))
    return found[0], found[1]
