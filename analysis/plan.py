"""How many seeds an effect takes in each contrast of a grid: the `--plan` of the report."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy.special import chdtri

from analysis.grid import Contrast
from analysis.power import POWER, TRIALS, joint_power, seeds_needed
from analysis.sections import Cell, Table
from analysis.spelling import DASH
from analysis.stats import FEWEST_SEEDS, LEVEL
from analysis.summary import Summary
from analysis.tables import md_table

MOST_SEEDS = 200  # beyond it the joint test is not simulated


@dataclass(frozen=True)
class PlanRow:
    """What an effect takes in one contrast of the primary metric.

    `sd` of the paired differences over `n` seeds; `detectable` effect at POWER; `needed` seeds
    for a paired t test of this contrast alone, `needed_joint` for the joint sign flip of all,
    whose power with the present seeds is `power_now` (0 below six). None: no sd is known (fewer
    than two seeds), or more seeds than are simulated.
    """

    contrast: Contrast
    sd: float
    n: int
    detectable: float
    needed: int | None
    needed_joint: int | None
    power_now: float | None


def plan(summary: Summary, effect: float) -> tuple[PlanRow, ...]:
    """How many seeds each contrast needs to show a true difference of `effect`, alone.

    `effect` is in units of the primary metric. Raises ValueError if it is 0 or not finite.
    """
    if not math.isfinite(effect) or effect == 0:
        raise ValueError(f"the effect to plan for is {effect}, expected a number other than 0")
    return tuple(_plan_row(summary, i, effect) for i in range(len(summary.primary)))


def power_at(summary: Summary, index: int, effect: float, n: int) -> float:
    """Power of the joint sign flip at n seeds for contrast `index`, if it alone differs, by
    `effect`; normal differences with the covariance seen in the grid's joint seeds."""
    seen = [
        [dict(zip(row.seeds, row.values, strict=True))[seed] for row in summary.primary]
        for seed in summary.joint_seeds
    ]
    shifts = np.zeros(len(summary.primary))
    shifts[index] = effect
    return float(joint_power(np.array(seen), shifts, n)[index])


def _plan_row(summary: Summary, index: int, effect: float) -> PlanRow:
    row = summary.primary[index]
    sd, n = row.difference.sd, row.difference.n
    unknown = math.isnan(sd)
    needed = None if unknown else seeds_needed(sd, effect)
    joint = now = None
    if needed is not None and len(summary.joint_seeds) > 1:
        now = power_at(summary, index, effect, len(summary.joint_seeds))
        joint = _fewest(needed, cache(partial(power_at, summary, index, effect)))
    return PlanRow(row.contrast, sd, n, row.detectable, needed, joint, now)


def _fewest(first: int, at: Callable[[int], float]) -> int | None:
    """The least n >= `first` with POWER, by galloping and bisection; None beyond MOST_SEEDS."""
    low = high = first
    while high <= MOST_SEEDS and at(high) < POWER:
        low, high = high + 1, high + 2 * (high - first) + 1
    tried = range(low, min(high, MOST_SEEDS) + 1)
    place = bisect_left(tried, POWER, key=at)
    return tried[place] if place < len(tried) else None


def plan_text(summary: Summary, effect: float) -> str:
    """The plan as a Markdown table, and how to read it. Raises what `plan` raises."""
    header = ("contrast", "sd of differences", "n", f"detectable at {POWER:g}", "seeds, alone",
              "seeds, joint test", "joint power now")  # fmt: skip
    rows = tuple(_cells(row) for row in plan(summary, effect))
    title = f"Seeds that a true difference of {effect:g} in {summary.grid.primary} takes, power "
    table = md_table(Table(tuple(map(Cell, header)), rows))
    return "\n".join([f"{title}{POWER:g}", "", *table, "", *_reading(summary), ""])


def _cells(row: PlanRow) -> tuple[Cell, ...]:
    more = f"over {MOST_SEEDS}"
    joint = more if row.needed and not row.needed_joint else _count(row.needed_joint)
    known = not math.isnan(row.sd)
    texts = (
        f"{row.sd:.2g}" if known else DASH,
        str(row.n),
        f"{row.detectable:.2g}" if known else DASH,
        _count(row.needed),
        joint if row.power_now is not None else DASH,
        DASH if row.power_now is None else f"{row.power_now:.2f}",
    )
    return (Cell(names=(row.contrast.arm, row.contrast.minus)), *map(Cell, texts))


def _count(seeds: int | None) -> str:
    return DASH if seeds is None else str(seeds)


def _reading(summary: Summary) -> list[str]:
    n = len(summary.joint_seeds)
    lines = [
        "- For this test set. A paired t test of the contrast alone; the joint test is the sign "
        f"flip over all {len(summary.primary)} contrasts (none below {FEWEST_SEEDS} seeds), "
        f"simulated {TRIALS} times with normal differences as correlated as those seen, of which "
        "this contrast's alone is not 0.",
    ]
    if n > 1:
        low, high = (
            math.sqrt((n - 1) / float(chdtri(n - 1, tail))) for tail in (LEVEL / 2, 1 - LEVEL / 2)
        )
        lines.append(
            f"- An sd seen in {n} seeds is uncertain: the true one is {low:.2f} to {high:.2f} "
            "times as large (95 %), and the seeds needed go with its square."
        )
    else:
        lines.append("- Fewer than two seeds are complete in all arms: there is no sd to plan by.")
    if not summary.grid.test:
        lines.append(f"- Preset {summary.grid.preset} is no evidence; its sd is of another scale.")
    lines.append(
        "- Seeds that join once a table was written are told in its footnote: plan first, then "
        "add them all at once."
    )
    return lines
