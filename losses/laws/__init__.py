"""The laws that losses keep, and ``check``, which tries them on a loss, yours included.

``check(loss)`` returns what it breaks, each with the smallest case found and code that shows it
again; ``score(loss)`` tells how every law stands; ``python -m losses.laws --table`` prints that
for all losses of this library, and for those of others where they are installed.
"""

from .cases import Case, make_case
from .recipes import Recipe, compose, smallest
from .runner import Score, Violation, check, score
from .subjects import Subject, evaluate, plain
from .table import BY_NUMBER, Law

__all__ = [
    "BY_NUMBER",
    "Case",
    "Law",
    "Recipe",
    "Score",
    "Subject",
    "Violation",
    "check",
    "compose",
    "evaluate",
    "make_case",
    "plain",
    "score",
    "smallest",
]
