"""Errors for names that do not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(kind: str, seen: object, known: Iterable[str]) -> ValueError:
    """The error for an unknown name, with the nearest known one, capitals aside."""
    small = {name.casefold(): name for name in known}
    near = get_close_matches(str(seen).casefold(), small, n=1, cutoff=0.3)
    hint = f"; did you mean {small[near[0]]!r}?" if near else ""
    return ValueError(f"unknown {kind} {seen!r}{hint} (known: {', '.join(small.values())})")
