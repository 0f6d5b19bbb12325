"""How numbers, intervals and names are spelled in tables, sentences and figures."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.stats import Interval, verdict

if TYPE_CHECKING:  # the summary's own parts spell numbers too
    from analysis.summary import ContrastRow, Summary

DASH = "—"


def count(number: int, noun: str) -> str:
    """`1 seed`, `8 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def ranges(numbers: tuple[int, ...]) -> str:
    """Whole numbers with runs shortened: (0, 1, 2, 5) -> `0–2, 5`; an em dash for none."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    spelled = [f"{p[0]}–{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts]
    return ", ".join(spelled) or DASH


def places(summary: "Summary") -> dict[str, int]:
    """Digits after the point by metric, the same for its means and its differences: they give
    the middle difference interval (without contrasts: arm interval) two significant digits, at
    least one and at most four."""
    return {metric: _decimals(_half_widths(summary, metric)) for metric in summary.metrics}


def finer(interval: Interval, places: int, margin: float | None = None) -> int:
    """`places`, or as many more, six at most, as show what so few would hide: a width, on which
    side of 0 an end lies and, given the `margin` of a verdict, which verdict it is."""
    digits = places
    if 1e-9 < interval.half < 0.5 * 10**-places:
        digits = min(6, -math.floor(math.log10(interval.half)))
    while digits < 6 and _hides(interval, digits, margin):
        digits += 1
    return digits


def _hides(interval: Interval, places: int, margin: float | None) -> bool:
    """Whether an interval reads otherwise once it is rounded."""
    if math.isnan(interval.low):
        return False
    low, high = (float(f"{end:.{places}f}") for end in (interval.low, interval.high))
    if (_side(low), _side(high)) != (_side(interval.low), _side(interval.high)):
        return True
    if margin is None:
        return False
    read = replace(interval, low=low, high=high)
    return verdict(read, margin=margin, sign=1) != verdict(interval, margin=margin, sign=1)


def _side(end: float) -> int:
    """+1 above 0, -1 below, 0 on it but for noise of the arithmetic."""
    return (end > 1e-9) - (end < -1e-9)


def row_places(summary: "Summary", row: "ContrastRow") -> int:
    """Digits of a contrast's numbers, the same in every text: those of the metric, or as many as
    its intervals take (`finer`); by the primary metric both stand side by side, with a verdict."""
    base = places(summary)[row.metric]
    if row.metric != summary.grid.primary:
        return finer(row.difference, base)
    digits = finer(row.difference, base, summary.grid.margin)
    return finer(row.new_images, digits) if row.new_images else digits


def _half_widths(summary: "Summary", metric: str) -> list[float]:
    rows = [row.difference for row in summary.contrasts[metric]]
    rows = rows or [summary.arms[arm, metric].mean for arm in summary.grid.arms]
    return sorted(row.half for row in rows if row.half > 1e-9)


def _decimals(widths: list[float]) -> int:
    if not widths:
        return 4
    middle = widths[len(widths) // 2]
    return min(4, max(1, 1 - math.floor(math.log10(middle))))


def shorten(name: str, most: int) -> str:
    """At most `most` characters, cut in the middle: arms tend to differ at either end."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return name[: most - 1 - tail] + "…" + name[len(name) - tail :]


def number(value: float, places: int, *, signed: bool = False) -> str:
    """A number with a true minus sign and no negative zero; an em dash for NaN."""
    if math.isnan(value):
        return DASH
    text = f"{value:{'+' if signed else ''}.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def span(interval: Interval, places: int) -> str:
    """`[low, high]`, or an em dash without an interval."""
    if math.isnan(interval.low):
        return DASH
    low, high = (number(v, places, signed=True) for v in (interval.low, interval.high))
    return f"[{low}, {high}]"


def p_value(p: float | None) -> str:
    """p to four digits after the point, an em dash where no test was made."""
    if p is None:
        return DASH
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"


def judgement(row: "ContrastRow") -> str:
    """The verdict, an em dash where none is given."""
    return row.judged or DASH
