"""What a user can mend: errors the command line prints without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input, named with what was seen, what was expected and the likely fix."""


def unknown(kind: str, seen: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does.

    >>> unknown("grid", "grad_los", ["grad_loss"]).args[0]
    "unknown grid 'grad_los'; did you mean 'grad_loss'? (known: grad_loss)"
    """
    known = sorted(known)
    near = get_close_matches(seen, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"unknown {kind} {seen!r}{hint} (known: {', '.join(known)})")


def misnamed(kind: str, file: str, name: str) -> UserError:
    """The error for a file, such as a copied one, whose grid or search has another name.

    >>> misnamed("grid", "mine", "grad_loss").args[0]
    "experiments/grids/mine.py holds a grid named 'grad_loss': its name is its file's, so 'mine'"
    """
    folder = {"grid": "grids", "search": "searches"}[kind]
    return UserError(
        f"experiments/{folder}/{file}.py holds a {kind} named {name!r}: its name is its file's, "
        f"so {file!r}"
    )


def one_line(error: BaseException) -> str:
    """An error as a line of a message.

    >>> one_line(ValueError("no  such size"))
    'ValueError: no such size'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())
