"""What the laws are tried on: a built loss, a weighted sum, or anyone's function or module."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..bound import Loss
from ..contract import Reduction
from ..knobs import Knob
from ..registry import CALL_TIME, Kind, Spec
from ..schedules import Schedule
from ..sums import WeightedSum
from .cases import Case, make_case

Input = Tensor | Sequence[Tensor]

__all__ = ["Subject", "declared", "evaluate", "plain", "subject"]


class Subject(Protocol):
    """A loss with a name and a kind, called as every loss of this library."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    def __call__(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
    ) -> Tensor: ...


@dataclass(frozen=True)
class Plain:
    """A bare callable as a subject; ``knobs`` are keywords given besides its defaults."""

    fn: Callable[..., Tensor]
    name: str
    kind: Kind
    defaults: Mapping[str, object]
    knobs: Mapping[str, object] = field(default_factory=dict)

    def __call__(
        self,
        *inputs: Input,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
    ) -> Tensor:
        """Call the function with what it takes; reduce for it if it takes no reduction."""
        given: dict[str, Any] = {"mask": mask, "progress": progress, **self.knobs}
        given = {k: v for k, v in given.items() if k in self.defaults}
        if "reduction" in self.defaults:
            return self.fn(*inputs, reduction=reduction, **given)
        images = len(inputs[0] if isinstance(inputs[0], Tensor) else inputs[0][0])
        if reduction != "none":
            return self._scalar(inputs, given) * (images if reduction == "sum" else 1)
        alone = [
            self._scalar([_image(x, i) for x in inputs], _images_of(given, i))
            for i in range(images)
        ]
        return torch.stack(alone)

    def _scalar(self, inputs: Sequence[Input], given: Mapping[str, Any]) -> Tensor:
        value = self.fn(*inputs, **given)
        if value.numel() != 1:
            raise ValueError(
                f"{self.name} returned shape {tuple(value.shape)}: expected one number, or a "
                "keyword reduction= that takes 'none', 'mean' and 'sum'"
            )
        return value.reshape(())


def _image(x: Input, i: int) -> Input:
    return x[i : i + 1] if isinstance(x, Tensor) else [y[i : i + 1] for y in x]


def _images_of(given: Mapping[str, Any], i: int) -> dict[str, Any]:
    return {k: _image(v, i) if isinstance(v, Tensor) else v for k, v in given.items()}


def _parameters(fn: Callable[..., Tensor]) -> dict[str, object]:
    """Names that ``fn`` can be given by keyword, with their defaults."""
    try:
        found = inspect.signature(fn.forward if isinstance(fn, nn.Module) else fn).parameters
    except ValueError:  # functions written in C have no signature
        return {}
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {k: p.default for k, p in found.items() if p.kind not in rest}


def plain(fn: Callable[..., Tensor], kind: Kind = "logits") -> Plain:
    """Wrap a bare function or module so that the laws can be tried on it.

    It is given mask, reduction and progress if it takes them. Without ``reduction`` it returns
    one number for a batch: "none" is then each image alone, "sum" the number times the images.
    """
    name = str(getattr(fn, "__name__", type(fn).__name__))
    return Plain(fn, name, kind, _parameters(fn))


def subject(loss: Subject | Callable[..., Tensor], kind: Kind = "logits") -> Subject:
    """Return a loss of this library as it is, anything else wrapped by ``plain``."""
    return loss if isinstance(loss, Loss | WeightedSum | Plain) else plain(loss, kind)


def evaluate(loss: Subject, case: Case, reduction: Reduction = "none") -> Tensor:
    """Value of the loss on a case; per image unless told otherwise.

    A loss whose "none" is a value per pixel, as PyTorch has it, counts as the mean of each image.
    """
    values = loss(*case.inputs(), mask=case.mask, reduction=reduction, progress=case.progress)
    return values.flatten(1).mean(1) if reduction == "none" and values.dim() > 1 else values


def declared(loss: Subject) -> Spec | None:
    """The declaration of a built loss."""
    return loss.spec if isinstance(loss, Loss) else None


def truth(loss: Subject, case: Case) -> list[Tensor]:
    """What sigmoid(prediction) should be, one map per prediction, without autograd."""
    if isinstance(loss, Loss):
        with torch.no_grad():
            return loss.truth(*case.inputs(), mask=case.mask, progress=case.progress)
    return [case.target] * len(case.predictions)


def bounds(loss: Subject) -> tuple[float, float]:
    """Declared least and greatest value; those of other knobs than the default's are unknown."""
    if isinstance(loss, Loss):
        spec = loss.spec
        if loss.knobs == {k: knob.default for k, knob in spec.knobs.items()}:
            return spec.bounds
    return 0.0, float("inf")


def takes_mask(loss: Subject) -> bool:
    """Whether pixels can be ignored."""
    return not isinstance(loss, Plain) or "mask" in loss.defaults


def working_dtype(loss: Subject) -> torch.dtype:
    """float64, unless a bare function cannot keep it: then it is tried in float32."""
    if not isinstance(loss, Plain):
        return torch.float64
    try:
        with torch.no_grad():
            value = evaluate(loss, make_case(loss.kind, 0))
    except Exception:
        return torch.float32
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def schedules(loss: Subject) -> list[Schedule]:
    """Return the schedules that drive a knob or a weight."""
    if isinstance(loss, WeightedSum):
        own = [weight for weight, _ in loss.terms.values()]
        return [s for s in own if isinstance(s, Schedule)] + [
            s for _, term in loss.terms.values() for s in schedules(term)
        ]
    values = loss.knobs.values() if isinstance(loss, Loss) else ()
    return [v for v in values if isinstance(v, Schedule)]


def takes_progress(loss: Subject) -> bool:
    """Whether the value may depend on the progress of training."""
    if isinstance(loss, WeightedSum):
        return bool(schedules(loss)) or any(takes_progress(t) for _, t in loss.terms.values())
    if isinstance(loss, Loss):
        return loss.spec.scheduled or bool(schedules(loss))
    return isinstance(loss, Plain) and "progress" in loss.defaults


def with_knobs(loss: Subject, values: Mapping[str, object]) -> Subject:
    """Return the same loss with other values of some knobs."""
    if isinstance(loss, Loss | Plain):
        return replace(loss, knobs={**loss.knobs, **values})
    return loss


def alternatives(loss: Subject) -> dict[str, list[object]]:
    """Other values that each knob could have: a few numbers, or the other choices."""
    if isinstance(loss, Loss):
        return {k: _others(knob, loss.knobs[k]) for k, knob in loss.spec.knobs.items()}
    if isinstance(loss, Plain):
        found = {k: _guesses(v) for k, v in loss.defaults.items() if k not in CALL_TIME}
        return {k: v for k, v in found.items() if v and not k.startswith("eps")}
    return {}


def _others(knob: Knob, value: object) -> list[object]:
    near = knob.default if isinstance(knob.default, int | float) else 1
    tried: list[object] = [*knob.choices]
    if knob.kind == "flag":
        tried = [True, False]
    if knob.kind == "float":
        tried += [knob.low, near / 2, 2 * near + 1]
    if knob.kind == "int":
        tried += [knob.low, 2 * near + 1]
    tried += [None] if knob.optional else []
    finite = [v for v in tried if not isinstance(v, float) or math.isfinite(v)]
    return [v for v in finite if knob.accepts(v) and v != value]


def _guesses(default: object) -> list[object]:
    """Values to try for a keyword of which only the default is known."""
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int | float):
        near = default + 2 if isinstance(default, int) else default / 2  # 2: an odd one stays odd
        return [0 * default, near, 10 * default] if default else [default + 1, default + 10]
    return []
