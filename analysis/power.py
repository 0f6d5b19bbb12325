"""How many seeds an effect takes: the power of the paired t test and of the joint sign flip."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, nctdtr, ndtri, stdtrit

from analysis.spelling import DASH
from analysis.stats import FEWEST_SEEDS, Array, sign_vectors, step_down

if TYPE_CHECKING:  # the summary shows what can be detected, and so imports this module
    from analysis.grid import Contrast
    from analysis.summary import Summary

TRIALS = 1000  # simulated grids: the standard error of a power is .016 at most
VECTORS = 2**9  # sign vectors of a simulated test, all there are up to ten seeds
MOST_SEEDS = 200  # beyond it the joint test is not simulated
_BATCH = 100


def t_power(effect: float, n: int, *, level: float = 0.95) -> float:
    """Power of the two-sided paired t test with n seeds, n >= 2.

    `effect` = true difference / sd of the paired differences; by the noncentral t distribution.
    Findings of the wrong sign do not count: they are fewer than 1e-4 where the power is above .5.
    """
    critical = float(stdtrit(n - 1, (1 + level) / 2))
    return 1 - float(nctdtr(n - 1, abs(effect) * math.sqrt(n), critical))


def smallest_detectable(sd: float, n: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """The true difference that a two-sided paired t test finds with probability `power`.

    `sd` of the paired differences, n seeds; for one contrast alone. NaN below two seeds or
    without an sd; 0 for sd = 0.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    return sd * _standardised(n, level, power)


@cache  # the same few n in every contrast of every metric
def _standardised(n: int, level: float, power: float) -> float:
    most = (float(stdtrit(n - 1, (1 + level) / 2)) * 2 + 10) / math.sqrt(n)
    return float(brentq(lambda effect: t_power(effect, n, level=level) - power, 0.0, most))


def seeds_needed(sd: float, effect: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """The fewest seeds, six at least, with which a two-sided paired t test has `power`.

    `sd` of the paired differences, `effect` the true difference, in the same unit. Raises
    ValueError for an effect of 0 or an sd or effect that is not finite.
    """
    if not math.isfinite(sd) or not math.isfinite(effect) or effect == 0 or sd < 0:
        raise ValueError(f"expected sd >= 0 and an effect other than 0, seen {sd} and {effect}")
    if sd == 0:
        return FEWEST_SEEDS
    normal = (float(ndtri((1 + level) / 2)) + float(ndtri(power))) * sd / abs(effect)
    n = max(FEWEST_SEEDS, math.ceil(normal**2))  # a lower bound, and exact for many seeds
    while n < 10_000 and t_power(effect / sd, n, level=level) < power:
        n += 1
    return n


def joint_power(
    differences: Array, shifts: Array, n: int, *, alpha: float = 0.05, trials: int = TRIALS
) -> Array:
    """Per contrast, how often the joint sign flip finds it (adjusted p <= `alpha`) at n seeds.

    `differences` (seeds, C) of a grid: simulated ones are normal with their covariance and the
    means `shifts` (C,). The test is `stats.joint_sign_flip`; beyond ten seeds on 2^9 drawn sign
    vectors and their mirror images. Seeded, so the same arguments give the same power; 0 below
    six seeds.
    """
    seen, count = differences.shape
    if n < FEWEST_SEEDS:
        return np.zeros(count)
    centred = (differences - differences.mean(axis=0)) / math.sqrt(max(1, seen - 1))
    rng = np.random.default_rng(0)
    signs = [*sign_vectors(n, VECTORS)]
    found = np.zeros(count)
    for _ in range(0, trials, _BATCH):
        d = rng.normal(size=(_BATCH, n, seen)) @ centred + shifts
        found += (step_down(d, signs)[1] <= alpha).sum(axis=0)
    return found / (_BATCH * math.ceil(trials / _BATCH))


@dataclass(frozen=True)
class PlanRow:
    """What an effect takes in one contrast of the primary metric.

    `sd` of the paired differences over `n` seeds; `detectable` effect at power .8; `needed` seeds
    for a paired t test of this contrast alone, `needed_joint` for the joint sign flip of all,
    whose power with the present seeds is `power_now` (0 below six). None: no sd is known (fewer
    than two seeds), or more seeds than are simulated.
    """

    contrast: "Contrast"
    sd: float
    n: int
    detectable: float
    needed: int | None
    needed_joint: int | None
    power_now: float | None


def plan(summary: "Summary", effect: float, *, power: float = 0.8) -> tuple[PlanRow, ...]:
    """How many seeds each contrast needs to show a true difference of `effect`, alone.

    `effect` is in units of the primary metric. Raises ValueError if it is 0 or not finite.
    """
    if not math.isfinite(effect) or effect == 0:
        raise ValueError(f"the effect to plan for is {effect}, expected a number other than 0")
    return tuple(_plan_row(summary, i, effect, power) for i in range(len(summary.primary)))


def power_at(summary: "Summary", index: int, effect: float, n: int) -> float:
    """Power of the joint sign flip at n seeds for contrast `index`, if it alone differs, by
    `effect`; normal differences with the covariance seen in the grid's joint seeds."""
    seen = [
        [dict(zip(row.seeds, row.values, strict=True))[seed] for row in summary.primary]
        for seed in summary.joint_seeds
    ]
    shifts = np.zeros(len(summary.primary))
    shifts[index] = effect
    return float(joint_power(np.array(seen), shifts, n)[index])


def _plan_row(summary: "Summary", index: int, effect: float, power: float) -> PlanRow:
    row = summary.primary[index]
    sd, n = row.difference.sd, row.difference.n
    unknown = math.isnan(sd)
    needed = None if unknown else seeds_needed(sd, effect, power=power)
    joint = now = None
    if needed is not None and len(summary.joint_seeds) > 1:
        now = power_at(summary, index, effect, len(summary.joint_seeds))
        joint = _fewest(needed, power, cache(partial(power_at, summary, index, effect)))
    return PlanRow(row.contrast, sd, n, row.detectable, needed, joint, now)


def _fewest(first: int, power: float, at: Callable[[int], float]) -> int | None:
    """The least n >= `first` with `power`, by galloping and bisection; None beyond MOST_SEEDS."""
    low = high = first
    while high <= MOST_SEEDS and at(high) < power:
        low, high = high + 1, high + 2 * (high - first) + 1
    tried = range(low, min(high, MOST_SEEDS) + 1)
    place = bisect_left(tried, power, key=at)
    return tried[place] if place < len(tried) else None


def plan_text(summary: "Summary", effect: float, *, power: float = 0.8) -> str:
    """The plan as a Markdown table, and how to read it. Raises what `plan` raises."""
    grid = summary.grid
    header = ["contrast", "sd of differences", "n", f"detectable at {power:g}", "seeds, alone",
              "seeds, joint test", "joint power now"]  # fmt: skip
    lines = [
        f"Seeds that a true difference of {effect:g} in {grid.primary} takes, power {power:g}",
        "",
        "| " + " | ".join(header) + " |",
        "|" + " - |" * len(header),
    ]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in plan(summary, effect, power=power)]
    return "\n".join([*lines, "", *_reading(summary), ""])


def _cells(row: PlanRow) -> list[str]:
    more = f"over {MOST_SEEDS}"
    joint = more if row.needed and not row.needed_joint else _count(row.needed_joint)
    known = not math.isnan(row.sd)
    return [
        str(row.contrast).replace("|", r"\|"),
        f"{row.sd:.2g}" if known else DASH,
        str(row.n),
        f"{row.detectable:.2g}" if known else DASH,
        _count(row.needed),
        joint if row.power_now is not None else DASH,
        DASH if row.power_now is None else f"{row.power_now:.2f}",
    ]


def _count(seeds: int | None) -> str:
    return DASH if seeds is None else str(seeds)


def _reading(summary: "Summary") -> list[str]:
    n = len(summary.joint_seeds)
    lines = [
        "- For this test set. A paired t test of the contrast alone; the joint test is the sign "
        f"flip over all {len(summary.primary)} contrasts (none below {FEWEST_SEEDS} seeds), "
        f"simulated {TRIALS} times with normal differences as correlated as those seen, of which "
        "this contrast's alone is not 0.",
    ]
    if n > 1:
        low, high = (math.sqrt((n - 1) / float(chdtri(n - 1, tail))) for tail in (0.025, 0.975))
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
