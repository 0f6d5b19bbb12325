"""BiRefNet's pixel loss: a weighted sum of terms on every supervised level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .boundary import boundary_weight
from .checks import check_choice, check_levels, check_logits, check_target
from .contour import contour_value
from .contract import (
    Batch,
    Reduction,
    full_precision,
    reduce,
    select,
    upsample,
    working_dtype,
)
from .knobs import choice, number
from .overlap import DENOMINATORS, EMPTY, Denominator, Empty
from .patches import patch_value, published_patch
from .pixel import zero
from .registry import CARRIER, register_sum
from .slopes import probability
from .ssim import target_statistics
from .structure import structure as structure_loss
from .terms import Terms, joined

IouReduction = Literal["mean", "sum"]
Form = Literal["repaired", "as_published"]
NO_CLASS = -100

__all__ = ["IouReduction", "birefnet_pixel", "class_ce", "enter_levels"]


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


def _check_classes(class_logits: object, label: object) -> None:
    if not isinstance(class_logits, (list, tuple)):
        seen_type = type(class_logits).__name__
        raise ValueError(f"class_logits is a {seen_type}, expected a list of (B, K)")
    for i, z in enumerate(class_logits):
        if not isinstance(z, Tensor):
            seen_type = type(z).__name__
            raise ValueError(f"class_logits[{i}] is a {seen_type}, expected a tensor (B, K)")
    if not isinstance(label, Tensor):
        seen_type = type(label).__name__
        raise ValueError(f"label is a {seen_type}, expected a tensor (B,); torch.tensor(label)?")
    seen = [tuple(z.shape) for z in class_logits]
    fits = label.dim() == 1 and all(len(s) == 2 and s[0] == len(label) for s in seen)
    if not seen or not fits:
        raise ValueError(
            f"class_logits has shapes {seen}, label {tuple(label.shape)}: expected (B, K) and (B,)"
        )
    if label.dtype not in (torch.int64, torch.uint8):
        raise ValueError(f"label has dtype {label.dtype}, expected class numbers; label.long()?")
    if label.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_numbers(label, min(s[1] for s in seen))


def _check_numbers(label: Tensor, classes: int) -> None:
    odd = label[((label < 0) | (label >= classes)) & (label != NO_CLASS)].tolist()
    if odd:
        raise ValueError(
            f"label has {len(odd)} values outside 0..{classes - 1}, {odd[0]} the first: expected "
            f"class numbers, or {NO_CLASS} for none; give the head more classes?"
        )


@full_precision
def class_ce(
    class_logits: Sequence[Tensor], label: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    r"""Cross entropy of the auxiliary classification, summed over its heads (BiRefNet: x 5).

    class_logits: list of (B, K) raw scores; label (B,) of class numbers in 0..K - 1, or -100 for
    an image that costs 0. Range [0, inf).

    Raises:
        ValueError: no head, no tensor, shapes that do not fit, a label that is no class number
            (its values are read where that costs nothing: on the CPU and not compiled).
    """
    _check_classes(class_logits, label)
    values = [
        F.cross_entropy(z.to(working_dtype(z)), label, ignore_index=NO_CLASS, reduction="none")
        for z in class_logits
    ]
    return reduce(torch.stack(values).sum(0), reduction)


def _structure(b: Batch, edges: Tensor | None, terms: Form) -> Tensor:
    """F3Net's structure loss; BiRefNet's code hands it probabilities for logits."""
    z = b.logits if terms == "repaired" else select(probability(b.logits), b.mask, b.logits.dtype)
    return structure_loss(z, b.target, mask=b.mask, weight=edges, reduction="none")


def _patch(b: Batch, form: Denominator, empty: Empty, terms: Form) -> Tensor:
    if terms == "as_published":
        return published_patch(b)
    return patch_value(b, 64, 0.0, form, empty)


_NEIGHBOURS = "a sum with ssim, which breaks it"
_LAMBDA = number(0, 1e6)
TERMS = ("bce", "iou", "ssim", "mae", "mse", "structure", "threshold", "patch_iou", "contour")


@register_sum(
    kind="levels",
    formula="sum over levels of 30 bce + .5 iou + 10 ssim (DIS5K; other terms have weight 0)",
    cite="zheng2024birefnet",
    knobs={
        **dict.fromkeys(TERMS, _LAMBDA),
        "iou_reduction": choice("mean", "sum"),
        "denominator": choice(*DENOMINATORS),
        "empty": choice(*EMPTY),
        "terms": choice("repaired", "as_published"),
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
    patch_iou: float = 0.0,
    contour: float = 0.0,
    iou_reduction: IouReduction = "mean",
    denominator: Denominator = "l1",
    empty: Empty = "background",
    terms: Form = "repaired",
    reduction: Reduction = "mean",
) -> dict[str, Tensor]:
    r"""BiRefNet's pixel loss (Zheng et al., CAAI AIR 2024; weights as released for DIS).

    Every level's logits are upsampled (bilinear, corners aligned) to the target's size; each
    term with its weight is added over the levels. iou has no smoothing. The released iou sums
    over the batch, in the product form and without a rule for empty targets, and has defects in
    terms of weight 0 (``terms`` "as_published": structure takes sigmoid twice, patch_iou sees one
    patch, contour leans to one side): all that is ``AS_RELEASED``; ``RELEASED`` has the weights
    by task and ``fine_tuning`` their schedule. threshold is 1 - p^2 - (p - 1)^2; patch_iou has
    windows of 64 px and no smoothing, contour a length weight of 10. Where p and t are 0 in all
    pixels (patch_iou: of the patch) the released iou and patch_iou are 0 / 0: 0 here, NaN there.

    levels: list of (B,1,h,w), coarse to fine; target (B,1,H,W). Range [0, inf), 0 iff p = t for
    a binary target. A coarse level may hold NaN only where all it is spread to is ignored. The
    target gets no gradient, and the loss can be differentiated once.

    Raises:
        ValueError: no level, a shape or dtype that does not fit, or contour "as_published" below
            3 x 3 px.
    """
    check_choice("iou_reduction", iou_reduction, ("mean", "sum"))
    check_choice("denominator", denominator, DENOMINATORS)
    check_choice("empty", empty, EMPTY)
    check_choice("terms", terms, ("repaired", "as_published"))
    maps, t, m = enter_levels(levels, target, mask)
    batch_sum = iou_reduction == "sum"
    how = Terms(bce, iou, ssim, mae, mse, threshold, denominator, empty, batch_sum)
    stats = target_statistics(t, m) if ssim else None
    edges = boundary_weight(t, mask=m) if structure else None
    asymmetric = terms == "as_published"
    others: dict[str, tuple[float, Callable[[Batch], Tensor]]] = {
        "structure": (structure, lambda b: _structure(b, edges, terms)),
        "patch_iou": (patch_iou, lambda b: _patch(b, denominator, empty, terms)),
        "contour": (contour, lambda b: contour_value(b, 10.0, as_published=asymmetric)),
    }
    found: dict[str, Tensor] = {CARRIER: zero(maps[-1])}
    for z in maps:
        values, carrier = joined(Batch(z, t, m), how, stats, others)
        for name, value in {**values, CARRIER: carrier}.items():
            found[name] = found[name] + value if name in found else value
    return {name: reduce(found[name], reduction) for name in (CARRIER, *TERMS) if name in found}
