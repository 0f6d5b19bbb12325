"""What may be claimed of each contrast of a grid, and how contrasts are named in a sentence."""

from typing import Literal, get_args

from analysis.metrics import sign
from analysis.stats import LEVEL
from analysis.summary import ContrastRow, Summary

Claim = Literal["better", "worse", "ahead", "behind", "equivalent", "identical", "open"]
WORDS: dict[Claim, str] = {
    "better": "better than",
    "worse": "worse than",
    "ahead": "ahead of",
    "behind": "behind",
    "equivalent": "equivalent to",
}
NAMED = 3  # so many contrasts are named in one breath; the table has them all


def claim(row: ContrastRow, *, sign: int) -> Claim:
    """What may be said of one contrast by the primary metric.

    "better" and "worse": the verdict says so and the adjusted p is at most LEVEL, which so is the
    rate of grids with a wrong "better", "worse", "ahead" or "behind". "ahead" and
    "behind": the interval excludes 0 and the adjusted p is at most .05, but the verdict is
    undecided. "equivalent": the verdict says so. "identical": in every seed to the last digit,
    which says something of the runs and nothing of the arms. Else "open"; also without a test.
    `sign` is +1 where more is better, -1 where less is.
    """
    if row.identical:
        return "identical"
    if row.judged == "equivalent":
        return "equivalent"
    if row.p is None or row.judged is None or row.p > LEVEL or not row.difference.excludes_zero:
        return "open"
    if row.judged == "undecided":
        return "ahead" if sign * row.difference.mean > 0 else "behind"
    return row.judged


def by_claim(summary: Summary) -> dict[Claim, list[ContrastRow]]:
    """The contrasts by what may be claimed of them, in the order of the grid."""
    turn = sign(summary.grid.primary)
    kinds: dict[Claim, list[ContrastRow]] = {kind: [] for kind in get_args(Claim)}
    for row in summary.primary:
        kinds[claim(row, sign=turn)].append(row)
    return kinds


def names(rows: list[ContrastRow]) -> str:
    """`“a” − “b”, “c” − “b” and “d” − “b”`."""
    return listed([f"“{row.contrast.arm}” − “{row.contrast.minus}”" for row in rows])


def listed(parts: list[str]) -> str:
    """`a, b, c and 2 more`: the first NAMED, and how many are left."""
    rest = len(parts) - NAMED
    return join([*parts[:NAMED], f"{rest} more"] if rest > 0 else parts)


def join(parts: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)
