"""Active-contour loss: length of the predicted contour plus the areas inside and outside."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import Batch, Reduction, image_mean, prepare, reduce, safe_ratio
from .knobs import flag, number
from .registry import register
from .slopes import probability

_LENGTH = "the contour's length is a cost of its own, also where the contour is right"

__all__ = ["contour"]


class _Root(torch.autograd.Function):
    """sqrt(x) with gradient 0 at 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = x.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        return safe_ratio(grad, 2 * root)


def _length(p: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over 2 x 2 cells of |grad p|, each difference seen from both sides: (B,).

    The border is repeated, so that every pixel has its cells; a difference to an ignored pixel
    is 0.
    """
    down, right = p.diff(dim=2), p.diff(dim=3)
    if mask is not None:
        down = torch.where(mask[:, :, 1:] & mask[:, :, :-1], down, torch.zeros_like(down))
        right = torch.where(mask[..., 1:] & mask[..., :-1], right, torch.zeros_like(right))
    rise = F.pad(down.square(), (1, 1, 1, 1))
    run = F.pad(right.square(), (1, 1, 1, 1))
    squared = (rise[..., 1:] + rise[..., :-1] + run[:, :, 1:] + run[:, :, :-1]) / 2
    root: Tensor = _Root.apply(squared)  # type: ignore[no-untyped-call]
    count = torch.ones_like(p) if mask is None else mask.to(p.dtype)
    return safe_ratio(root.sum(dim=(1, 2, 3)), count.sum(dim=(1, 2, 3)))


def _published_length(p: Tensor) -> Tensor:
    """BiRefNet's: differences of neighbours that are not the same two pixels' neighbours."""
    down = p.diff(dim=2)[:, :, 1:, :-2].square()
    right = p.diff(dim=3)[:, :, :-2, 1:].square()
    return (down + right + 1e-8).sqrt().mean(dim=(1, 2, 3))


def contour_value(b: Batch, length: float, *, as_published: bool = False) -> Tensor:
    """Contour loss of each image, (B,); ValueError as ``contour``."""
    size = tuple(b.target.shape)
    if as_published and min(size[2:]) < 3:
        raise ValueError(
            f"target has shape {size}: contour as published wants at least 3 x 3 px; crop less?"
        )
    p, t = probability(b.logits), b.target
    if b.mask is not None:
        p = torch.where(b.mask, p, torch.zeros_like(p))
    inside = p * (1 - 2 * t) + t * t
    edge = _published_length(p) if as_published else _length(p, b.mask)
    return length * edge + image_mean(inside, b.mask)


@register(
    formula="length S(|grad p|) / S(1) + S(p (1 - t)^2 + (1 - p) t^2) / S(1)",
    knobs={"length": number(0, 1e6), "as_published": flag()},
    breaks={1: _LENGTH, 5: _LENGTH, 6: _LENGTH, 10: _LENGTH},
    cite="chen2019contour",
)
def contour(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    length: float = 10.0,
    as_published: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Active-contour loss (Chen et al., CVPR 2019), BiRefNet's form repaired.

    .. math:: \lambda \, S(|\nabla p|) / S(1) + S(p (1 - t)^2 + (1 - p) t^2) / S(1)

    |grad p| is taken on 2 x 2 cells, from the mean squares of its two differences each way, so
    flips and turns change nothing. ``as_published`` has BiRefNet's differences, which lean to one
    side and leave out the border (images of at least 3 x 3 px; the mask counts for the areas).
    Shapes (B,1,H,W); length >= 0; range [0, inf). The contour's length costs at the truth too.

    Raises:
        ValueError: a shape or dtype that does not fit, ``as_published`` with an image below
            3 x 3 px.
    """
    b = prepare(logits, target, mask)
    return reduce(contour_value(b, length, as_published=as_published), reduction)
