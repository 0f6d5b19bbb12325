"""Weighted sums of registered losses, with the value of each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .bound import Loss, build
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

    def components(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
    ) -> dict[str, Tensor]:
        """Return the weighted parts by name; their sum is the value."""
        parts = {}
        for name, (weight, loss) in self.terms.items():
            value = loss(*inputs, mask=mask, reduction=reduction, progress=progress)
            parts[name] = _at(weight, name, progress) * value
        return parts

    def __call__(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
    ) -> Tensor:
        """Return the sum of the weighted parts."""
        parts = self.components(*inputs, mask=mask, reduction=reduction, progress=progress)
        first, *rest = parts.values()
        for part in rest:
            first = first + part
        return first


def _at(weight: Weight, name: str, progress: float | None) -> float:
    if not isinstance(weight, Schedule):
        return weight
    if progress is None:
        raise ValueError(f"the weight of {name!r} is scheduled: pass progress= in [0, 1]")
    return weight(progress)


def weighted_sum(terms: Mapping[str, float | Term]) -> WeightedSum:
    """Make a weighted sum: {"bce": 1.0, "soft": Term("dice", 0.5, {"smooth": 0})}.

    A bare number is the weight of the loss of that name with default knobs.

    Raises:
        ValueError: no term, losses of different kinds, an unknown loss or knob, a negative weight.
    """
    built: dict[str, tuple[Weight, Loss]] = {}
    for name, entry in terms.items():
        term = entry if isinstance(entry, Term) else Term(name, entry)
        weight = from_config(term.weight) if is_schedule(term.weight) else term.weight
        if not isinstance(weight, Schedule) and (
            isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0
        ):
            raise ValueError(
                f"weight of {name!r} is {weight!r}: expected a number >= 0 or a schedule"
            )
        built[name] = (weight, build(term.loss, **term.knobs))
    kinds = {loss.kind for _, loss in built.values()}
    if len(kinds) != 1:
        raise ValueError(f"a sum of kinds {sorted(kinds)}: expected one kind, at least one loss")
    return WeightedSum(built)
