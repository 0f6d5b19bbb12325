"""What a grid's statistics allow to be said, in a few sentences and never more than that."""

import math
from typing import Literal, get_args

from analysis.load import Results
from analysis.metrics import sign
from analysis.pooled import WON_BY_SILENCE
from analysis.spelling import count, finer, number, p_value, places, span
from analysis.stats import FEWEST_SEEDS, Interval, verdict
from analysis.summary import ContrastRow, Summary

Claim = Literal["better", "worse", "ahead", "behind", "equivalent", "identical", "open"]
LEVEL = 0.05  # of the adjusted p, so of a wrong "better", "worse", "ahead" or "behind" per grid
WORDS: dict[Claim, str] = {
    "better": "better than",
    "worse": "worse than",
    "ahead": "ahead of",
    "behind": "behind",
    "equivalent": "equivalent to",
}
_NAMED = 3  # so many contrasts are named in one breath; the table has them all


def claim(row: ContrastRow, *, sign: int) -> Claim:
    """What may be said of one contrast by the primary metric.

    "better" and "worse": the verdict says so and the adjusted p is at most .05. "ahead" and
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


def conclusion(summary: Summary) -> str:
    """Two plain sentences: what is settled and by how much, and what stays open.

    A difference is claimed only where `claim` allows it, so over all contrasts of a grid whose
    arms do not differ at most one grid in twenty claims one (in either direction). A claim that
    the interval for new images does not support is limited to the test set. Verdicts are by each
    contrast's own interval: of many arms that differ by just the margin some are called better,
    worse or equivalent by chance. Without a test (a preset without evidence, no contrasts, fewer
    than six seeds) nothing is concluded. Arms identical in every seed are named as such and
    nothing is made of them.
    """
    parts = [_untested(summary)]
    if summary.flip is not None:
        parts = [_findings(summary), *_limits(summary)]
    return " ".join([*parts, *_identical(summary)])


def _untested(summary: Summary) -> str:
    grid, seeds = summary.grid, len(summary.joint_seeds)
    missing = _missing(summary.results)
    after = f", {missing}." if missing else "."
    if not grid.test:
        return (
            f"Nothing can be concluded: preset {grid.preset} checks that everything works and is "
            f"no evidence. No test is made and no verdict given{after}"
        )
    if not grid.contrasts:
        return (
            "Nothing can be concluded: the grid names no contrasts, so nothing is tested. The "
            f"means of its arms are in the table{after}"
        )
    lead = f"Nothing can be concluded{' yet' if missing else ''}"
    told = "The table tells what was measured"
    if any(row.judged for row in summary.primary):
        told = "Verdicts in the table are of single contrasts, each by its own 95 % interval"
    return (
        f"{lead}: {count(seeds, 'seed') if seeds else 'no seed'} "
        f"{'is' if seeds < 2 else 'are'} complete in all arms of the contrasts, and below "
        f"{FEWEST_SEEDS} no p can reach {LEVEL:g}. {told}{after}"
    )


def _missing(results: Results) -> str:
    absent, planned = len(results.absent), len(results.grid.cells)
    return f"with {absent} of {planned} runs missing" if absent else ""


def _findings(summary: Summary) -> str:
    """The first sentence: every claim that may be made, or that none may."""
    grid, rows = summary.grid, _by_claim(summary)
    clauses = [clause for kind in WORDS for clause in _clauses(summary, kind, rows[kind])]
    lead = f"n this data, at this scale ({_scale(summary)}) and by {grid.primary}, "
    if len(summary.primary) > 1:
        lead += "each contrast by its own 95 % interval "
    lead += f"against a margin of {grid.margin:g}: "
    lead += f"{_join(clauses) or f'{_none_of(summary)} settled'}."
    missing = _missing(summary.results)
    return f"Provisional, {missing}: i{lead}" if missing else f"I{lead}"


def _scale(summary: Summary) -> str:
    """`preset laptop, 8 seeds`; seeds that joined after a look make p too small, so they show."""
    added = len(set(summary.grid.seeds_added) & set(summary.joint_seeds))
    after = f", {added} of them added after a look" if added else ""
    return f"preset {summary.grid.preset}, {count(len(summary.joint_seeds), 'seed')}{after}"


def _by_claim(summary: Summary) -> dict[Claim, list[ContrastRow]]:
    turn = sign(summary.grid.primary)
    kinds: dict[Claim, list[ContrastRow]] = {kind: [] for kind in get_args(Claim)}
    for row in summary.primary:
        kinds[claim(row, sign=turn)].append(row)
    return kinds


def _clauses(summary: Summary, kind: Claim, rows: list[ContrastRow]) -> list[str]:
    """`“a” is better than “b” (+0.030, 95 % [+0.028, +0.032], adjusted p 0.0078)`, up to three."""
    clauses = [
        f"“{row.contrast.arm}” is {WORDS[kind]} “{row.contrast.minus}” ({_numbers(summary, row)}"
        f"{_against(summary, row) if kind in ('better', 'ahead', 'equivalent') else ''})"
        for row in rows[:_NAMED]
    ]
    rest = len(rows) - _NAMED
    return [*clauses, f"{count(rest, 'more pair')} likewise"] if rest > 0 else clauses


def _numbers(summary: Summary, row: ContrastRow) -> str:
    digits = finer(row.difference, places(summary)[summary.grid.primary])
    mean = number(row.difference.mean, digits, signed=True)
    p = "" if row.judged == "equivalent" else f", adjusted p {p_value(row.p)}"
    open_margin = ", perhaps by less than the margin" if row.judged == "undecided" else ""
    return f"{mean}, 95 % {span(row.difference, digits)}{p}{open_margin}"


def _against(summary: Summary, row: ContrastRow) -> str:
    """The guards that speak against a gain or a tie: their intervals lie on the worse side.
    None that an arm wins by finding nothing, against such an arm."""
    worse = []
    void = WON_BY_SILENCE if row.contrast.minus in summary.silent_once else ()
    for guard in (name for name in summary.grid.guards if name not in void):
        found = next(r for r in summary.contrasts[guard] if r.contrast == row.contrast).difference
        if found.excludes_zero and sign(guard) * found.mean < 0:
            worse.append(guard)
    if not worse:
        return ""
    one = len(worse) == 1
    return f"; but by {'its interval' if one else 'their intervals'} {_join(worse)} " + (
        "is worse" if one else "are worse"
    )


def _limits(summary: Summary) -> list[str]:
    """The second sentence, if any: what stays open, and for which images the claims hold."""
    rows = _by_claim(summary)
    parts = []
    if rows["open"]:
        parts += [_undecided(summary, rows["open"]), *_only_single(summary, rows["open"])]
    if made := [row for kind in WORDS for row in rows[kind]]:
        parts.append(_images(summary, made))
    sentence = "; ".join(parts)
    return [f"{sentence[0].upper()}{sentence[1:]}."] if parts else []


def _identical(summary: Summary) -> list[str]:
    same, silent = summary.identical, summary.silent
    rows = [row for row in summary.primary if row.contrast in same]
    said = "are identical in every seed: does the setting that tells them apart reach the run?"
    sentences = [f"The arms of {_names(rows)} {said}"] if rows else []
    if silent:
        rest = [f"{len(silent) - _NAMED} more"] * (len(silent) > _NAMED)
        named = _join([*(f"“{arm}”" for arm in silent[:_NAMED]), *rest])
        sentences.append(f"{named} found no word in any seed.")
    return sentences


def _undecided(summary: Summary, rows: list[ContrastRow]) -> str:
    digits = places(summary)[summary.grid.primary]
    widest = max(rows, key=lambda row: _furthest(row.difference))
    most = number(_furthest(widest.difference), digits)
    where = f" ({_names([widest])})" if len(rows) > 1 else ""
    lead = ""
    if len(rows) < len(summary.primary):
        listed = _names(rows) if len(rows) <= _NAMED else f"the other {len(rows)} contrasts"
        lead = f"{listed} {'is' if len(rows) == 1 else 'are'} not settled: "
    found = sorted(row.detectable for row in rows if math.isfinite(row.detectable))
    seen = ""
    if found:
        sizes = dict.fromkeys(number(value, digits) for value in (found[0], found[-1]))
        seen = ", and the smallest that a t test of one contrast alone finds with power .8 is "
        seen += " to ".join(sizes)
    return f"{lead}a difference of up to {most}{where} remains possible{seen}"


def _only_single(summary: Summary, rows: list[ContrastRow]) -> list[str]:
    """Verdicts of the table that the adjusted p does not carry."""
    judged = [row for row in rows if row.judged in ("better", "worse")]
    if not judged:
        return []
    one = len(judged) == 1
    return [
        f"the {'interval' if one else 'intervals'} of {_names(judged)} alone "
        f"{'lies' if one else 'lie'} beyond the margin, but p adjusted for all "
        f"{len(summary.primary)} contrasts is {p_value(max(row.p or 0 for row in judged))}"
    ]


def _images(summary: Summary, rows: list[ContrastRow]) -> str:
    """Whether the intervals for new images say the same as those for this test set."""
    only = [row for row in rows if not _holds_for_new_images(summary, row)]
    if not only:
        return "what is settled holds for new images of this kind too"
    which = "what is settled" if len(only) == len(rows) else f"what is said of {_names(only)}"
    images = count(len(summary.results.images), "test image")
    these = "this" if images.startswith("1 ") else "these"
    return f"{which} holds for {these} {images} and is open for new ones"


def _holds_for_new_images(summary: Summary, row: ContrastRow) -> bool:
    if row.new_images is None:
        return False
    turn = sign(summary.grid.primary)
    judged = verdict(row.new_images, margin=summary.grid.margin, sign=turn)
    if row.judged == "undecided":  # a claim about the sign alone
        return row.new_images.excludes_zero and row.new_images.mean * row.difference.mean > 0
    return judged == row.judged


def _none_of(summary: Summary) -> str:
    rows = summary.primary
    if len(rows) == 1:
        return f"the contrast {_names(list(rows))} is not"
    return f"{'neither' if len(rows) == 2 else 'none'} of the {len(rows)} contrasts is"


def _names(rows: list[ContrastRow]) -> str:
    names = [f"“{row.contrast.arm}” − “{row.contrast.minus}”" for row in rows[:_NAMED]]
    rest = len(rows) - _NAMED
    return _join([*names, f"{rest} more"] if rest > 0 else names)


def _furthest(interval: Interval) -> float:
    return max(abs(interval.low), abs(interval.high))


def _join(parts: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)
