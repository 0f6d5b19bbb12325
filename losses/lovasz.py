"""The Lovasz hinge: a convex surrogate of the Jaccard loss."""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_choice
from .contract import Reduction, prepare, reduce
from .knobs import choice
from .overlap import EMPTY, Empty
from .registry import register

__all__ = ["lovasz_hinge"]


def _jaccard_steps(hit: Tensor, dtype: torch.dtype) -> Tensor:
    """How much the Jaccard loss grows with each further wrong pixel; hit (B, N) is boolean.

    From counts, as the difference of two Jaccard losses near 1 is lost in float32: a further hit
    costs 1 / U, a further false alarm I / (U (U - 1)), I and U intersection and union with it.
    """
    total = hit.sum(1, keepdim=True)
    lost = hit.cumsum(1)
    both = (total - lost).to(dtype)
    union = (total + torch.arange(1, hit.shape[1] + 1, device=hit.device) - lost).to(dtype)
    alarm = torch.where(union > 1, both / (union * (union - 1).clamp(min=1)), 1.0)
    return torch.where(hit, 1 / union, alarm)


@register(
    formula="sum_k max(e_k, 0) (J_k - J_{k-1}), errors e = 1 - z (2 t - 1) sorted down, J Jaccard",
    knobs={"empty": choice(*EMPTY)},
    breaks={10: "a hinge on the target binarised at .5 has its minimum at the margin"},
    claims=("convex", "pixel_mean"),
    cite="berman2018lovasz",
)
def lovasz_hinge(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Lovasz hinge of each image (Berman, Triki and Blaschko, CVPR 2018).

    The convex closure of the Jaccard loss over hinge errors e = 1 - z (2 t - 1): sorted down,
    each weighs what the Jaccard loss grows by if its pixel is wrong besides those before it.
    The target is binarised at .5. An empty target gives only the worst pixel a gradient as
    published; ``empty`` "background" takes the Jaccard loss of the background there. Among equal
    errors the gradient, one of several subgradients, follows the order of the pixels.
    Shapes (B,1,H,W); range [0, inf), 0 iff every pixel is right by a margin of 1.

    Raises:
        ValueError: a shape or dtype that does not fit, or an unknown choice.
    """
    check_choice("empty", empty, EMPTY)
    b = prepare(logits, target, mask)
    z, hit = b.logits.flatten(1), (b.target > 0.5).flatten(1)
    error = 1 - torch.where(hit, z, -z)
    if b.mask is not None:
        error = torch.where(b.mask.flatten(1), error, -torch.ones_like(error))
    error, order = error.sort(dim=1, descending=True)
    if empty == "background":
        nothing = ~hit.any(1, keepdim=True)
        valid = torch.ones_like(hit) if b.mask is None else b.mask.flatten(1)
        hit = torch.where(nothing, valid, hit)
    steps = _jaccard_steps(hit.gather(1, order), z.dtype)
    return reduce((error.relu() * steps).sum(1), reduction)
