"""How strong the supervision beside the main loss was: what its effect was tried at."""

import math

from analysis.load import Results
from analysis.spelling import number
from analysis.stats import Interval, t_interval

SHARE = "grad_share"


def gradient_shares(results: Results) -> dict[str, Interval]:
    """grad_share of each arm: mean over the recorded moments of a run, interval over seeds.

    Empty where no run recorded one above 0, as without gradient supervision.
    """
    if SHARE not in results.history:
        return {}
    runs = results.history.groupby(["arm", "seed"])[SHARE].mean().dropna()
    if not (runs > 0).any():
        return {}
    found = runs.index.get_level_values("arm")
    return {arm: t_interval(runs[found == arm].to_numpy()) for arm in results.grid.arms}


def spelled(share: Interval) -> tuple[str, str]:
    """The mean and its half width, with two digits of the mean that count, at most four places."""
    if not share.mean > 0:  # none, or no run
        return number(share.mean, 0), ""
    places = min(4, max(0, 1 - math.floor(math.log10(share.mean))))
    half = "" if math.isnan(share.half) else f"± {number(share.half, places)}"
    return number(share.mean, places), half
