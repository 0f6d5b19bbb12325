"""Weighted sums of registered losses, with the value of each part."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from .bound import Loss, build, call_maps, refuse_map
from .checks import is_number
from .contract import Reduction
from .registry import Input, Kind
from .schedules import Schedule, from_config, is_schedule

Weight = float | Schedule
__all__ = ["Term", "WeightedSum", "weighted_sum"]


@dataclass(frozen=True)
class Term:
    """One loss of a sum: its registered name, its weight (or the schedule of it), its knobs."""

    loss: str
    weight: float | Schedule | Mapping[str, object] = 1.0
    knobs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightedSum:
    """A sum of losses of one kind; call it as any of them."""

    terms: Mapping[str, tuple[Weight, Loss]]

    @property
    def name(self) -> str:
        """The parts, joined by plus signs."""
        return "+".join(self.terms)

    @property
    def kind(self) -> Kind:
        """The kind that all parts share."""
        return next(iter(self.terms.values()))[1].kind

    def _terms(
        self, progress: float | None, weight: Tensor | None, region: Tensor | None
    ) -> Iterator[tuple[str, float, Loss, dict[str, Tensor]]]:
        """Name, weight now, loss and those maps it takes, term by term."""
        maps = call_maps(weight, region)
        for key in maps:
            if not any(key in loss.spec.maps for _, loss in self.terms.values()):
                refuse_map(key, f"sum {self.name!r}")
        for name, (scale, loss) in self.terms.items():
            own = {key: value for key, value in maps.items() if key in loss.spec.maps}
            yield name, _at(scale, name, progress), loss, own

    def components(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
        weight: Tensor | None = None,
        region: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The weighted parts by name, to report: their sum is the value; they have no gradient.

        Those of a term that is itself a sum are named after both: "birefnet_pixel/bce".

        Raises:
            ValueError: as a call.
        """
        found = {}
        for name, scale, loss, own in self._terms(progress, weight, region):
            parts = loss.components(
                *inputs, mask=mask, reduction=reduction, progress=progress, **own
            )
            for part, value in parts.items():
                key = name if loss.spec.parts is None else f"{name}/{part}"
                found[key] = scale * value
        return found

    def __call__(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
        weight: Tensor | None = None,
        region: Tensor | None = None,
    ) -> Tensor:
        """The sum of the weighted terms; ``weight`` and ``region`` go to those that take them.

        Raises:
            ValueError: a shape or dtype that does not fit, a map that no term takes, progress
                missing or not a number in [0, 1].
        """
        values = [
            scale * loss(*inputs, mask=mask, reduction=reduction, progress=progress, **own)
            for _, scale, loss, own in self._terms(progress, weight, region)
        ]
        return functools.reduce(torch.add, values)


def _at(weight: Weight, name: str, progress: float | None) -> float:
    if not isinstance(weight, Schedule):
        return weight
    if progress is None:
        raise ValueError(f"the weight of {name!r} is scheduled: pass progress= in [0, 1]")
    return weight(progress)


def _check_weight(name: str, weight: object) -> Weight:
    """Return a weight, a number as Python's own, or its schedule."""
    schedule = from_config(weight) if is_schedule(weight) else None
    for value in [weight] if schedule is None else schedule.values():
        if not is_number(value) or not 0 <= value < math.inf:
            of = "is" if schedule is None else "is scheduled and takes the value"
            raise ValueError(
                f"weight of {name!r} {of} {value!r}: expected a number >= 0 that is finite, or a "
                "schedule of such"
            )
    return float(weight) if is_number(weight) else cast(Schedule, schedule)


def weighted_sum(terms: Mapping[str, float | Term]) -> WeightedSum:
    """Make a weighted sum: {"bce": 1.0, "soft": Term("dice", 0.5, {"smooth": 0})}.

    A bare number is the weight of the loss of that name with default knobs.

    Raises:
        ValueError: no term, losses of different kinds, an unknown loss or knob, a weight that is
            negative or not finite.
    """
    built: dict[str, tuple[Weight, Loss]] = {}
    for name, entry in terms.items():
        term = entry if isinstance(entry, Term) else Term(name, entry)
        built[name] = (_check_weight(name, term.weight), build(term.loss, **term.knobs))
    kinds = {loss.kind for _, loss in built.values()}
    if len(kinds) != 1:
        raise ValueError(f"a sum of kinds {sorted(kinds)}: expected one kind, at least one loss")
    return WeightedSum(built)
