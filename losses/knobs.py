"""Knobs: the keywords of a loss, with what they may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from .checks import is_integer, is_number

__all__ = ["Knob", "check_knob", "choice", "flag", "integer", "nearest", "number"]


@dataclass(frozen=True)
class Knob:
    """A keyword of a loss: its default and what it may be. ``odd`` is for integers."""

    kind: Literal["float", "int", "choice", "flag", "any"]
    default: object = None
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    optional: bool = False
    odd: bool = False

    def describe(self) -> str:
        """Say in words what the knob may be."""
        if self.kind == "flag":
            return "True or False"
        words = " or ".join(repr(c) for c in self.choices)
        if self.kind in ("choice", "any"):
            return words or "anything"
        span = f"{'odd ' * self.odd}{self.kind} in [{self.low:g}, {self.high:g}]"
        return " or ".join([span, *([words] if words else []), *["None"] * self.optional])

    def accepts(self, value: object) -> bool:
        """Say whether the knob may have this value."""
        if self.kind == "any" or (isinstance(value, str) and value in self.choices):
            return True
        if value is None:
            return self.optional
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind == "choice" or not is_number(value):
            return False
        if self.kind == "int" and not is_integer(value):
            return False
        return self.low <= value <= self.high and not (self.odd and value % 2 == 0)


def number(low: float = -math.inf, high: float = math.inf, *, optional: bool = False) -> Knob:
    """Declare a float in [low, high], or None if optional; a schedule may drive it."""
    return Knob("float", low=low, high=high, optional=optional)


def integer(low: int, high: int, *choices: str, odd: bool = False) -> Knob:
    """Declare an integer in [low, high], only odd ones if ``odd``, or one of some words."""
    return Knob("int", low=low, high=high, choices=choices, odd=odd)


def choice(*choices: str) -> Knob:
    """Declare one of some words."""
    return Knob("choice", choices=choices)


def flag() -> Knob:
    """Declare True or False."""
    return Knob("flag")


def nearest(word: str, known: Sequence[str]) -> str:
    """Words that offer the nearest known one, empty where none is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_knob(loss: str, key: str, knob: Knob, value: object) -> object:
    """Return the value, a number as Python's own.

    Raises:
        ValueError: a value out of the knob's range; the range or the nearest choice is named.
    """
    if not knob.accepts(value):
        hint = nearest(value, knob.choices) if isinstance(value, str) else ""
        raise ValueError(
            f"knob {key!r} of loss {loss!r} is {value!r}: expected {knob.describe()}{hint}"
        )
    if knob.kind not in ("int", "float") or not is_number(value):
        return value
    return int(value) if is_integer(value) else float(value)
