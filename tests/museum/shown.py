"""Inputs at which a defect shows, those at which it does not, and what a loss makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "BLANK",
    "BLOBS",
    "CASES",
    "Case",
    "Outcome",
    "alike",
    "apart",
    "outcome",
]

Formula = Callable[..., Tensor]
LEARNS = {"gradient": 2, "db": 2}  # how many of the inputs are predictions; elsewhere one


@dataclass(frozen=True)
class Case:
    """Inputs of a loss, and a mask where it is handed one."""

    inputs: tuple[Any, ...]
    mask: Tensor | None = None


@dataclass(frozen=True)
class Outcome:
    """A value and its gradients; None where there is no grad_fn or the value is not finite."""

    value: Tensor
    slopes: tuple[Tensor, ...] | None


def _normal(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=g, dtype=torch.float64)


def _blobs(images: int, side: int) -> Tensor:
    """A disc in each image, larger from one to the next, and at its sides as uneven as noise."""
    at = torch.arange(side, dtype=torch.float64) - side / 2.3
    from_centre = (at[:, None] ** 2 + at**2).sqrt()
    radii = torch.arange(1, images + 1).view(-1, 1, 1, 1) * side / (6 * images)
    return (from_centre + _normal(images, 1, side, side, seed=1) < radii).double()


def _case(images: int, side: int, target: Callable[[Tensor], Tensor] = lambda t: t) -> Case:
    """Logits that are right by 2 with noise of 2, and a target made of blobs."""
    t = _blobs(images, side)
    return Case((4 * t - 2 + _normal(*t.shape, seed=2, scale=2.0), target(t)))


def _nothing_found(side: int) -> Case:
    t = torch.zeros(1, 1, side, side, dtype=torch.float64)
    return Case((t - 800, t))  # sigmoid is 0 exactly


def _map(target: Callable[[Tensor], Tensor], mask: Callable[[Tensor], Tensor] | None) -> Case:
    """A predicted map; its region is a blob, or what ``target`` makes of it."""
    t = _blobs(1, 24)
    x = _normal(*t.shape, seed=3).sigmoid()
    return Case((x, target(t * _normal(*t.shape, seed=4).sigmoid())), mask and mask(t))


def _gradients() -> Case:
    t = _blobs(2, 24)
    predicted, coarse = _normal(2, 1, 12, 12, seed=5), _normal(2, 1, 6, 6, seed=6, scale=4.0)
    return Case(([predicted], [coarse], _normal(2, 3, 24, 24, seed=7), t))


def _overflow() -> Case:
    """Float32 maps, P near 0 and T near 1 in places: exp(100) overflows."""
    t = _blobs(1, 24).float()
    threshold = 0.3 + 0.4 * t
    threshold[..., :6, :6] = 0.999
    z = 4 * t - 2 - 8 * (threshold > 0.9)
    return Case((z, threshold, t, 0.5 * t, torch.ones_like(t).bool()))


BLOBS, BLANK = _case(1, 40), _case(1, 40, torch.zeros_like)
CASES = {
    "three images": _case(3, 24),
    "80 px": _case(1, 80),
    "64 px": _case(1, 64),
    "soft": _case(1, 40, lambda t: (t + t.roll(2, -1)) / 2),
    "nothing found": _nothing_found(20),
    "no region": _map(torch.zeros_like, None),
    "a region": _map(lambda t: t, None),
    "no valid pixel": _map(lambda t: t, lambda t: torch.zeros_like(t).bool()),
    "some valid pixels": _map(lambda t: t, lambda t: t > 0),
    "stages": _gradients(),
    "overflow": _overflow(),
}


def outcome(fn: Formula, case: Case, kind: str) -> Outcome:
    """Value and gradients of a loss by its predictions."""
    n, leaves = LEARNS.get(kind, 1), []
    inputs = list(case.inputs)
    for i in range(n):
        many = inputs[i] if isinstance(inputs[i], list) else [inputs[i]]
        made = [x.clone().requires_grad_() for x in many]
        inputs[i] = made if isinstance(inputs[i], list) else made[0]
        leaves += made
    value = fn(*inputs) if case.mask is None else fn(*inputs, mask=case.mask)
    if value.grad_fn is None or not value.isfinite():
        return Outcome(value.detach(), None)
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    slopes = (torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True))
    return Outcome(value.detach(), tuple(slopes))


def alike(found: Outcome, wanted: Outcome) -> None:
    """Assert that two losses do the same, to 1e-6."""
    close: dict[str, Any] = {"rtol": 1e-6, "equal_nan": True, "check_dtype": False}
    torch.testing.assert_close(found.value, wanted.value, atol=1e-6, **close)
    assert (found.slopes is None) == (wanted.slopes is None)
    for a, b in zip(found.slopes or (), wanted.slopes or (), strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, **close)


def apart(found: Outcome, other: Outcome) -> bool:
    """Whether two losses do different things: by more than 1 %, or one cannot be learned from."""
    if (found.slopes is None) != (other.slopes is None):
        return True
    pairs = [(found.value, other.value)]
    pairs += zip(found.slopes or (), other.slopes or (), strict=True)
    return any(not bool((a - b).norm() <= 0.01 * b.norm()) for a, b in pairs)
