"""Cases on which the laws are tried: small random batches of any kind of loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ..bound import Loss
from ..contract import Reduction
from ..registry import Kind, Spec

TargetKind = Literal["binary", "soft", "empty", "full", "one_pixel"]
MaskKind = Literal["none", "all", "some", "one_empty"]
TARGETS: tuple[TargetKind, ...] = ("binary", "soft", "empty", "full", "one_pixel")
MASKS: tuple[MaskKind, ...] = ("none", "all", "some", "one_empty")
SIDES = (1, 2, 3, 5, 8, 13, 36)

__all__ = ["MASKS", "SIDES", "TARGETS", "Case", "Subject", "evaluate", "make_case", "plain"]


class Subject(Protocol):
    """What the laws are tried on: a built loss, or a function wrapped by ``plain``."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    def __call__(
        self,
        *inputs: Tensor | Sequence[Tensor],
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
    ) -> Tensor: ...


@dataclass(frozen=True)
class _Plain:
    fn: Callable[..., Tensor]
    name: str
    kind: Kind
    takes: frozenset[str]

    def __call__(
        self,
        *inputs: Tensor | Sequence[Tensor],
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
        progress: float | None = None,
    ) -> Tensor:
        given: dict[str, Any] = {"mask": mask, "reduction": reduction, "progress": progress}
        return self.fn(*inputs, **{k: v for k, v in given.items() if k in self.takes})


def plain(fn: Callable[..., Tensor], kind: Kind = "logits") -> Subject:
    """Wrap a bare function so that the laws can be tried on it before it is registered."""
    takes = frozenset(inspect.signature(fn).parameters)
    return _Plain(fn, str(getattr(fn, "__name__", fn)), kind, takes)


@dataclass(frozen=True)
class Case:
    """One batch: what is predicted, coarse to fine, and what it is compared with."""

    kind: Kind
    predictions: tuple[Tensor, ...]
    target: Tensor
    mask: Tensor | None
    progress: float
    seed: int
    coarse: tuple[Tensor, ...] = ()
    image: Tensor | None = None

    def __str__(self) -> str:
        """Say what a failure message needs."""
        sizes = ", ".join(f"{tuple(z.shape[2:])}" for z in self.predictions)
        return (
            f"{self.kind} case, seed {self.seed}: logits {sizes} {self.predictions[0].dtype}, "
            f"target {tuple(self.target.shape)} mean {float(self.target.double().nanmean()):.3g}, "
            f"mask {'none' if self.mask is None else int(self.mask.sum())}"
        )

    @property
    def valid(self) -> Tensor:
        """The mask, all True where there is none."""
        if self.mask is None:
            return torch.ones_like(self.target, dtype=torch.bool)
        return self.mask.bool()

    def inputs(self) -> tuple[Tensor | Sequence[Tensor], ...]:
        """Return the positional arguments of a loss of this kind."""
        if self.kind == "gradient":
            assert self.image is not None
            return list(self.predictions), list(self.coarse), self.image, self.target
        if self.kind == "levels":
            return list(self.predictions), self.target
        return self.predictions[0], self.target

    def map(self, fn: Callable[[Tensor], Tensor]) -> Case:
        """Apply ``fn`` to every tensor: a symmetry, a choice of images."""
        return replace(
            self,
            predictions=tuple(fn(z) for z in self.predictions),
            target=fn(self.target),
            mask=None if self.mask is None else fn(self.mask),
            coarse=tuple(fn(z) for z in self.coarse),
            image=None if self.image is None else fn(self.image),
        )

    def to(self, dtype: torch.dtype) -> Case:
        """Cast every floating tensor."""
        return self.map(lambda x: x.to(dtype) if x.is_floating_point() else x)

    def truth(self, loss: Subject) -> list[Tensor]:
        """What sigmoid(prediction) should be, one map per prediction, without autograd."""
        with torch.no_grad():
            if isinstance(loss, Loss):
                return loss.truth(*self.inputs(), mask=self.mask, progress=self.progress)
        return [self.target] * len(self.predictions)


def evaluate(loss: Subject, case: Case, reduction: Reduction = "none") -> Tensor:
    """Value of the loss on a case, per image unless told otherwise."""
    return loss(*case.inputs(), mask=case.mask, reduction=reduction, progress=case.progress)


def declared(loss: Subject) -> Spec | None:
    """The declaration of a built loss."""
    return loss.spec if isinstance(loss, Loss) else None


def _target(kind: TargetKind, shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    noise = torch.rand(shape, generator=g, dtype=torch.float64)
    if kind == "soft":
        return (noise * 64).round() / 64
    if kind == "binary":
        share = torch.rand((shape[0], 1, 1, 1), generator=g, dtype=torch.float64)
        return (noise < 0.15 + 0.7 * share).double()
    if kind == "one_pixel":
        return (noise >= noise.amax(dim=(1, 2, 3), keepdim=True)).double()
    return torch.full(shape, 1.0 if kind == "full" else 0.0, dtype=torch.float64)


def _mask(kind: MaskKind, shape: tuple[int, ...], g: torch.Generator) -> Tensor | None:
    if kind == "none":
        return None
    if kind == "all":
        return torch.ones(shape, dtype=torch.bool)
    keep = torch.rand(shape, generator=g) < 0.7
    if kind == "one_empty":
        keep[0] = False
    return keep


def _sizes(kind: Kind, h: int, w: int, flat: bool) -> list[tuple[int, int]]:
    count = {"logits": 1, "levels": 2, "gradient": 3}[kind]
    steps = [1] * count if flat or kind == "logits" else [4, 2, 1][-count:]
    return [(-(-h // s), -(-w // s)) for s in steps]


def _away(z: Tensor, t: Tensor) -> Tensor:
    """Move logits off the kink of |p - t|."""
    if z.shape != t.shape:
        return z
    return torch.where((torch.sigmoid(z) - t).abs() < 0.02, z + 0.3, z)


def make_case(
    kind: Kind,
    seed: int,
    *,
    size: tuple[int, int, int] = (2, 8, 8),
    target: TargetKind = "binary",
    mask: MaskKind = "none",
    scale: float = 2.0,
    flat: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Case:
    """Make a random case of (B, H, W) = ``size``, the same for the same arguments.

    ``scale`` is the spread of the logits; ``flat`` gives every level the target's size.
    """
    g = torch.Generator().manual_seed(seed)
    b, h, w = size
    shape = (b, 1, h, w)

    def normal(*dims: int) -> Tensor:
        return torch.randn(dims, generator=g, dtype=torch.float64)

    t = _target(target, shape, g)
    logits = tuple(_away(normal(b, 1, *s) * scale, t) for s in _sizes(kind, h, w, flat))
    case = Case(kind, logits, t, _mask(mask, shape, g), (seed % 11) / 10, seed)
    if kind == "gradient":
        small = tuple(normal(b, 1, *s) * scale for s in _sizes(kind, h, w, flat))
        image = normal(b, 3, h, w)
        case = replace(case, coarse=small, image=image.where(normal(b, 1, h, w) > -1.5, 0.0))
    return case.to(dtype)
