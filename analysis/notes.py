"""The footnote of a grid's tables, in plain sentences."""

from analysis.metrics import METRICS, OUTCOMES, TEXT, VARIANTS
from analysis.pooled import TEXT_FREE
from analysis.shares import SHARE, gradient_shares
from analysis.spelling import count, p_value, ranges
from analysis.stats import FEWEST_SEEDS
from analysis.strata import told
from analysis.summary import Summary
from analysis.wording import WORDING

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
                 _arms(summary), *_silent(summary)],
        "outcomes": _outcomes(summary),
    }  # fmt: skip
    if grid.contrasts:
        tested = [_test(summary), _verdicts(summary), *_settled_signs(summary), *_effects(summary)]
        notes["contrasts"] = [_intervals(summary), *_identical(summary)]
        notes["contrasts"] += tested if grid.test else []
        notes["guards"] = _guards(grid.guards)
        notes["sizes"] = _sizes(summary)
    if {*summary.metrics} - {*summary.shown, *OUTCOMES}:
        notes["further"] = [_further(summary)]
    order = ("arms", "contrasts", "guards", "outcomes", "sizes", "further")
    return {slug: notes[slug] for slug in order if slug in notes}


def _further(summary: Summary) -> str:
    return (
        "Further metrics: mean ± half the 95 % Student t interval over seeds, for this test set, "
        f"no test; {WORDING[summary.grid.task].further}."
    )


def _provenance(summary: Summary) -> str:
    grid, results = summary.grid, summary.results
    group = WORDING[grid.task].group
    versions = ", ".join(f"{name} {version}" for name, version in sorted(grid.versions.items()))
    return (
        f"Grid {grid.name}, preset {grid.preset}; data {grid.data_name} "
        f"(digest {grid.data_digest[:12]}), {count(len(results.images), 'test image')} of "
        f"{count(results.images['group'].nunique(), group)}; commit {_commit(grid.commit)}, "
        f"code digest {results.code[:12]}; {versions}."
    )


def _commit(name: str) -> str:
    """A commit as it is (`-dirty` must stay), a bare 40-digit one shortened."""
    return (name[:12] if len(name) == 40 else name) or "unknown"


def _metrics(summary: Summary) -> str:
    if summary.grid.task == "text":
        return f"Metrics of text detection: {TEXT}; formulas in analysis/metrics.py."
    variant = summary.results.variant
    return f"Metrics, {variant} variant: {VARIANTS[variant]}; formulas in analysis/metrics.py."


def _arms(summary: Summary) -> str:
    bold = (
        f" Bold: best arm, if its paired interval against every other arm excludes 0 "
        f"(at least {FEWEST_SEEDS} seeds); then the runner-up by mean is underlined, unless arms "
        "have different seeds."
        if summary.grid.test
        else ""
    )
    return (
        f"{WORDING[summary.grid.task].means} ± half the 95 % Student t interval over "
        f"seeds, which holds for this test set. The seed is the unit (n); seeds "
        f"{ranges(summary.grid.seeds)}{_added(summary.grid.seeds_added)}.{bold}"
    )


def _silent(summary: Summary) -> list[str]:
    """What finding nothing is worth in a metric that counts what is found wrongly."""
    if TEXT_FREE not in summary.metrics:
        return []
    note = (
        f"{TEXT_FREE} is 1 for a model that finds nothing at all, and H_image then the share of "
        "images without a word: read both beside recall."
    )
    if summary.silent_once:
        note += (
            f" In at least one seed no word was found by {', '.join(summary.silent_once)}: such "
            "arms are not set bold or underlined there, and to be below them there is not held "
            "against another arm."
        )
    return [note]


def _added(seeds: tuple[int, ...]) -> str:
    """Seeds added after a look: who adds until a result pleases finds one by chance."""
    return f", of which {ranges(seeds)} joined after a table had been written" if seeds else ""


def _intervals(summary: Summary) -> str:
    """What each of the two intervals is for, one sentence each."""
    words = WORDING[summary.grid.task]
    new = (
        f" New images of this kind: what new seeds and new {words.group}s would give, from the "
        f"{words.crossed}."
        if any(row.new_images for row in summary.primary)
        else ""
    )
    return (
        "Differences are paired by seed, over the seeds that both arms completed. This test set: "
        f"what new seeds would give on these very images, 95 % Student t interval over seeds.{new}"
    )


def _identical(summary: Summary) -> list[str]:
    same, silent = [str(contrast) for contrast in summary.identical], summary.silent
    notes = [
        f"Identical to the last digit in every seed: {', '.join(same)}. Does the setting that "
        "tells the two arms apart reach the run?"
    ]
    found = [
        f"No word found in any seed: {', '.join(silent)}. Two such arms do not compare: no "
        "interval, no p, no verdict."
    ]
    return notes * bool(same) + found * bool(silent)


def _outcomes(summary: Summary) -> list[str]:
    found = [metric for metric in OUTCOMES if metric in summary.metrics]
    notes = [f"{metric}: {METRICS[metric].about}." for metric in found]
    if {"G_MAE", "G_corr"} & {*found}:
        notes.append(
            "An arm that learned another label, or none, is measured against this one too. A map "
            "without edges, at the label's level, has a small G_MAE: read it beside G_corr."
        )
    if gradient_shares(summary.results):
        notes.append(f"{SHARE}: {WORDING[summary.grid.task].share}.")
    ran = {arm: summary.arms[arm, summary.grid.primary].mean.n for arm in summary.grid.arms}
    steps = {
        arm: row.mean.n for (arm, metric), row in summary.arms.items() if metric == "steps_90"
    }
    if lacking := [arm for arm, n in steps.items() if n < ran[arm]]:
        notes.append(
            f"No steps_90 of {', '.join(lacking)}: in at least one seed the validation metric "
            "stayed at 0, and a mean over the others would flatter."
        )
    return notes


def _guards(guards: tuple[str, ...]) -> list[str]:
    names = ", ".join(guards)
    return [f"{names}: guards, intervals for this test set, no test."] if guards else []


def _sizes(summary: Summary) -> list[str]:
    words = WORDING[summary.grid.task]
    by = [words.kinds[name] for name in dict.fromkeys(row.by for row in told(summary))]
    if not by:
        return []
    return [
        f"{words.sizes}: the test images in groups, {'; '.join(by)}; {words.grouped} "
        "with 95 % Student t intervals over seeds, for this test set, no test."
    ]


def _test(summary: Summary) -> str:
    grid, flip = summary.grid, summary.flip
    if flip is None:
        return (
            f"No p: only {count(len(summary.joint_seeds), 'seed')} complete in all arms of the "
            f"contrasts, and below {FEWEST_SEEDS} the smallest possible p, 2/2^n, is above .05."
        )
    how = (
        f"exact, all {2 * flip.vectors} sign vectors"
        if flip.exact
        else f"{flip.vectors} sign vectors drawn and their mirror images"
    )
    return (
        f"p: joint sign flip of whole seeds ({how}; seeds "
        f"{ranges(summary.joint_seeds)}), max |t|, step-down (Westfall–Young), adjusted for the "
        f"{count(len(grid.contrasts), 'contrast')} of {grid.primary}; smallest possible p "
        f"{p_value(flip.smallest)}."
    )


def _verdicts(summary: Summary) -> str:
    margin = f"{summary.grid.margin:g}"
    few = (
        f" No verdict below {FEWEST_SEEDS} seeds."
        if any(row.judged is None and not row.silent for row in summary.primary)
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


def unfinished(summary: Summary) -> str:
    """What an unfinished grid lacks, by state and arm; empty for a finished one."""
    absent = summary.results.absent
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
    if not parts:
        return ""
    planned = len(summary.grid.cells)
    return f"Unfinished: {len(absent)} of {planned} runs are not here ({'; '.join(parts)})."


def _absent(summary: Summary) -> list[str]:
    """What is missing, what becomes of it, and what the other runs are worth: one that is missing
    by chance biases no paired difference, one that failed may have failed for what its arm is."""
    states = {cell.state for cell in summary.results.absent}
    if not states:
        return []
    told = [unfinished(summary)]
    told += ["The same command runs what is missing."] * bool(states - {"failed"})
    means = "Means of arms over different seeds do not compare"
    if "failed" not in states:
        return [" ".join([*told, f"{means}; the paired differences do."])]
    told.append("A run that failed is tried up to three times, then only by --retry all.")
    told.append(
        f"{means}, and if an arm fails because it diverges, the seeds left are its better ones, "
        "and the paired differences flatter it."
    )
    return [" ".join(told)]
