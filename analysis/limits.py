"""The second sentence of a conclusion: what stays open, and for which images the claims hold."""

import math

from analysis.claims import NAMED, WORDS, by_claim, names
from analysis.metrics import sign
from analysis.spelling import count, number, p_value, places
from analysis.stats import Interval, verdict
from analysis.summary import ContrastRow, Summary


def limits(summary: Summary) -> list[str]:
    """The second sentence, if any: what stays open, and for which images the claims hold."""
    rows = by_claim(summary)
    parts = []
    if rows["open"]:
        parts += [_undecided(summary, rows["open"]), *_only_single(summary, rows["open"])]
    if made := [row for kind in WORDS for row in rows[kind]]:
        parts.append(_images(summary, made))
    sentence = "; ".join(parts)
    return [f"{sentence[0].upper()}{sentence[1:]}."] if parts else []


def _undecided(summary: Summary, rows: list[ContrastRow]) -> str:
    digits = places(summary)[summary.grid.primary]
    widest = max(rows, key=lambda row: _furthest(row.difference))
    most = number(_furthest(widest.difference), digits)
    where = f" ({names([widest])})" if len(rows) > 1 else ""
    lead = ""
    if len(rows) < len(summary.primary):
        listed = names(rows) if len(rows) <= NAMED else f"the other {len(rows)} contrasts"
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
        f"the {'interval' if one else 'intervals'} of {names(judged)} alone "
        f"{'lies' if one else 'lie'} beyond the margin, but p adjusted for all "
        f"{len(summary.primary)} contrasts is {p_value(max(row.p or 0 for row in judged))}"
    ]


def _images(summary: Summary, rows: list[ContrastRow]) -> str:
    """Whether the intervals for new images say the same as those for this test set."""
    only = [row for row in rows if not _holds_for_new_images(summary, row)]
    if not only:
        return "what is settled holds for new images of this kind too"
    which = "what is settled" if len(only) == len(rows) else f"what is said of {names(only)}"
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


def _furthest(interval: Interval) -> float:
    return max(abs(interval.low), abs(interval.high))
