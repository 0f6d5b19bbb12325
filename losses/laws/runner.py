"""``check`` and ``score``: a loss tried on the laws, with the smallest case that breaks each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..registry import Kind
from .recipes import Recipe, compose, smallest
from .reproduce import of_case, of_check
from .subjects import Subject, alternatives, declared, subject, takes_mask, working_dtype
from .table import BY_NUMBER, Law, inapplicable, laws_of, soft_label, unclaimed
from .tools import LawError

Status = Literal["kept", "broken", "declared", "unreached", "inapplicable"]
# Cases are drawn on, up to this many times as many, while a law says nothing yet.
PATIENCE = 5
# And up to this many while a knob has not mattered yet.
ENOUGH = 25

__all__ = ["Score", "Status", "Violation", "check", "score"]


@dataclass(frozen=True)
class Violation:
    """A law that a loss breaks, on the smallest case found, and how to see it again.

    ``case`` is None where no single case breaks the law: a knob that never mattered or a setting
    that raises, or a law of which no case reached the premise. ``reproduce`` is Python that
    raises AssertionError.
    """

    law: int
    name: str
    what: str
    case: Recipe | None
    reproduce: str

    def __str__(self) -> str:
        """Return the law, what is wrong, and what to paste."""
        code = "\n".join(f"    {line}" for line in self.reproduce.splitlines())
        return f"law {self.law} ({self.name}) is broken: {self.what}\n{code}"


@dataclass(frozen=True)
class Score:
    """How a loss stands with a law: on how many cases tried, and how many said anything.

    "declared" is a break that the loss declares, with its ``reason``; "unreached" says that no
    case reached the law's premise, which ``check`` reports too; "inapplicable" has a ``reason``.
    """

    law: int
    status: Status
    tried: int = 0
    reached: int = 0
    reason: str = ""
    violation: Violation | None = None


def check(
    loss: Subject | Callable[..., Tensor],
    *,
    laws: Iterable[int] | None = None,
    cases: int = 20,
    seed: int = 0,
    kind: Kind = "logits",
) -> list[Violation]:
    """Try a loss on the laws; return what it breaks, an empty list if it keeps them all.

    ``loss`` is what ``losses.build`` or ``losses.weighted_sum`` returns, or any function or
    module of (logits, target) and of mask, reduction and progress if it takes them; for one of
    other inputs say its ``kind``. ``laws`` are numbers, by default those that the loss declares
    or, of a bare function, those of every loss: 12 (mining), 13 (convex) and 14 (a mean over
    pixels) are tried when asked for. A law that no case says anything about is returned too.

    Raises:
        ValueError: an unknown law.
    """
    found = score(loss, laws=laws, cases=cases, seed=seed, kind=kind)
    return [s.violation for s in found if s.violation is not None]


def score(
    loss: Subject | Callable[..., Tensor],
    *,
    laws: Iterable[int] | None = None,
    cases: int = 20,
    seed: int = 0,
    kind: Kind = "logits",
) -> list[Score]:
    """As ``check``, with a score for every law: those kept and those that have no say as well."""
    tried = subject(loss, kind)
    unknown = sorted({*(laws or ())} - {*BY_NUMBER})
    if unknown:
        raise ValueError(f"unknown laws {unknown}: expected numbers in 1..{max(BY_NUMBER)}")
    asked = laws_of(tried) if laws is None else frozenset(laws)
    numbers = sorted(BY_NUMBER if laws is None else asked)
    with _one_thread():
        return [
            _try(tried, BY_NUMBER[n], cases, seed) if n in asked else _excused(tried, n)
            for n in numbers
        ]


@contextmanager
def _one_thread() -> Iterator[None]:
    """The maps are tiny: threads within an operation cost up to ten times what they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _excused(loss: Subject, number: int) -> Score:
    """A law that is not tried: declared broken, of other losses, or not claimed."""
    spec = declared(loss)
    if spec is not None and number in spec.breaks:
        return Score(number, "declared", reason=spec.breaks[number])
    reason = inapplicable(number, loss) or unclaimed(number, loss)
    return Score(number, "inapplicable", reason=reason)


def _recipes(loss: Subject, law: Law, seed: int) -> Iterator[Recipe]:
    """Draw recipes without end, the same for the same seed."""
    dtype, masks = working_dtype(loss), takes_mask(loss)
    choose = random.Random(f"{seed}/{law.number}").choice
    while True:
        yield compose(law.wants, loss.kind, choose, masks=masks, dtype=dtype)


def _try(loss: Subject, law: Law, cases: int, seed: int) -> Score:
    def fault(status: Status, what: str, reason: str = "") -> Score:
        code = of_check(loss, law.number, cases, seed)
        found = Violation(law.number, law.name, what, None, code)
        return Score(law.number, status, tried, reached, reason, found)

    tried = reached = 0
    reason = inapplicable(law.number, loss)
    if reason:  # and asked for all the same
        return fault("inapplicable", f"cannot be tried: {reason}", reason)
    silent = set(alternatives(loss)) if law.silent else set()
    for recipe in _recipes(loss, law, seed):
        if tried >= max(cases, ENOUGH if silent else 0, 0 if reached else PATIENCE * cases):
            break
        tried += 1
        case = recipe.case()
        try:
            reached += law(loss, case)
        except LawError as error:
            found = _shrunk(loss, law, recipe, error.what)
            return Score(law.number, "broken", tried, reached, violation=found)
        try:
            silent = law.silent(loss, case, silent) if law.silent and silent else silent
        except LawError as error:
            return fault("broken", error.what)
    if silent:
        knobs = ", ".join(sorted(silent))
        return fault("broken", f"no effect on value or gradient in {tried} cases: {knobs}")
    if reached:
        return Score(law.number, "kept", tried, reached)
    if reason := soft_label(law.number, loss):
        return Score(law.number, "inapplicable", tried, reason=reason)
    return fault("unreached", f"none of {tried} cases reached its premise: nothing is known")


def _shrunk(loss: Subject, law: Law, recipe: Recipe, what: str) -> Violation:
    """The violation on the smallest case found that breaks the law."""
    said = {recipe: what}

    def fails(candidate: Recipe) -> bool:
        try:
            law(loss, candidate.case())
        except LawError as error:
            said[candidate] = error.what
        return candidate in said

    least = smallest(fails, recipe, law.wants)
    code = of_case(loss, law.number, least)
    return Violation(law.number, law.name, said[least], least, code)
