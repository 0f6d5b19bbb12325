"""The registry: what every loss promises, and losses by name with checked knobs."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, ParamSpec, get_args

import torch
from torch import Tensor

from .contract import full_precision
from .declared import check_breaks, check_claims, check_name, check_signature, declare, guard
from .knobs import Knob, nearest

Kind = Literal["logits", "map", "levels", "gradient", "db"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Claim = Literal["convex", "mined", "pixel_mean"]
CLAIMS: dict[Claim, int] = {"mined": 12, "convex": 13, "pixel_mean": 14}
LAWS = (*range(1, 12), 16)
SCHEDULED = 15  # the law of losses that depend on progress
MAPS = ("weight", "region")  # maps that some losses take with a call
CALL_TIME = ("mask", "reduction", "progress", *MAPS)
CARRIER = "carrier"  # a part of value 0 that holds the gradient of parts made without autograd
Input = Tensor | Sequence[Tensor]
Parts = dict[str, Tensor]
P = ParamSpec("P")

__all__ = ["Claim", "Kind", "Limit", "Spec", "names"]
__all__ += ["register", "register_sum", "spec", "unregister"]


@dataclass(frozen=True)
class Limit:
    """Settings of a loss at which it is another one: ``same_as`` is called without knobs."""

    knobs: Mapping[str, object]
    same_as: Callable[..., Tensor]
    needs_positives: bool = False


@dataclass(frozen=True)
class Spec:
    """What is promised about a registered loss.

    ``laws`` are the numbers of the generic laws it keeps, ``breaks`` the others with the reason;
    ``bounds`` its least and greatest value; ``gradgrad`` whether second derivatives are checked.
    ``claims`` are promises beyond the laws of all losses: "mined" (law 12: ratio 3), "convex" in
    the logits (13), "pixel_mean" (14: a mean over pixels). ``limits`` are its known limit cases
    (11). ``scheduled`` says that it takes progress, ``maps`` which of weight and region, and
    ``makers`` what makes those of the target and the knobs, for several levels to share. ``parts``
    gives the weighted terms by name, for losses that are sums. ``truth`` tells what
    sigmoid(logits) should be, for losses that make their own label: a function of the other
    inputs, the mask and those knobs it has.
    """

    name: str
    kind: Kind
    fn: Callable[..., Tensor]
    knobs: Mapping[str, Knob]
    formula: str = ""
    breaks: Mapping[int, str] = field(default_factory=dict)
    claims: frozenset[Claim] = frozenset()
    limits: tuple[Limit, ...] = ()
    cite: str = ""
    bounds: tuple[float, float] = (0.0, math.inf)
    gradgrad: bool = False
    scheduled: bool = False
    maps: frozenset[str] = frozenset()
    makers: Mapping[str, Callable[..., Tensor]] = field(default_factory=dict)
    parts: Callable[..., Parts] | None = None
    truth: Callable[..., list[Tensor]] | None = None
    laws: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        """Fill ``laws``: those of all losses, those claimed, without those broken."""
        claimed = {CLAIMS[c] for c in self.claims} | ({SCHEDULED} if self.scheduled else set())
        object.__setattr__(self, "laws", frozenset({*LAWS, *claimed} - set(self.breaks)))

    def __str__(self) -> str:
        return self.name


_REGISTRY: dict[str, Spec] = {}


def register(
    name: str | None = None,
    *,
    kind: Kind = "logits",
    formula: str = "",
    knobs: Mapping[str, Knob] | None = None,
    breaks: Mapping[int, str] | None = None,
    claims: Sequence[Claim] = (),
    limits: Sequence[Limit] = (),
    cite: str = "",
    bounds: tuple[float, float] = (0.0, math.inf),
    gradgrad: bool = False,
    makers: Mapping[str, Callable[..., Tensor]] | None = None,
    truth: Callable[..., list[Tensor]] | None = None,
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Register a loss under its function's name or ``name``; it keeps all laws but ``breaks``.

    Keyword-only arguments other than mask, reduction, progress, weight and region are knobs;
    ``knobs`` gives them ranges. ``formula`` is one line of plain text, ``cite`` a key of
    ``references.bib``; the rest is told at ``Spec``. The function comes back running with
    autocast off.

    Raises:
        ValueError: a name taken, a kind, law or claim unknown, no parentheses, mask, reduction or
            a knob that is not keyword-only, a knob without default or out of its range.
    """
    check_name("register", name)
    _check_kind(kind)

    def decorate(fn: Callable[P, Tensor]) -> Callable[P, Tensor]:
        key = name or str(getattr(fn, "__name__", ""))
        _check_free(key, fn)
        check_signature(key, fn)
        check_breaks(key, breaks or {}, {*LAWS, *CLAIMS.values(), SCHEDULED})
        check_claims(key, claims, CLAIMS)
        declared = declare(key, fn, knobs or {}, CALL_TIME)
        takes = inspect.signature(fn).parameters
        safe = full_precision(guard(key, fn, declared))
        _REGISTRY[key] = Spec(
            name=key,
            kind=kind,
            fn=safe,
            knobs=declared,
            formula=formula,
            breaks=dict(breaks or {}),
            claims=frozenset(claims),
            limits=tuple(limits),
            cite=cite,
            bounds=bounds,
            gradgrad=gradgrad,
            scheduled="progress" in takes,
            maps=frozenset(MAPS) & set(takes),
            makers=dict(makers or {}),
            truth=truth,
        )
        return safe

    return decorate


def register_sum(
    name: str | None = None,
    *,
    kind: Kind = "logits",
    formula: str = "",
    knobs: Mapping[str, Knob] | None = None,
    breaks: Mapping[int, str] | None = None,
    limits: Sequence[Limit] = (),
    cite: str = "",
    bounds: tuple[float, float] = (0.0, math.inf),
    makers: Mapping[str, Callable[..., Tensor]] | None = None,
    truth: Callable[..., list[Tensor]] | None = None,
) -> Callable[[Callable[P, Parts]], Callable[P, Tensor]]:
    """Register a loss from a function that returns its weighted terms by name.

    The loss is their sum; ``Loss.components`` gives the terms. All else as in ``register``.

    Raises:
        ValueError: as ``register``.
    """
    check_name("register_sum", name)

    def decorate(fn: Callable[P, Parts]) -> Callable[P, Tensor]:
        @functools.wraps(fn)
        def total(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            return functools.reduce(torch.add, fn(*args, **kwargs).values())

        total.__annotations__ = {**fn.__annotations__, "return": Tensor}
        enter = register(
            name,
            kind=kind,
            formula=formula,
            knobs=knobs,
            breaks=breaks,
            limits=limits,
            cite=cite,
            bounds=bounds,
            makers=makers,
            truth=truth,
        )
        safe = enter(total)
        key = name or str(getattr(fn, "__name__", ""))
        parts = full_precision(guard(key, fn, _REGISTRY[key].knobs))
        _REGISTRY[key] = replace(_REGISTRY[key], parts=parts)
        return safe

    return decorate


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown: expected one of {list(KINDS)}")


def _check_free(key: str, fn: Callable[..., object]) -> None:
    old = _REGISTRY.get(key)
    if old is not None and _origin(old.fn) != _origin(fn):
        raise ValueError(f"a loss {key!r} is registered already, from {_origin(old.fn)}")


def _origin(fn: Callable[..., object]) -> str:
    return f"{getattr(fn, '__module__', '?')}.{getattr(fn, '__qualname__', '?')}"


def unregister(name: str) -> None:
    """Forget a registered loss; for notebooks and tests.

    Raises:
        ValueError: an unknown name; the nearest is named.
    """
    del _REGISTRY[spec(name).name]


def names(kind: Kind | None = None) -> list[str]:
    """Names of the registered losses, of one kind or of all, sorted.

    Raises:
        ValueError: an unknown kind.
    """
    if kind is not None:
        _check_kind(kind)
    return sorted(n for n, s in _REGISTRY.items() if kind in (None, s.kind))


def spec(name: str) -> Spec:
    """The declaration of a loss.

    Raises:
        ValueError: an unknown name; the nearest and all known ones are named.
    """
    if name not in _REGISTRY:
        raise ValueError(
            f"unknown loss {name!r}{nearest(str(name), names())}; known: {', '.join(names())}"
        )
    return _REGISTRY[name]
