"""Differences by kind of image: size, outline and number of parts of the object, or of words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.grid import Contrast
from analysis.load import Results, part_means
from analysis.pooled import POOLED, TEXT_FREE
from analysis.stats import Interval, t_interval
from analysis.summary import Summary, alone

By = Literal["area", "outline", "components", "size", "words"]

FEWEST_IMAGES = 6  # two images a tercile
TERCILES: Mapping[By, tuple[str, str, str]] = {
    "area": ("small", "middle", "large"),
    "outline": ("short", "middle", "long"),
    "size": ("small", "middle", "large"),
}
COMPONENTS = {"0": 0, "1": 1, "2-5": 5, "6 and more": np.inf}  # the most of each


@dataclass(frozen=True)
class StratumRow:
    """One contrast by one metric on the `images` test images of one stratum.

    `bounds` are the least and greatest area (share of the pixels), outline (length over the
    image's diagonal), number of components, size (mean area of a word) or number of words in it.
    `difference`: mean over these images or ratio of their counts, then Student t interval over
    the seeds; it holds for this test set, and no test is made of it.
    """

    by: By
    name: str
    bounds: tuple[float, float]
    images: int
    contrast: Contrast
    metric: str
    difference: Interval


def kinds(results: Results) -> dict[By, pd.Series]:
    """What the test images are grouped by; NaN: in none of its strata."""
    images = results.images
    if results.grid.task == "masks":
        return {by: images[by] for by in ("area", "outline", "components")}
    words = images["components"].astype(float)
    return {"size": images["area"] / words.where(words > 0), "words": words}


def strata(summary: Summary) -> tuple[StratumRow, ...]:
    """Every contrast by primary metric and guards, in each stratum of the test images.

    Terciles of area and of outline, or of the words' size, by the images' own values (equal
    values stay together), and groups of the number of components or words; what all images share
    makes no stratum. Images without a word have P_textfree and no other ratio of counts. Other
    metrics of whole runs are left out. Empty below six images, and no terciles of fewer.
    """
    results, grid = summary.results, summary.grid
    if len(results.images) < FEWEST_IMAGES:
        return ()
    known = {*results.image_metrics, *({*POOLED} & {*results.metrics})}
    metrics = [
        metric
        for metric in dict.fromkeys((grid.primary, *grid.guards, TEXT_FREE))
        if metric in known
    ]
    silent = [row.contrast for row in summary.primary if row.silent]
    rows: list[StratumRow] = []
    for by, column in kinds(results).items():
        values = column.dropna().sort_values(kind="stable")
        if by in TERCILES and len(values) < FEWEST_IMAGES:
            continue
        named = _named(by, values)
        if named.nunique() < 2:
            continue
        means = {metric: part_means(results, metric, named) for metric in metrics}
        for name in dict.fromkeys(named):
            inside = values[named[named == name].index]
            bounds = (float(inside.min()), float(inside.max()))
            rows += [
                StratumRow(by, name, bounds, len(inside), contrast, metric,
                           _difference(means[metric][name], contrast, contrast in silent))
                for metric in metrics
                for contrast in grid.contrasts
                if metric not in POOLED or (metric == TEXT_FREE) == (inside.max() == 0)
            ]  # fmt: skip
    return tuple(rows)


def told(summary: Summary) -> tuple[StratumRow, ...]:
    """The strata that a reader sees: by the primary metric, where more than one has it."""
    rows = [row for row in strata(summary) if row.metric == summary.grid.primary]
    names = {by: {row.name for row in rows if row.by == by} for by in {row.by for row in rows}}
    return tuple(row for row in rows if len(names[row.by]) > 1)


def _named(by: By, values: pd.Series) -> pd.Series:
    """Each image's stratum."""
    if by in ("components", "words"):
        most = COMPONENTS.items()
        names = [next(name for name, limit in most if count <= limit) for count in values]
    else:
        cuts = np.quantile(values, [1 / 3, 2 / 3])
        place = np.searchsorted(cuts, values.to_numpy(), side="left")
        names = [TERCILES[by][i] for i in place]
    return pd.Series(names, index=values.index, dtype=object)


def _difference(means: pd.Series, contrast: Contrast, silent: bool) -> Interval:
    """Over the seeds complete in both arms; `means` has the index (arm, seed). `silent` arms
    found no word: their difference has no interval."""
    measured = set(means.dropna().index.get_level_values("arm"))
    if not {contrast.arm, contrast.minus} <= measured:
        return t_interval([])
    paired = (means.loc[contrast.arm] - means.loc[contrast.minus]).dropna()
    found = t_interval(paired.to_numpy(dtype=float))
    return alone(found) if silent else found
