"""Cases on which the laws are tried: small random batches of any kind of loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..registry import Kind

TargetKind = Literal["binary", "soft", "empty", "full", "one_pixel", "rare", "nearly"]
MaskKind = Literal["none", "all", "some", "one_empty"]
TARGETS: tuple[TargetKind, ...] = ("binary", "soft", "empty", "full", "one_pixel")
MASKS: tuple[MaskKind, ...] = ("none", "all", "some", "one_empty")
# A model's label "almost 1" and "almost 0": code that truncates to bytes drops such pixels.
NEARLY = (0.001, 0.999)
LEVELS: dict[Kind, int] = {"logits": 1, "map": 1, "db": 1, "levels": 2, "gradient": 3}

__all__ = ["MASKS", "TARGETS", "Case", "MaskKind", "TargetKind", "make_case"]


@dataclass(frozen=True)
class Case:
    """One batch: what is predicted, coarse to fine, and what it is compared with.

    ``beside`` are further inputs that want gradients: the coarse logits of kind "gradient", the
    threshold map of "db". ``given`` are those that do not: the image, or the threshold's target
    and mask. Predictions are logits, but of kind "map", where they are in [0, 1].
    """

    kind: Kind
    predictions: tuple[Tensor, ...]
    target: Tensor
    mask: Tensor | None
    progress: float
    seed: int
    beside: tuple[Tensor, ...] = ()
    given: tuple[Tensor, ...] = ()

    def __str__(self) -> str:
        """Say what a failure message needs."""
        sizes = ", ".join(f"{tuple(z.shape[2:])}" for z in self.predictions)
        return (
            f"{self.kind} case, seed {self.seed}: predictions {sizes} {self.predictions[0].dtype},"
            f" target {tuple(self.target.shape)} mean {float(self.target.double().nanmean()):.3g},"
            f" mask {'none' if self.mask is None else int(self.mask.sum())}"
        )

    @property
    def valid(self) -> Tensor:
        """The mask, all True where there is none."""
        if self.mask is None:
            return torch.ones_like(self.target, dtype=torch.bool)
        return self.mask.bool()

    @property
    def flat(self) -> bool:
        """Whether every prediction has the target's size."""
        return all(z.shape == self.target.shape for z in self.predictions)

    def inputs(self) -> tuple[Tensor | Sequence[Tensor], ...]:
        """Return the positional arguments of a loss of this kind."""
        if self.kind == "gradient":
            return list(self.predictions), list(self.beside), *self.given, self.target
        if self.kind == "levels":
            return list(self.predictions), self.target
        return self.predictions[0], *self.beside, self.target, *self.given

    def map(self, fn: Callable[[Tensor], Tensor]) -> Case:
        """Apply ``fn`` to every tensor: a symmetry, a choice of images."""
        return replace(
            self,
            predictions=tuple(fn(z) for z in self.predictions),
            target=fn(self.target),
            mask=None if self.mask is None else fn(self.mask),
            beside=tuple(fn(x) for x in self.beside),
            given=tuple(fn(x) for x in self.given),
        )

    def to(self, dtype: torch.dtype) -> Case:
        """Cast every floating tensor."""
        return self.map(lambda x: x.to(dtype) if x.is_floating_point() else x)

    def leaves(self) -> Case:
        """Copy the case with all that wants gradients as leaves."""
        return replace(
            self,
            predictions=tuple(z.detach().clone().requires_grad_() for z in self.predictions),
            beside=tuple(x.detach().clone().requires_grad_() for x in self.beside),
        )

    def predicting(self, predictions: Sequence[Tensor]) -> Case:
        """Return the same case with other predictions."""
        return replace(self, predictions=tuple(predictions))

    def meeting(self, truth: Sequence[Tensor], *, sure: bool = False) -> Case:
        """Return the case whose predictions meet a truth, ``sure`` of one that is 0 or 1."""
        best = list(truth)
        if self.kind != "map":
            eps = 1e-12 if self.target.dtype == torch.float64 else 1e-6
            best = [120 * t - 60 if sure else torch.logit(t, eps) for t in truth]
        beside = self.given[:1] if self.kind == "db" else self.beside
        return replace(self, predictions=tuple(best), beside=beside)

    def opposite(self, z: Tensor) -> Tensor:
        """Predict 1 - p where ``z`` predicts p."""
        return 1 - z if self.kind == "map" else -z

    def closer(self, z: Tensor, t: Tensor, step: float) -> Tensor:
        """Move a prediction towards a truth of 0 or 1: a logit by ``step``, a map by a share."""
        return z + (t - z) * step / (1 + step) if self.kind == "map" else z + step * (2 * t - 1)


def _target(kind: TargetKind, shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    noise = torch.rand(shape, generator=g, dtype=torch.float64)
    if kind == "soft":
        return (noise * 64).round() / 64
    if kind in ("binary", "nearly"):
        share = torch.rand((shape[0], 1, 1, 1), generator=g, dtype=torch.float64)
        hit = noise < 0.15 + 0.7 * share
        low, high = (0.0, 1.0) if kind == "binary" else NEARLY
        return torch.where(hit, high, low).double()
    if kind in ("one_pixel", "rare"):
        top = noise >= noise.amax(dim=(1, 2, 3), keepdim=True)
        return (top | ((noise > 0.93) & (kind == "rare"))).double()
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
    steps = [1] * LEVELS[kind] if flat else [4, 2, 1][-LEVELS[kind] :]
    return [(-(-h // s), -(-w // s)) for s in steps]


def _off(x: Tensor, t: Tensor, p: Tensor, step: float | Tensor) -> Tensor:
    """Move a prediction of probability ``p`` off the kink of |p - t|."""
    return torch.where((p - t).abs() < 0.02, x + step, x) if x.shape == t.shape else x


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

    def spread() -> tuple[Tensor, ...]:
        return tuple(normal(b, 1, *s) * scale for s in _sizes(kind, h, w, flat))

    t = _target(target, shape, g)
    made = tuple(_off(z, t, torch.sigmoid(z), 0.3) for z in spread())
    if kind == "map":
        made = tuple(_off(x, t, x, 0.05 - 0.1 * (x > 0.5)) for x in map(torch.sigmoid, made))
    case = Case(kind, made, t, _mask(mask, shape, g), (seed % 11) / 10, seed)
    if kind == "gradient":
        image = normal(b, 3, h, w)
        image = image.where(normal(b, 1, h, w) > -1.5, 0.0)
        case = replace(case, beside=spread(), given=(image,))
    if kind == "db":
        # Near .5 the binary map is 0 or 1 to within 1e-9 wherever P is.
        wanted = 0.46 + 0.08 * torch.rand(shape, generator=g, dtype=torch.float64)
        seen = (torch.rand(shape, generator=g) < 0.5) & case.valid
        case = replace(case, beside=(_threshold(wanted, normal(*shape)),), given=(wanted, seen))
    return case.to(dtype)


def _threshold(wanted: Tensor, noise: Tensor) -> Tensor:
    """Draw a predicted threshold in [0, 1], off the kink of its L1 loss."""
    drawn = torch.sigmoid(noise)
    return _off(drawn, wanted, drawn, 0.1)
