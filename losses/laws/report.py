"""The laws and the scores of many losses as text: a line a law, a matrix, what is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .runner import Score, Status
from .table import BY_NUMBER

Scores = Mapping[str, Sequence[Score]]
_MARKS: dict[Status, str] = {
    "kept": "ok",
    "broken": "NO",
    "declared": "no*",
    "unreached": "?",
    "inapplicable": "-",
}
LEGEND = "ok kept   NO broken   no* broken as declared   - has no say   ? no case reached it"

__all__ = ["broken", "laws", "matrix", "reasons"]


def laws() -> str:
    """Each law in a line."""
    return "\n".join(f"{n:2d}  {law.text}" for n, law in BY_NUMBER.items())


def matrix(title: str, scores: Scores, *, markdown: bool = False) -> str:
    """Losses by laws: how each stands."""
    numbers = [str(n) for n in BY_NUMBER]
    rows = [[name, *(_MARKS[s.status] for s in found)] for name, found in scores.items()]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in [[title, *numbers], *rows]]
        return "\n".join([lines[0], "|-" * (len(numbers) + 1) + "|", *lines[1:], "", LEGEND])
    width = max(len(row[0]) for row in [[title], *rows])
    lines = [
        row[0].ljust(width) + "".join(cell.rjust(4) for cell in row[1:])
        for row in [[title, *numbers], *rows]
    ]
    return "\n".join([*lines, LEGEND])


def reasons(scores: Scores) -> str:
    """Why each declared break is one; losses that give the same reason share a line."""
    found: dict[str, list[str]] = {}
    for name, all_scores in scores.items():
        for s in all_scores:
            if s.status == "declared":
                found.setdefault(s.reason, []).append(f"{name} {s.law}")
    return "\n".join(f"{', '.join(who)}: {reason}" for reason, who in found.items())


def broken(scores: Scores, *, code: bool = False) -> str:
    """What was found broken that is not declared, with ``code`` how to see it again."""
    lines = []
    for name, found in scores.items():
        for v in (s.violation for s in found if s.violation is not None):
            where = "" if v.case is None else f"  {v.case}"
            lines.append(f"{name}, {v}" if code else f"{name} {v.law}: {v.what}{where}")
    return "\n".join(lines)
