"""Summaries about which something known is to be concluded."""

from dataclasses import replace
from typing import get_args

from analysis.claims import Claim
from analysis.grid import Contrast
from analysis.metrics import sign
from analysis.stats import Interval, Verdict
from analysis.summary import Summary


def of_one_kind(base: Summary, kind: Claim, count: int, guards: tuple[str, ...] = ()) -> Summary:
    """A summary of `count` contrasts about all of which the same may be said, by `guards` too."""
    means = {"better": 0.02, "worse": -0.02, "ahead": 0.006, "behind": -0.006}
    mean, half = means.get(kind, 0.0), {"open": 0.02, "identical": 0.0}.get(kind, 0.003)
    difference = Interval(8, mean, mean - half, mean + half, half)
    verdicts = get_args(Verdict)
    row = replace(
        base.primary[0],
        values=(0.0,) * 8 if kind == "identical" else base.primary[0].values,
        difference=difference,
        new_images=difference,
        detectable=half,
        p=0.5 if kind in ("open", "equivalent") else 0.01,
        judged=kind if kind in verdicts else "undecided",
    )
    contrasts = tuple(Contrast(f"arm {i}", "bce", "") for i in range(count))
    rows = {
        m: tuple(
            replace(row, contrast=c, metric=m, difference=turned(difference, sign(m)))
            for c in contrasts
        )
        for m in base.metrics
    }
    results = replace(base.results, grid=replace(base.grid, contrasts=contrasts, guards=guards))
    return replace(base, results=results, contrasts=rows)


def turned(interval: Interval, sign: int) -> Interval:
    """The interval of a metric by which the arms differ as much, with its own direction."""
    return (
        interval
        if sign > 0
        else replace(interval, mean=-interval.mean, low=-interval.high, high=-interval.low)
    )
