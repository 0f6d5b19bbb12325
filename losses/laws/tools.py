"""What the laws are written with: a demand, gradients of a case, one pixel to look at."""

from __future__ import annotations

import torch
from torch import Tensor

from .cases import Case
from .subjects import Subject, evaluate

# What rounding may add to a value, and to a comparison of two values that are nearly equal.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-6}


class LawError(AssertionError):
    """A broken law; ``what`` says how, without the names of loss and law."""

    def __init__(self, what: str, message: str | None = None) -> None:
        super().__init__(message or what)
        self.what = what


def complaint(error: Exception) -> str:
    """What is wrong, of an error that a law or the loss itself raised."""
    if isinstance(error, LawError):
        return error.what
    said = (str(error) or "no message").splitlines()[0]
    return f"raises {type(error).__name__}: {said}"


def demand(kept: bool | Tensor, what: str) -> None:
    """Raise ``LawError`` unless what a law asks for is so; no assert, which -O would remove."""
    if not bool(kept):
        raise LawError(what)


def slack(x: Tensor, allowed: dict[torch.dtype, float] = TOLERANCE) -> Tensor:
    """Return the tolerance at values ``x``: relative, and absolute below 1."""
    return allowed.get(x.dtype, 1e-2) * (1 + x.abs())


def close(a: Tensor, b: Tensor, tolerance: float | None = None) -> bool:
    """Whether a equals b to within the tolerance of b's dtype, or a given one."""
    within = slack(b) if tolerance is None else tolerance * (1 + b.abs())
    return a.shape == b.shape and bool(((a - b).abs() <= within).all())


def gradients(loss: Subject, case: Case, scale: float = 1.0) -> tuple[Tensor, list[Tensor]]:
    """Values per image and the gradients of their sum, predictions first, then what is beside."""
    case = case.leaves()
    values = evaluate(loss, case)
    demand(values.grad_fn is not None, "the value has no grad_fn")
    leaves = [*case.predictions, *case.beside]
    found = torch.autograd.grad((values * scale).sum(), leaves, allow_unused=True)
    pairs = zip(found, leaves, strict=True)
    return values.detach(), [torch.zeros_like(z) if d is None else d for d, z in pairs]


def one_valid_pixel(case: Case) -> Tensor:
    """One valid pixel in each image that has any, the same for the same seed."""
    g = torch.Generator().manual_seed(case.seed + 1)
    lots = torch.rand(case.target.shape, generator=g) + case.valid.float()
    top = lots.amax(dim=(1, 2, 3), keepdim=True)
    return (lots == top) & case.valid


def any_pixel(x: Tensor) -> Tensor:
    """Whether any pixel of each image is True, (B,)."""
    return x.flatten(1).any(1)


def spread_out(flags: Tensor) -> Tensor:
    """(B,) -> (B,1,1,1), to choose images by ``where``."""
    return flags.view(-1, 1, 1, 1)
