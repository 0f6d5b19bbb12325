"""How strong the supervision beside the main loss was: what its effect was tried at."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.grid import Grid
from analysis.runs import Run
from analysis.spelling import number
from analysis.stats import Interval, t_interval

if TYPE_CHECKING:  # it asks this module which runs taught their gradient branch
    from analysis.load import Results

SHARE = "grad_share"
_OF_BRANCH = (SHARE, "excess_bce", "G_MAE", "G_corr")  # what a run tells of its gradient branch


def of_taught_branches(grid: Grid, runs: list[Run]) -> list[Run]:
    """The runs without what they tell of their gradient branch, if no arm ever taught it: what it
    predicts is then chance, and no outcome of a loss. The grid's own metrics stay."""
    if any(SHARE in run.history and (run.history[SHARE] > 0).any() for run in runs):
        return runs
    told = {*_OF_BRANCH} - {grid.primary, *grid.guards}
    return [
        replace(
            run,
            scores=run.scores.drop(columns=[*told], errors="ignore"),
            history=run.history.drop(columns=[*told], errors="ignore"),
        )
        for run in runs
    ]


def taught(results: "Results") -> bool:
    """Whether any arm's gradient branch learned from a label."""
    return SHARE in results.history


def gradient_shares(results: "Results") -> dict[str, Interval]:
    """grad_share of each arm: mean over the recorded moments of a run, interval over seeds.

    Empty without gradient supervision in any arm.
    """
    if not taught(results):
        return {}
    runs = results.history.groupby(["arm", "seed"])[SHARE].mean().dropna()
    found = runs.index.get_level_values("arm")
    return {arm: t_interval(runs[found == arm].to_numpy()) for arm in results.grid.arms}


def spelled(share: Interval) -> tuple[str, str]:
    """The mean and its half width, with two digits of the mean that count, at most four places."""
    if not share.mean > 0:  # none, or no run
        return number(share.mean, 0), ""
    places = min(4, max(0, 1 - math.floor(math.log10(share.mean))))
    half = "" if math.isnan(share.half) else f"± {number(share.half, places)}"
    return number(share.mean, places), half
