"""The footnote of a grid's tables, in plain sentences, and how numbers are spelled in them."""

import math

from analysis.stats import FEWEST_SEEDS, Interval
from analysis.summary import ContrastRow, Summary

DASH = "—"
NO_EVIDENCE = (
    "This preset is a check of the machinery and not evidence: "
    "no test is made and no verdict given."
)


def footnotes(summary: Summary) -> list[str]:
    """Every sentence that a reader needs beside the numbers, without any markup."""
    notes = [_provenance(summary), _arms(summary)]
    if not summary.grid.test:
        return [NO_EVIDENCE, *notes, *_absent(summary)]
    if summary.grid.contrasts:
        notes += [_test(summary), _verdicts(summary), *_settled_signs(summary)]
    return [*notes, *_absent(summary)]


def _provenance(summary: Summary) -> str:
    grid, results = summary.grid, summary.results
    versions = ", ".join(f"{name} {version}" for name, version in sorted(grid.versions.items()))
    return (
        f"Grid {grid.name}, preset {grid.preset}; data {grid.data_name} "
        f"(digest {grid.data_digest[:12]}), {count(results.images, 'test image')}; commit "
        f"{_commit(grid.commit)}, code digest {results.code[:12]}; {versions}."
    )


def _commit(name: str) -> str:
    """A commit as it is (`-dirty` must stay), a bare 40-digit one shortened."""
    return (name[:12] if len(name) == 40 else name) or "unknown"


def _arms(summary: Summary) -> str:
    bold = (
        f" Bold: best arm, if its paired interval against every other arm excludes 0 "
        f"(at least {FEWEST_SEEDS} seeds)."
        if summary.grid.test
        else ""
    )
    return (
        "Mean over the test images, then over seeds ± half the 95 % Student t interval over "
        f"seeds, which holds for this test set. The seed is the unit (n); seeds "
        f"{ranges(summary.grid.seeds)}{_added(summary.grid.seeds_added)}.{bold}"
    )


def _added(seeds: tuple[int, ...]) -> str:
    """Seeds added after a look: who adds until a result pleases finds one by chance."""
    return f", of which {ranges(seeds)} joined after a table had been written" if seeds else ""


def _test(summary: Summary) -> str:
    grid, flip = summary.grid, summary.flip
    guards = f" {', '.join(grid.guards)}: guards, intervals only, no test." if grid.guards else ""
    pairs = "Differences are paired by seed, with 95 % Student t intervals over the seeds that "
    pairs += "both arms completed."
    if flip is None:
        return (
            f"{pairs} No p: only {count(len(summary.joint_seeds), 'seed')} complete in all arms "
            f"of the contrasts, and below {FEWEST_SEEDS} the smallest possible p, 2/2^n, is above "
            f".05.{guards}"
        )
    how = "exact" if flip.exact else "drawn"
    return (
        f"{pairs} p: joint sign flip of whole seeds ({how}, {flip.vectors} sign vectors, seeds "
        f"{ranges(summary.joint_seeds)}), max |t|, step-down (Westfall–Young), adjusted for the "
        f"{count(len(grid.contrasts), 'contrast')} of {grid.primary}; smallest possible p "
        f"{p_value(flip.smallest)}.{guards}"
    )


def _verdicts(summary: Summary) -> str:
    margin = f"{summary.grid.margin:g}"
    few = (
        f" No verdict below {FEWEST_SEEDS} seeds."
        if any(row.judged is None for row in summary.primary)
        else ""
    )
    return (
        f"Verdict on {summary.grid.primary} against the margin {margin} set before the runs: "
        f"better or worse if the whole interval lies beyond it, equivalent if it lies within "
        f"±{margin}, else undecided; these intervals are not adjusted for the number of "
        f"contrasts.{few}"
    )


def _settled_signs(summary: Summary) -> list[str]:
    rows = [r for r in summary.primary if r.judged == "undecided" and r.difference.excludes_zero]
    if not rows:
        return []
    parts = [f"{r.contrast} ({'above' if r.difference.low > 0 else 'below'} 0)" for r in rows]
    return [
        f"Undecided although the interval excludes 0, because it reaches into the margin: "
        f"{', '.join(parts)}."
    ]


def _absent(summary: Summary) -> list[str]:
    absent = summary.results.absent
    if not absent:
        return []
    states: dict[str, dict[str, list[int]]] = {}
    for cell in absent:
        states.setdefault(cell.state, {}).setdefault(cell.arm, []).append(cell.seed)
    parts = [
        f"{state}: "
        + "; ".join(
            f"{arm} seed{'s' * (len(seeds) > 1)} {ranges(tuple(seeds))}"
            for arm, seeds in arms.items()
        )
        for state, arms in sorted(states.items())
    ]
    return [
        f"Unfinished: {len(absent)} of {len(summary.grid.cells)} runs are not in this table "
        f"({'; '.join(parts)}). The same command runs what is missing. Means of arms over "
        "different seeds do not compare; the paired differences do."
    ]


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


def places(summary: Summary) -> dict[str, int]:
    """Digits after the point by metric, the same for its means and its differences: they give
    the middle difference interval (without contrasts: arm interval) two significant digits, at
    least one and at most four."""
    return {metric: _decimals(_half_widths(summary, metric)) for metric in summary.metrics}


def _half_widths(summary: Summary, metric: str) -> list[float]:
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


def judgement(row: ContrastRow) -> str:
    """The verdict, an em dash where none is given."""
    return row.judged or DASH
