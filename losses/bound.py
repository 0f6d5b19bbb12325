"""Losses by name with their knobs checked and set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from .checks import check_progress
from .contract import Reduction
from .knobs import check_knob, nearest
from .registry import CARRIER, Input, Kind, Spec, names, spec
from .schedules import Schedule, from_config, is_schedule

__all__ = ["Loss", "build"]


def _check_knob(loss: Spec, key: str, value: object) -> object:
    if key not in loss.knobs:
        known = sorted(loss.knobs)
        hint = nearest(key, known)
        raise ValueError(f"loss {loss.name!r} has no knob {key!r}{hint}; it has {known}")
    knob = loss.knobs[key]
    if not is_schedule(value):
        return check_knob(loss.name, key, knob, value)
    if knob.kind != "float":
        raise ValueError(
            f"knob {key!r} of loss {loss.name!r} cannot be scheduled: {knob.describe()}"
        )
    schedule = from_config(value)
    bad = [v for v in schedule.values() if not knob.accepts(v)]
    if bad:
        raise ValueError(
            f"schedule for knob {key!r} of loss {loss.name!r} takes the value {bad[0]!r}: "
            f"expected {knob.describe()}"
        )
    return schedule


def call_maps(weight: Tensor | None, region: Tensor | None) -> dict[str, Tensor]:
    """The maps that a call was given, by name."""
    return {k: v for k, v in (("weight", weight), ("region", region)) if v is not None}


def refuse_map(key: str, who: str) -> NoReturn:
    """Raise the error of a map that nothing takes, with the losses that would."""
    takers = [name for name in names() if key in spec(name).maps]
    raise ValueError(f"{who} takes no {key}: leave it out; losses that take one: {takers}")


@dataclass(frozen=True)
class Loss:
    """A loss with its knobs set: what ``build`` returns. Call it as its function."""

    spec: Spec
    knobs: Mapping[str, object]

    @property
    def name(self) -> str:
        """The registered name."""
        return self.spec.name

    @property
    def kind(self) -> Kind:
        """The kind, which says what the arguments are."""
        return self.spec.kind

    def arguments(self, progress: float | None = None) -> dict[str, Any]:
        """The keywords at this progress, schedules replaced by their values.

        Raises:
            ValueError: progress that a schedule needs and has not, or not a number in [0, 1].
        """
        if progress is not None:
            progress = check_progress(progress, self.name)
        found: dict[str, Any] = {}
        for key, value in self.knobs.items():
            if isinstance(value, Schedule):
                if progress is None:
                    raise ValueError(
                        f"knob {key!r} of loss {self.name!r} is scheduled: pass progress="
                    )
                value = value(progress)
            found[key] = value
        if self.spec.scheduled:
            found["progress"] = progress
        return found

    def _keywords(
        self, progress: float | None, weight: Tensor | None, region: Tensor | None
    ) -> dict[str, Any]:
        maps = call_maps(weight, region)
        for key in maps:
            if key not in self.spec.maps:
                refuse_map(key, f"loss {self.name!r}")
        return {**maps, **self.arguments(progress)}

    def __call__(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
        weight: Tensor | None = None,
        region: Tensor | None = None,
    ) -> Tensor:
        """Evaluate; ``weight`` and ``region`` are maps that only some losses take.

        ``progress`` is the share of training done, step / total steps; a loss that is not
        scheduled leaves it unused.

        Raises:
            ValueError: a shape or dtype that does not fit, a map it does not take, progress
                missing or not a number in [0, 1].
        """
        keywords = self._keywords(progress, weight, region)
        return self.spec.fn(*inputs, mask=mask, reduction=reduction, **keywords)

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

        Raises:
            ValueError: as a call.
        """
        keywords = self._keywords(progress, weight, region)
        with torch.no_grad():
            if self.spec.parts is None:
                whole = self.spec.fn(*inputs, mask=mask, reduction=reduction, **keywords)
                return {self.name: whole}
            parts = self.spec.parts(*inputs, mask=mask, reduction=reduction, **keywords)
        return {name: part for name, part in parts.items() if name != CARRIER}

    def maps(
        self, target: Tensor, *, mask: Tensor | None = None, progress: float | None = None
    ) -> dict[str, Tensor]:
        """The weight or region that the target alone decides: pass it to a call on every level."""
        return {
            key: maker(target, mask=mask, **self._taken_by(maker, progress))
            for key, maker in self.spec.makers.items()
        }

    def _taken_by(self, fn: Callable[..., object], progress: float | None) -> dict[str, Any]:
        takes = inspect.signature(fn).parameters
        return {k: v for k, v in self.arguments(progress).items() if k in takes}

    def truth(
        self, *inputs: Input, mask: Tensor | None = None, progress: float | None = None
    ) -> list[Tensor]:
        """What sigmoid(logits) should be, one map per level: the target, or the loss's label."""
        if self.spec.truth is not None:
            keys = self._taken_by(self.spec.truth, progress)
            return self.spec.truth(*inputs[1:], mask=mask, **keys)
        target = inputs[2] if self.kind == "db" else inputs[-1]
        count = 1 if isinstance(inputs[0], Tensor) else len(inputs[0])
        return [target if isinstance(target, Tensor) else target[0]] * count


def build(name: str, **knobs: object) -> Loss:
    """Make the loss ``name`` with knobs set; a float knob may be a schedule or its plain data.

    Raises:
        ValueError: unknown name or knob (the nearest is named), a value out of range, or a
            schedule that leaves the range.
    """
    loss = spec(name)
    defaults = {key: knob.default for key, knob in loss.knobs.items()}
    given = {key: _check_knob(loss, key, value) for key, value in knobs.items()}
    return Loss(loss, {**defaults, **given})
