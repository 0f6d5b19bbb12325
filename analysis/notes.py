"""The footnote of a grid's tables, in plain sentences, and how numbers are spelled in them."""

import math

from analysis.metrics import METRICS, OUTCOMES, VARIANTS
from analysis.stats import FEWEST_SEEDS, Interval
from analysis.strata import By, strata
from analysis.summary import ContrastRow, Summary

DASH = "—"
NO_EVIDENCE = (
    "This preset is a check of the machinery and not evidence: "
    "no test is made and no verdict given."
)


def footnotes(summary: Summary) -> list[str]:
    """Every sentence that a reader needs beside the numbers, without any markup."""
    return [note for notes in section_notes(summary).values() for note in notes]


def section_notes(summary: Summary) -> dict[str, list[str]]:
    """The footnotes by the section they belong to (`analysis.sections`), in their order."""
    grid = summary.grid
    evidence = [] if grid.test else [NO_EVIDENCE]
    notes = {
        "arms": [*_absent(summary), *evidence, _provenance(summary), _metrics(summary),
                 _arms(summary)],
        "outcomes": [f"{m}: {METRICS[m].about}." for m in OUTCOMES if m in summary.metrics],
    }  # fmt: skip
    if grid.contrasts:
        tested = [_test(summary), _verdicts(summary), *_settled_signs(summary), *_effects(summary)]
        notes["contrasts"] = [_intervals(summary), *(tested if grid.test else ())]
        notes["guards"] = _guards(grid.guards)
        notes["sizes"] = _sizes(summary)
    order = ("arms", "contrasts", "guards", "outcomes", "sizes")
    return {slug: notes[slug] for slug in order if slug in notes}


def _provenance(summary: Summary) -> str:
    grid, results = summary.grid, summary.results
    versions = ", ".join(f"{name} {version}" for name, version in sorted(grid.versions.items()))
    return (
        f"Grid {grid.name}, preset {grid.preset}; data {grid.data_name} "
        f"(digest {grid.data_digest[:12]}), {count(len(results.images), 'test image')} of "
        f"{count(results.images['group'].nunique(), 'object')}; commit {_commit(grid.commit)}, "
        f"code digest {results.code[:12]}; {versions}."
    )


def _commit(name: str) -> str:
    """A commit as it is (`-dirty` must stay), a bare 40-digit one shortened."""
    return (name[:12] if len(name) == 40 else name) or "unknown"


def _metrics(summary: Summary) -> str:
    variant = summary.results.variant
    return f"Metrics, {variant} variant: {VARIANTS[variant]}; formulas in analysis/metrics.py."


def _arms(summary: Summary) -> str:
    bold = (
        f" Bold: best arm, if its paired interval against every other arm excludes 0 "
        f"(at least {FEWEST_SEEDS} seeds); then the runner-up by mean is underlined."
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


def _intervals(summary: Summary) -> str:
    """What each of the two intervals is for, one sentence each."""
    new = (
        " New images of this kind: what new seeds and new objects would give, from the seeds × "
        "objects table with both crossed (Satterthwaite), images of one object averaged first."
        if any(row.new_images for row in summary.primary)
        else ""
    )
    return (
        "Differences are paired by seed, over the seeds that both arms completed. This test set: "
        f"what new seeds would give on these very images, 95 % Student t interval over seeds.{new}"
    )


def _guards(guards: tuple[str, ...]) -> list[str]:
    names = ", ".join(guards)
    return [f"{names}: guards, intervals for this test set, no test."] if guards else []


def _sizes(summary: Summary) -> list[str]:
    rows = [row for row in strata(summary) if row.metric == summary.grid.primary]
    by = [_SIZES[name] for name in dict.fromkeys(row.by for row in rows)]
    if not by:
        return []
    return [
        f"By size of object: the test images in groups, {'; '.join(by)}; differences of the "
        "group's mean with 95 % Student t intervals over seeds, for this test set, no test."
    ]


_SIZES: dict[By, str] = {
    "area": "by the mask's area as a share of the image, cut at its terciles",
    "outline": "by the length of its outline over the image's diagonal, cut likewise",
    "components": "by its number of connected components",
}


def _test(summary: Summary) -> str:
    grid, flip = summary.grid, summary.flip
    if flip is None:
        return (
            f"No p: only {count(len(summary.joint_seeds), 'seed')} complete in all arms of the "
            f"contrasts, and below {FEWEST_SEEDS} the smallest possible p, 2/2^n, is above .05."
        )
    how = "exact" if flip.exact else "drawn"
    return (
        f"p: joint sign flip of whole seeds ({how}, {flip.vectors} sign vectors, seeds "
        f"{ranges(summary.joint_seeds)}), max |t|, step-down (Westfall–Young), adjusted for the "
        f"{count(len(grid.contrasts), 'contrast')} of {grid.primary}; smallest possible p "
        f"{p_value(flip.smallest)}."
    )


def _verdicts(summary: Summary) -> str:
    margin = f"{summary.grid.margin:g}"
    few = (
        f" No verdict below {FEWEST_SEEDS} seeds."
        if any(row.judged is None for row in summary.primary)
        else ""
    )
    return (
        f"Verdict on {summary.grid.primary} against the margin {margin} set before the runs, by "
        "the interval for this test set: better or worse if the whole interval lies beyond it, "
        f"equivalent if it lies within ±{margin}, else undecided; these intervals are not "
        f"adjusted for the number of contrasts.{few}"
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


def _effects(summary: Summary) -> list[str]:
    if all(row.difference.n < 2 for row in summary.primary):
        return []
    return [
        "d_z: mean over standard deviation of the differences. P(A > B): share of seeds in which "
        "the first arm is better, ties half, with its 95 % Clopper–Pearson interval. Smallest "
        "detectable: the true difference that a paired t test of one contrast with these seeds "
        "finds with probability .8."
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


def finer(interval: Interval, places: int) -> int:
    """`places`, or as many as show a width that they would round to 0; at most six."""
    if not 1e-9 < interval.half < 0.5 * 10**-places:
        return places
    return min(6, -math.floor(math.log10(interval.half)))


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
