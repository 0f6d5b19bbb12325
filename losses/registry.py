"""The registry: what every loss promises, and losses by name with checked knobs."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal, ParamSpec, get_args

from torch import Tensor

from .contract import full_precision

Kind = Literal["logits", "levels", "gradient"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LAWS = tuple(range(1, 11))
CALL_TIME = ("mask", "reduction", "progress", "weight", "region")
Input = Tensor | Sequence[Tensor]
P = ParamSpec("P")

__all__ = ["Kind", "Knob", "Spec", "choice", "flag", "integer", "names"]
__all__ += ["number", "register", "spec", "unregister"]


@dataclass(frozen=True)
class Knob:
    """A keyword of a loss: its default and what it may be."""

    kind: Literal["float", "int", "choice", "flag", "any"]
    default: object = None
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """Say in words what the knob may be."""
        if self.kind == "flag":
            return "True or False"
        words = " or ".join(repr(c) for c in self.choices)
        if self.kind in ("choice", "any"):
            return words or "anything"
        span = f"{self.kind} in [{self.low:g}, {self.high:g}]"
        return f"{span} or {words}" if words else span

    def accepts(self, value: object) -> bool:
        """Say whether the knob may have this value."""
        if self.kind == "any" or (isinstance(value, str) and value in self.choices):
            return True
        if self.kind == "flag":
            return isinstance(value, bool)
        types = (int,) if self.kind == "int" else (int, float)
        if self.kind == "choice" or isinstance(value, bool) or not isinstance(value, types):
            return False
        return self.low <= value <= self.high


def number(low: float = -math.inf, high: float = math.inf) -> Knob:
    """Declare a float in [low, high]; a schedule may drive it."""
    return Knob("float", low=low, high=high)


def integer(low: int, high: int, *choices: str) -> Knob:
    """Declare an integer in [low, high], or one of some words."""
    return Knob("int", low=low, high=high, choices=choices)


def choice(*choices: str) -> Knob:
    """Declare one of some words."""
    return Knob("choice", choices=choices)


def flag() -> Knob:
    """Declare True or False."""
    return Knob("flag")


@dataclass(frozen=True)
class Spec:
    """What is promised about a registered loss.

    ``laws`` are the numbers of the generic laws it keeps, ``breaks`` the others with the reason;
    ``bounds`` its least and greatest value; ``gradgrad`` whether second derivatives are checked.
    ``truth`` tells what sigmoid(logits) should be, for losses that make their own label: a
    function of the other inputs, the mask and those knobs it has.
    """

    name: str
    kind: Kind
    fn: Callable[..., Tensor]
    knobs: Mapping[str, Knob]
    breaks: Mapping[int, str]
    cite: str
    bounds: tuple[float, float]
    gradgrad: bool
    scheduled: bool
    components: Callable[..., dict[str, Tensor]] | None
    truth: Callable[..., list[Tensor]] | None
    laws: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        """Fill ``laws`` with all that are not broken."""
        object.__setattr__(self, "laws", frozenset(LAWS) - frozenset(self.breaks))

    def __str__(self) -> str:
        return self.name


_REGISTRY: dict[str, Spec] = {}


def nearest(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def _declared(name: str, fn: Callable[..., Tensor], given: Mapping[str, Knob]) -> dict[str, Knob]:
    """Join the knobs' ranges with the defaults that the signature has."""
    found = {
        key: parameter.default
        for key, parameter in inspect.signature(fn).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key not in CALL_TIME
    }
    missing = sorted(set(given) - set(found))
    if missing:
        raise ValueError(f"loss {name!r} declares knobs {missing} that its function has not")
    knobs = {}
    for key, default in found.items():
        if default is inspect.Parameter.empty:
            raise ValueError(f"knob {key!r} of loss {name!r} needs a default")
        knobs[key] = replace(given.get(key, Knob("any")), default=default)
        if not knobs[key].accepts(default):
            raise ValueError(f"default {key}={default!r} of loss {name!r} is out of its range")
    return knobs


def register(
    name: str | None = None,
    *,
    kind: Kind = "logits",
    knobs: Mapping[str, Knob] | None = None,
    breaks: Mapping[int, str] | None = None,
    cite: str = "",
    bounds: tuple[float, float] = (0.0, math.inf),
    gradgrad: bool = False,
    components: Callable[..., dict[str, Tensor]] | None = None,
    truth: Callable[..., list[Tensor]] | None = None,
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Register a loss under its function's name or ``name``; it keeps all laws but ``breaks``.

    Keyword-only arguments other than mask, reduction, progress, weight and region are knobs;
    ``knobs`` gives them ranges. The function comes back running with autocast off.

    Raises:
        ValueError: a name taken, a kind unknown, a knob without default or out of its range.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown: expected one of {list(KINDS)}")

    def decorate(fn: Callable[P, Tensor]) -> Callable[P, Tensor]:
        key = name or str(getattr(fn, "__name__", ""))
        old = _REGISTRY.get(key)
        if old is not None and _origin(old.fn) != _origin(fn):
            raise ValueError(f"a loss {key!r} is registered already, from {_origin(old.fn)}")
        parameters = inspect.signature(fn).parameters
        declared = _declared(key, fn, knobs or {})
        safe = full_precision(_guarded(key, fn, declared))
        _REGISTRY[key] = Spec(
            name=key,
            kind=kind,
            fn=safe,
            knobs=declared,
            breaks=dict(breaks or {}),
            cite=cite,
            bounds=bounds,
            gradgrad=gradgrad,
            scheduled="progress" in parameters,
            components=components,
            truth=truth,
        )
        return safe

    return decorate


def check_knob(loss: str, key: str, knob: Knob, value: object) -> None:
    """Raise ValueError, naming the range or the nearest choice, for a value out of range."""
    if not knob.accepts(value):
        hint = nearest(value, knob.choices) if isinstance(value, str) else ""
        raise ValueError(
            f"knob {key!r} of loss {loss!r} is {value!r}: expected {knob.describe()}{hint}"
        )


def _guarded(name: str, fn: Callable[P, Tensor], knobs: Mapping[str, Knob]) -> Callable[P, Tensor]:
    """Check the knobs of a direct call as ``build`` checks its own."""

    @functools.wraps(fn)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        for key, value in kwargs.items():
            if key in knobs:
                check_knob(name, key, knobs[key], value)
        return fn(*args, **kwargs)

    return guarded


def _origin(fn: Callable[..., Tensor]) -> str:
    return f"{getattr(fn, '__module__', '?')}.{getattr(fn, '__qualname__', '?')}"


def unregister(name: str) -> None:
    """Forget a registered loss; for notebooks and tests."""
    del _REGISTRY[spec(name).name]


def names(kind: Kind | None = None) -> list[str]:
    """Names of the registered losses, of one kind or of all, sorted."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown: expected one of {list(KINDS)}")
    return sorted(n for n, s in _REGISTRY.items() if kind in (None, s.kind))


def spec(name: str) -> Spec:
    """The declaration of a loss; ValueError, naming the nearest, where there is none."""
    if name not in _REGISTRY:
        raise ValueError(
            f"unknown loss {name!r}{nearest(str(name), names())}; known: {', '.join(names())}"
        )
    return _REGISTRY[name]
