"""What a registration is checked for: its signature, its knobs, the laws it speaks of."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import ParamSpec, TypeVar

from .knobs import Knob, check_knob, nearest

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["check_breaks", "check_claims", "check_name", "check_signature", "declare", "guard"]


def check_name(decorator: str, name: object) -> None:
    """Raise ValueError unless ``name`` is a name or None; a bare decorator is handed a function.

    The fix is named: parentheses, or a string.
    """
    if callable(name):
        raise ValueError(f"{decorator} was handed {name!r} and no name: write @{decorator}()")
    if name is not None and (not isinstance(name, str) or not name):
        raise ValueError(f"name={name!r} of a loss: expected a string, or none for its function's")


def check_signature(name: str, fn: Callable[..., object]) -> None:
    """Raise ValueError unless mask, reduction and all that has a default are keyword-only."""
    found = inspect.signature(fn).parameters
    for key, parameter in found.items():
        if (
            parameter.kind is not parameter.KEYWORD_ONLY
            and parameter.default is not parameter.empty
        ):
            raise ValueError(
                f"argument {key!r} of loss {name!r} has a default and is not keyword-only: put it "
                "after the star, def loss(logits, target, *, ...)"
            )
    here = {key for key, parameter in found.items() if parameter.kind is parameter.KEYWORD_ONLY}
    missing = [key for key in ("mask", "reduction") if key not in here]
    if missing:
        raise ValueError(
            f"loss {name!r} has no keyword-only {' and '.join(missing)}: write "
            "def loss(logits, target, *, mask=None, reduction='mean')"
        )


def check_breaks(name: str, breaks: Mapping[int, str], known: Collection[int]) -> None:
    """Raise ValueError unless every law that is broken is one of the ``known`` numbers."""
    unknown = [law for law in breaks if law not in known]
    if unknown:
        raise ValueError(
            f"loss {name!r} breaks law {unknown[0]!r}, which there is not: expected numbers among "
            f"{sorted(known)}"
        )


def check_claims(name: str, claims: object, known: Collection[str]) -> None:
    """Raise ValueError unless ``claims`` is a collection of ``known`` words."""
    if isinstance(claims, str) or not isinstance(claims, Collection):
        raise ValueError(f"claims={claims!r} of loss {name!r}: expected a list; [{claims!r}]?")
    for claim in claims:
        if claim not in known:
            words = list(known)
            raise ValueError(
                f"loss {name!r} claims {claim!r}: expected some of {words}"
                f"{nearest(str(claim), words)}"
            )


def declare(
    name: str, fn: Callable[..., object], given: Mapping[str, Knob], call_time: Collection[str]
) -> dict[str, Knob]:
    """Join the knobs' ranges with the defaults that the signature has.

    Raises:
        ValueError: a knob that the function has not, one without default or of one out of range.
    """
    found = {
        key: parameter.default
        for key, parameter in inspect.signature(fn).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key not in call_time
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
            raise ValueError(
                f"default {key}={default!r} of loss {name!r} is out of its range: expected "
                f"{knobs[key].describe()}"
            )
    return knobs


def guard(name: str, fn: Callable[P, R], knobs: Mapping[str, Knob]) -> Callable[P, R]:
    """Check the knobs of a direct call as ``build`` checks its own."""

    @functools.wraps(fn)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        for key in kwargs:
            if key in knobs:
                kwargs[key] = check_knob(name, key, knobs[key], kwargs[key])
        return fn(*args, **kwargs)

    return guarded
