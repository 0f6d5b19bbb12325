"""What a grid's statistics allow to be said, in a few sentences and never more than that."""

from collections import Counter

from analysis.claims import NAMED, WORDS, Claim, by_claim, join, listed, names
from analysis.limits import limits
from analysis.load import Results
from analysis.metrics import sign
from analysis.pooled import WON_BY_SILENCE
from analysis.spelling import count, number, p_value, row_places, span
from analysis.stats import FEWEST_SEEDS, LEVEL
from analysis.summary import ContrastRow, Summary


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
        parts = [_findings(summary), *limits(summary)]
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
    lead = f"Nothing can be concluded{' yet' if missing and _may_suffice(summary) else ''}"
    told = "The table tells what was measured"
    if any(row.judged for row in summary.primary):
        told = "Verdicts in the table are of single contrasts, each by its own 95 % interval"
    return (
        f"{lead}: {count(seeds, 'seed') if seeds else 'no seed'} "
        f"{'is' if seeds < 2 else 'are'} complete in all arms of the contrasts, and below "
        f"{FEWEST_SEEDS} no p can reach {LEVEL:g}. {told}{after}"
    )


def _missing(results: Results) -> str:
    """`with 3 of 32 runs missing, of which 2 of “mae” failed`; an arm that fails because it
    diverges keeps its better seeds, so such arms are named."""
    absent, planned = len(results.absent), len(results.grid.cells)
    failed = Counter(cell.arm for cell in results.absent if cell.state == "failed").most_common()
    named = [f"{found} of “{arm}”" for arm, found in failed[:NAMED]]
    rest = sum(found for _, found in failed[NAMED:])
    named += [f"{rest} of others"] * (rest > 0)
    told = f"with {absent} of {planned} runs missing" if absent else ""
    return f"{told}, of which {join(named)} failed" if named else told


def _may_suffice(summary: Summary) -> bool:
    """Whether the seeds in which no arm of the contrasts failed are enough for a test."""
    compared = {arm for c in summary.grid.contrasts for arm in (c.arm, c.minus)}
    absent = summary.results.absent
    failed = {c.seed for c in absent if c.state == "failed" and c.arm in compared}
    return len({*summary.grid.seeds} - failed) >= FEWEST_SEEDS


def _findings(summary: Summary) -> str:
    """The first sentence: every claim that may be made, or that none may."""
    grid, rows = summary.grid, by_claim(summary)
    clauses = [clause for kind in WORDS for clause in _clauses(summary, kind, rows[kind])]
    lead = f"n this data, at this scale ({_scale(summary)}) and by {grid.primary}, "
    if len(summary.primary) > 1:
        lead += "each contrast by its own 95 % interval "
    lead += f"against a margin of {grid.margin:g}: "
    lead += f"{join(clauses) or f'{_none_of(summary)} settled'}."
    missing = _missing(summary.results)
    return f"Provisional, {missing}: i{lead}" if missing else f"I{lead}"


def _scale(summary: Summary) -> str:
    """`preset laptop, 8 seeds`; seeds that joined after a look make p too small, so they show."""
    added = len(set(summary.grid.seeds_added) & set(summary.joint_seeds))
    after = f", {added} of them added after a look" if added else ""
    return f"preset {summary.grid.preset}, {count(len(summary.joint_seeds), 'seed')}{after}"


def _clauses(summary: Summary, kind: Claim, rows: list[ContrastRow]) -> list[str]:
    """`“a” is better than “b” (+0.030, 95 % [+0.028, +0.032], adjusted p 0.0078)`, up to three."""
    clauses = [
        f"“{row.contrast.arm}” is {WORDS[kind]} “{row.contrast.minus}” ({_numbers(summary, row)}"
        f"{_against(summary, kind, row)})"
        for row in rows[:NAMED]
    ]
    if not (rest := rows[NAMED:]):
        return clauses
    likewise = f"{count(len(rest), 'more pair')} likewise{_among(summary, kind, rest)}"
    return [*clauses, likewise]


def _numbers(summary: Summary, row: ContrastRow) -> str:
    digits = row_places(summary, row)
    mean = number(row.difference.mean, digits, signed=True)
    p = "" if row.judged == "equivalent" else f", adjusted p {p_value(row.p)}"
    open_margin = ", perhaps by less than the margin" if row.judged == "undecided" else ""
    n = row.difference.n  # in an unfinished grid a pair may have more seeds than the joint test
    seeds = "" if n == len(summary.joint_seeds) else f" over {count(n, 'seed')}"
    return f"{mean}, 95 % {span(row.difference, digits)}{seeds}{p}{open_margin}"


def _against(summary: Summary, kind: Claim, row: ContrastRow) -> str:
    """`; but by its interval BIoU is worse`: the guards that contradict a claim."""
    found = _contrary(summary, kind, row)
    parts = []
    for side in ("worse", "better"):
        if guards := [guard for guard, where in found.items() if where == side]:
            parts.append(f"{join(guards)} {'is' if len(guards) == 1 else 'are'} {side}")
    whose = "its interval" if len(found) == 1 else "their intervals"
    return f"; but by {whose} {join(parts)}" if parts else ""


def _among(summary: Summary, kind: Claim, rows: list[ContrastRow]) -> str:
    """`, of which “d” − “b” has BIoU against it`: such guards of pairs that are only counted."""
    found = [(names([row]), join([*_contrary(summary, kind, row)])) for row in rows]
    told = [(pair, guards) for pair, guards in found if guards]
    if len(told) == 1:
        return f", of which {told[0][0]} has {told[0][1]} against it"
    pairs = listed([f"{pair} ({guards})" for pair, guards in told])
    return f", of which {pairs} have guards against them" if told else ""


_AGREES = {"better": "better", "ahead": "better", "worse": "worse", "behind": "worse"}


def _contrary(summary: Summary, kind: Claim, row: ContrastRow) -> dict[str, str]:
    """The guards whose interval lies on another side than a claim says (of a tie: on either), and
    on which. None that the arm which is above the other by it wins by finding nothing."""
    found = {}
    for guard in summary.grid.guards:
        pair = next(r for r in summary.contrasts[guard] if r.contrast == row.contrast)
        side = "better" if sign(guard) * pair.difference.mean > 0 else "worse"
        above = row.contrast.arm if side == "better" else row.contrast.minus
        silence = guard in WON_BY_SILENCE and above in summary.silent_once
        if pair.difference.excludes_zero and side != _AGREES.get(kind) and not silence:
            found[guard] = side
    return found


def _identical(summary: Summary) -> list[str]:
    same, silent = summary.identical, summary.silent
    rows = [row for row in summary.primary if row.contrast in same]
    said = "are identical in every seed: does the setting that tells them apart reach the run?"
    sentences = [f"The arms of {names(rows)} {said}"] if rows else []
    if silent:
        sentences.append(f"{listed([f'“{arm}”' for arm in silent])} found no word in any seed.")
    return sentences


def _none_of(summary: Summary) -> str:
    rows = summary.primary
    if len(rows) == 1:
        return f"the contrast {names(list(rows))} is not"
    return f"{'neither' if len(rows) == 2 else 'none'} of the {len(rows)} contrasts is"
