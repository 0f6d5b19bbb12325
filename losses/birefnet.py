"""BiRefNet's pixel loss: a weighted sum of terms on every supervised level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from .checks import check_choice, check_levels, check_logits, check_target
from .contract import (
    Batch,
    Reduction,
    image_mean,
    reduce,
    safe_ratio,
    select,
    upsample,
    working_dtype,
)
from .knobs import choice, number
from .overlap import DENOMINATORS, EMPTY, Denominator, Empty, overlap_sums
from .pixel import bce_map, mae_map, mse_map, zero
from .registry import register_sum
from .ssim import TargetStatistics, ssim_value, target_statistics
from .structure import boundary_weight
from .structure import structure as structure_loss

IouReduction = Literal["mean", "sum"]
RELEASED: dict[str, dict[str, object]] = {
    "DIS": {"bce": 30.0, "iou": 0.5, "ssim": 10.0, "mae": 0.0},
    "COD": {"bce": 30.0, "iou": 0.5, "ssim": 10.0, "mae": 0.0},
    "HRSOD": {"bce": 30.0, "iou": 0.5, "ssim": 10.0, "mae": 0.0},
    "General": {"bce": 30.0, "iou": 0.5, "ssim": 10.0, "mae": 100.0},
    "Matting": {"bce": 30.0, "iou": 0.0, "ssim": 10.0, "mae": 100.0},
}
AS_RELEASED: dict[str, object] = {
    "iou_reduction": "sum",
    "denominator": "linear",
    "empty": "published",
}

__all__ = ["AS_RELEASED", "RELEASED", "IouReduction", "birefnet_pixel", "enter_levels"]


def enter_levels(
    levels: Sequence[Tensor], target: Tensor, mask: Tensor | None
) -> tuple[list[Tensor], Tensor, Tensor | None]:
    """Check, cast, upsample to the target's size, select: for losses of several levels.

    Raises:
        ValueError: no level, or a shape or dtype that does not fit.
    """
    check_levels("levels", levels)
    check_target(target, mask)
    valid = None if mask is None else mask.bool()
    size = (target.shape[2], target.shape[3])
    maps = []
    for i, z in enumerate(levels):
        check_logits(z, target, f"levels[{i}]")
        dtype = working_dtype(z)
        maps.append(select(upsample(z.to(dtype), size), valid, dtype))
    return maps, select(target, valid, working_dtype(levels[-1])), valid


def _iou(b: Batch, form: Denominator, empty: Empty, how: IouReduction) -> Tensor:
    """IoU without smoothing; "sum" counts it once for each image of the batch."""
    area, miss = overlap_sums(b, form, empty)
    value = safe_ratio(miss, (area + miss) / 2)
    return value * b.logits.shape[0] if how == "sum" else value


def _ssim(b: Batch, stats: TargetStatistics | None) -> Tensor:
    known = stats or target_statistics(b.target, b.mask)
    return ssim_value(b, known)


def _threshold(b: Batch) -> Tensor:
    p = torch.sigmoid(b.logits)
    return image_mean(1 - p.square() - (p - 1).square(), b.mask)


_NEIGHBOURS = "a sum with ssim, which breaks it"
_LAMBDA = number(0, 1e6)


@register_sum(
    kind="levels",
    cite="zheng2024birefnet",
    knobs={
        **dict.fromkeys(("bce", "iou", "ssim", "mae", "mse", "structure", "threshold"), _LAMBDA),
        "iou_reduction": choice("mean", "sum"),
        "denominator": choice(*DENOMINATORS),
        "empty": choice(*EMPTY),
    },
    breaks={5: _NEIGHBOURS, 6: _NEIGHBOURS},
)
def birefnet_pixel(
    levels: Sequence[Tensor],
    target: Tensor,
    *,
    mask: Tensor | None = None,
    bce: float = 30.0,
    iou: float = 0.5,
    ssim: float = 10.0,
    mae: float = 0.0,
    mse: float = 0.0,
    structure: float = 0.0,
    threshold: float = 0.0,
    iou_reduction: IouReduction = "mean",
    denominator: Denominator = "l1",
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> dict[str, Tensor]:
    r"""BiRefNet's pixel loss (Zheng et al., CAAI AIR 2024; weights as released for DIS).

    Every level's logits are upsampled (bilinear, corners aligned) to the target's size; each
    term with its weight is added over the levels. iou has no smoothing. The released iou sums
    over the batch, in the product form and without a rule for empty targets: that is
    ``birefnet_pixel(..., **AS_RELEASED)``, and ``RELEASED`` has the weights by task.
    threshold is 1 - p^2 - (p - 1)^2, structure the F3Net loss with sigmoid applied once.

    levels: list of (B,1,h,w), coarse to fine; target (B,1,H,W). Range [0, inf), 0 iff p = t for
    a binary target. A coarse level may hold NaN only where all it is spread to is ignored.

    Raises:
        ValueError: no level, or a shape or dtype that does not fit.
    """
    check_choice("iou_reduction", iou_reduction, ("mean", "sum"))
    maps, t, m = enter_levels(levels, target, mask)
    stats = target_statistics(t, m) if ssim else None
    edges = boundary_weight(t, mask=m) if structure else None
    terms: dict[str, tuple[float, Callable[[Batch], Tensor]]] = {
        "bce": (bce, lambda b: image_mean(bce_map(b.logits, b.target), m)),
        "iou": (iou, lambda b: _iou(b, denominator, empty, iou_reduction)),
        "ssim": (ssim, lambda b: _ssim(b, stats)),
        "mae": (mae, lambda b: image_mean(mae_map(b.logits, b.target), m)),
        "mse": (mse, lambda b: image_mean(mse_map(b.logits, b.target), m)),
        "structure": (
            structure,
            lambda b: structure_loss(b.logits, b.target, mask=m, weight=edges, reduction="none"),
        ),
        "threshold": (threshold, _threshold),
    }
    found: dict[str, Tensor] = {}
    for name, (weight, term) in terms.items():
        if weight:
            values = [term(Batch(z, t, m)) for z in maps]
            found[name] = reduce(weight * torch.stack(values).sum(0), reduction)
    return found or {"none": reduce(zero(maps[-1]), reduction)}
