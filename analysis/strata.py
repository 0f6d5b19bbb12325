"""Differences by kind of image: size of the object, length of its outline, number of its parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.grid import Contrast
from analysis.load import part_means
from analysis.stats import Interval, t_interval
from analysis.summary import Summary

By = Literal["area", "outline", "components"]

FEWEST_IMAGES = 6  # two images a tercile
TERCILES: Mapping[By, tuple[str, str, str]] = {
    "area": ("small", "middle", "large"),
    "outline": ("short", "middle", "long"),
}
COMPONENTS = {"0": 0, "1": 1, "2-5": 5, "6 and more": np.inf}  # the most of each


@dataclass(frozen=True)
class StratumRow:
    """One contrast by one metric on the `images` test images of one stratum.

    `bounds` are the least and greatest area (share of the pixels), outline (length over the
    image's diagonal) or number of components in it. `difference`: mean over these images, then
    Student t interval over the seeds; it holds for this test set, and no test is made of it.
    """

    by: By
    name: str
    bounds: tuple[float, float]
    images: int
    contrast: Contrast
    metric: str
    difference: Interval


def strata(summary: Summary) -> tuple[StratumRow, ...]:
    """Every contrast by primary metric and guards, in each stratum of the test images.

    Terciles of area and of outline by the images' own values (equal values stay together), and
    groups of the number of components; what all images share makes no stratum. Metrics of whole
    runs are left out. Empty below six images.
    """
    results, grid = summary.results, summary.grid
    if len(results.images) < FEWEST_IMAGES:
        return ()
    metrics = [
        metric
        for metric in dict.fromkeys((grid.primary, *grid.guards))
        if metric in results.image_metrics
    ]
    rows: list[StratumRow] = []
    by: By
    for by in ("area", "outline", "components"):
        values = results.images[by].sort_values(kind="stable")
        named = _named(by, values)
        if named.nunique() < 2:
            continue
        means = {metric: part_means(results, metric, named) for metric in metrics}
        for name in dict.fromkeys(named):
            inside = values[named[named == name].index]
            bounds = (float(inside.min()), float(inside.max()))
            rows += [
                StratumRow(by, name, bounds, len(inside), contrast, metric,
                           _difference(means[metric][name], contrast))
                for metric in metrics
                for contrast in grid.contrasts
            ]  # fmt: skip
    return tuple(rows)


def _named(by: By, values: pd.Series) -> pd.Series:
    """Each image's stratum."""
    if by == "components":
        most = COMPONENTS.items()
        names = [next(name for name, limit in most if count <= limit) for count in values]
    else:
        cuts = np.quantile(values, [1 / 3, 2 / 3])
        place = np.searchsorted(cuts, values.to_numpy(), side="left")
        names = [TERCILES[by][i] for i in place]
    return pd.Series(names, index=values.index, dtype=object)


def _difference(means: pd.Series, contrast: Contrast) -> Interval:
    """Over the seeds complete in both arms; `means` has the index (arm, seed)."""
    measured = set(means.dropna().index.get_level_values("arm"))
    if not {contrast.arm, contrast.minus} <= measured:
        return t_interval([])
    paired = (means.loc[contrast.arm] - means.loc[contrast.minus]).dropna()
    return t_interval(paired.to_numpy(dtype=float))
