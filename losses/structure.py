"""Weighted BCE, weighted IoU and their sum, the structure loss of F3Net."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .boundary import NOISE, Border, Window, boundary_weight
from .checks import check_beside, check_choice, is_number
from .contract import (
    Batch,
    Reduction,
    full_precision,
    image_mean,
    image_sum,
    pooled,
    prepare,
    reduce,
    safe_ratio,
    select,
)
from .knobs import choice, integer, number
from .registry import Limit, register_sum
from .slopes import probability

Overlap = Literal["product", "l1"]
Empty = Literal["background", "published"]
Weighting = Literal["mean", "as_published", "paper"]
WEIGHTINGS = ("mean", "as_published", "paper")

__all__ = ["structure", "weighted_bce", "weighted_iou"]


def weights_like(weight: Tensor, mask: Tensor | None, like: Tensor) -> Tensor:
    """The weight map checked, cast, and 0 at ignored pixels."""
    return select(check_beside("weight", weight, like), mask, like.dtype)


def weighted_bce_value(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """S(w l) / S(w) of each image, (B,)."""
    per_pixel = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    return safe_ratio(image_sum(w * per_pixel), image_sum(w))


def weighted_iou_value(
    z: Tensor, t: Tensor, w: Tensor, overlap: Overlap, smooth: float, empty: Empty
) -> Tensor:
    """(U - I) / (U + smooth) with weighted sums; its background form for empty targets."""
    check_choice("overlap", overlap, ("product", "l1"))
    check_choice("empty", empty, ("background", "published"))
    p = probability(z)
    if overlap == "l1":
        gap = image_sum(w * (p - t).abs())
        fore = (image_sum(w * (p + t)) + gap) / 2
        back = (image_sum(w * (2 - p - t)) + gap) / 2
    else:
        both = image_sum(w * p * t)
        fore = image_sum(w * (p + t)) - both
        gap = fore - both
        back = image_sum(w) - both
    if empty == "background":
        fore = torch.where(image_sum(w * t) == 0, back, fore)
    return safe_ratio(gap, fore + smooth)


@full_precision
def weighted_bce(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weighted binary cross entropy, S(w l) / S(w), 0 where all weights are 0.

    Shapes (B,1,H,W), weight >= 0; range [0, inf), minimum at p = t; the weight's scale cancels.
    Source: F3Net (Wei et al., AAAI 2020), as meant; its code computes the plain bce.

    Raises:
        ValueError: a shape or dtype that does not fit, of the weight too.
    """
    b = prepare(logits, target, mask)
    w = weights_like(weight, b.mask, b.target)
    return reduce(weighted_bce_value(b.logits, b.target, w), reduction)


@full_precision
def weighted_iou(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    mask: Tensor | None = None,
    overlap: Overlap = "l1",
    smooth: float = 1.0,
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weighted soft IoU loss, 1 - (S(w o) + s) / (S(w (p + t)) - S(w o) + s).

    The overlap o is (p + t - |p - t|) / 2 ("l1", minimum at p = t) or p t ("product", as
    published, whose minimum for soft targets is elsewhere). ``empty`` "background" scores the
    overlap of 1 - p with 1 - t where the target is empty. Shapes (B,1,H,W), weight >= 0,
    smooth s >= 0; range [0, 1]. Source: F3Net (Wei et al., AAAI 2020).

    Raises:
        ValueError: a shape or dtype that does not fit, of the weight too; an unknown overlap or
            empty; a smooth that is no number >= 0.
    """
    if not is_number(smooth) or not 0 <= smooth < math.inf:
        raise ValueError(f"smooth={smooth!r}: expected a number >= 0 that is finite; 1?")
    b = prepare(logits, target, mask)
    w = weights_like(weight, b.mask, b.target)
    return reduce(weighted_iou_value(b.logits, b.target, w, overlap, smooth, empty), reduction)


def _bce_and_iou(
    logits: Tensor, target: Tensor, *, mask: Tensor | None, reduction: Reduction
) -> Tensor:
    """Structure without weights: bce plus IoU of the product form."""
    flat = torch.ones_like(target)
    iou = weighted_iou(
        logits,
        target,
        weight=flat,
        mask=mask,
        overlap="product",
        empty="published",
        reduction=reduction,
    )
    return weighted_bce(logits, target, weight=flat, mask=mask, reduction=reduction) + iou


def _excess(w: Tensor, mask: Tensor | None, gamma: float) -> Tensor:
    """S(w - 1) of each image, (B,), and 0 where w is 1 but for rounding: without a boundary."""
    excess = select(w - 1, mask, w.dtype)
    peak = excess.abs().amax(dim=(1, 2, 3))
    noise = gamma * NOISE + torch.finfo(w.dtype).eps
    return torch.where(peak > noise, image_sum(excess), torch.zeros_like(peak))


def _bce_part(b: Batch, w: Tensor, how: Weighting, gamma: float) -> Tensor:
    """The weighted BCE as meant, as F3Net's code computes it, or as its paper writes it."""
    check_choice("weighting", how, WEIGHTINGS)
    if how == "mean":
        return weighted_bce_value(b.logits, b.target, w)
    per_pixel = F.binary_cross_entropy_with_logits(b.logits, b.target, reduction="none")
    if how == "as_published":
        return pooled(image_mean(per_pixel, b.mask), b, "batch")
    return safe_ratio(image_sum(w * per_pixel), _excess(w, b.mask, gamma))


@register_sum(
    formula="S(w bce) / S(w) + 1 - (S(w o) + 1) / (S(w (p + t - o)) + 1), o = p t, "
    "w = 1 + gamma |box(t) - t|",
    cite="wei2020f3net",
    knobs={
        "gamma": number(0, 1e3),
        "window": integer(1, 1023, "relative", odd=True),
        "border": choice("zero", "exclude"),
        "overlap": choice("product", "l1"),
        "empty": choice("background", "published"),
        "weighting": choice(*WEIGHTINGS),
    },
    breaks={10: "the product overlap of a soft target is greatest at p -> 1; overlap='l1' is not"},
    makers={"weight": boundary_weight},
    limits=(Limit({"gamma": 0.0}, _bce_and_iou), Limit({"window": 1}, _bce_and_iou)),
)
def structure(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    gamma: float = 5.0,
    window: Window = 31,
    border: Border = "zero",
    overlap: Overlap = "product",
    empty: Empty = "published",
    weighting: Weighting = "mean",
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> dict[str, Tensor]:
    r"""Boundary-weighted bce plus boundary-weighted soft IoU (F3Net, AAAI 2020, eq. 2-5).

    .. math:: S(w l)/S(w) + 1 - (S(w p t) + 1) / (S(w (p + t)) - S(w p t) + 1)

    ``weight`` takes a map that ``boundary_weight`` made before; else it is made here from gamma,
    window and border. gamma 0 or window 1 is bce + iou (product form, smooth 1, published empty
    rule). ``weighting`` "as_published" is F3Net's code: a wrong argument makes its weighted bce
    the plain bce of the batch, whatever gamma; "paper" divides by S(w - 1) as the paper prints
    it, which is 0 / 0 (here 0) without a boundary, be the target flat but for rounding.
    Shapes (B,1,H,W); range [0, inf), 0 iff p = t for a binary target and weights above 0.

    Raises:
        ValueError: a shape or dtype that does not fit, of the weight too; a knob out of range,
            such as an even window.
    """
    b = prepare(logits, target, mask)
    if weight is None:
        weight = boundary_weight(b.target, gamma=gamma, window=window, border=border, mask=b.mask)
    w = weights_like(weight, b.mask, b.target)
    iou = weighted_iou_value(b.logits, b.target, w, overlap, 1.0, empty)
    return {
        "bce": reduce(_bce_part(b, w, weighting, gamma), reduction),
        "iou": reduce(iou, reduction),
    }
