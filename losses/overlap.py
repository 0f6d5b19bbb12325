"""Overlap losses: soft Dice, soft IoU and Tversky, per image, and Dice with BCE."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .checks import check_choice
from .contract import (
    LEVELS,
    Batch,
    Level,
    Reduction,
    image_mean,
    image_sum,
    over,
    pixel_count,
    prepare,
    reduce,
    safe_ratio,
)
from .knobs import Knob, choice, number
from .pixel import bce, bce_map
from .registry import Limit, register, register_sum
from .slopes import probability

Denominator = Literal["l1", "linear", "squared"]
Empty = Literal["background", "published"]
DENOMINATORS = ("l1", "linear", "squared")
EMPTY = ("background", "published")
KNOBS: dict[str, Knob] = {
    "smooth": number(0, 1e6),
    "denominator": choice(*DENOMINATORS),
    "empty": choice(*EMPTY),
}
LEVEL_KNOBS = {**KNOBS, "level": choice(*LEVELS)}

__all__ = ["DENOMINATORS", "EMPTY", "Denominator", "Empty", "dice", "dice_bce", "iou", "tversky"]


def _sums(p: Tensor, t: Tensor, m: Tensor | None, form: Denominator) -> tuple[Tensor, ...]:
    """(|P| + |T|, twice the miss |P| + |T| - 2 overlap) of each image, in the given form."""
    if form == "squared":
        return image_sum(p.square() + t.square(), m), image_sum((p - t).square(), m)
    if form == "linear":
        return image_sum(p + t, m), image_sum(p * (1 - t) + t * (1 - p), m)
    return image_sum(p + t, m), image_sum((p - t).abs(), m)


def overlap_sums(
    b: Batch, form: Denominator, empty: Empty, p: Tensor, level: Level = "image"
) -> tuple[Tensor, Tensor]:
    """(|P| + |T|, |P| + |T| - 2 overlap), of the background where an image's target is empty."""
    check_choice("denominator", form, DENOMINATORS)
    check_choice("empty", empty, EMPTY)
    t, m = b.target, b.mask
    area, miss = _sums(p, t, m, form)
    area, miss = over(level, area), over(level, miss)
    if empty == "published":
        return area, miss
    if form == "squared":
        back = image_sum((1 - p).square() + (1 - t).square(), m)
    else:
        back = 2 * pixel_count(p, m) - image_sum(p + t, m)
    nothing = over(level, image_sum(t, m)) == 0
    return torch.where(nothing, over(level, back), area), miss


def dice_value(
    b: Batch, smooth: float, form: Denominator, empty: Empty, level: Level = "image"
) -> Tensor:
    """Dice loss of each image, (B,)."""
    area, miss = overlap_sums(b, form, empty, probability(b.logits), level)
    return safe_ratio(miss, area + smooth)


@register(
    formula="1 - (2 S(o) + s) / (S(p) + S(t) + s), o = (p + t - |p - t|) / 2",
    knobs=LEVEL_KNOBS,
    cite="milletari2016vnet",
    bounds=(0.0, 1.0),
)
def dice(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    smooth: float = 1.0,
    denominator: Denominator = "l1",
    empty: Empty = "background",
    level: Level = "image",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Soft Dice loss (V-Net, 3DV 2016).

    .. math:: 1 - (2 o + s) / (|P| + |T| + s)

    ``denominator`` "linear": |P| = S(p), o = S(p t), whose minimum for a soft target is not at
    p = t; "squared": |P| = S(p^2), o = S(p t); "l1": |P| = S(p), o = S(p + t - |p - t|) / 2,
    equal to "linear" on binary masks. ``empty`` "background" scores the overlap of 1 - p with
    1 - t where the target is empty; "published" gives a false positive no gradient there.
    ``level`` "batch" takes the sums over the whole batch, as text detectors do.
    Shapes (B,1,H,W); smooth >= 0; range [0, 1], 0 iff p = t ("l1", "squared").

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    return reduce(dice_value(b, smooth, denominator, empty, level), reduction)


@register(
    formula="1 - (S(o) + s) / (S(p) + S(t) - S(o) + s), o = (p + t - |p - t|) / 2",
    knobs=LEVEL_KNOBS,
    cite="rahman2016iou",
    bounds=(0.0, 1.0),
)
def iou(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    smooth: float = 1.0,
    denominator: Denominator = "l1",
    empty: Empty = "background",
    level: Level = "image",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Soft IoU (Jaccard) loss (Rahman and Wang, ISVC 2016).

    .. math:: 1 - (o + s) / (|P| + |T| - o + s)

    Knobs as in ``dice``. Shapes (B,1,H,W); range [0, 1], 0 iff p = t ("l1", "squared").

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    area, miss = overlap_sums(b, denominator, empty, probability(b.logits), level)
    return reduce(safe_ratio(miss, (area + miss) / 2 + smooth), reduction)


def _dice_of_smooth_2(
    logits: Tensor, target: Tensor, *, mask: Tensor | None, reduction: Reduction
) -> Tensor:
    return dice(logits, target, mask=mask, smooth=2.0, reduction=reduction)


@register(
    formula="1 - (S(o) + s) / (S(o) + alpha S(p - o) + beta S(t - o) + s), o = min(p, t)",
    knobs={
        "alpha": number(0, 1e3),
        "beta": number(0, 1e3),
        "smooth": number(0, 1e6),
        "denominator": choice("l1", "linear"),
        "empty": choice(*EMPTY),
    },
    limits=(
        Limit({"alpha": 0.5, "beta": 0.5}, _dice_of_smooth_2),
        Limit({"alpha": 1.0, "beta": 1.0}, iou),
    ),
    cite="salehi2017tversky",
    bounds=(0.0, 1.0),
)
def tversky(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    denominator: Literal["l1", "linear"] = "l1",
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Tversky loss: false positives weigh alpha, misses beta (Salehi et al., MLMI 2017).

    .. math:: 1 - (o + s) / (o + \alpha\, FP + \beta\, FN + s)

    "l1": o = S(min(p, t)), FP = S(max(p - t, 0)), FN = S(max(t - p, 0)); "linear": o = S(p t),
    FP = S(p (1 - t)), FN = S((1 - p) t). alpha = beta = .5 is dice of twice the smooth, 1 is iou.
    ``empty`` as in ``dice``. Shapes (B,1,H,W); range [0, 1], 0 iff p = t for a binary target;
    with alpha or beta 0 also elsewhere.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    check_choice("denominator", denominator, ("l1", "linear"))
    check_choice("empty", empty, EMPTY)
    b = prepare(logits, target, mask)
    p, t, m = probability(b.logits), b.target, b.mask
    if denominator == "l1":
        extra, lack = image_sum((p - t).relu(), m), image_sum((t - p).relu(), m)
    else:
        extra, lack = image_sum(p * (1 - t), m), image_sum((1 - p) * t, m)
    covered = image_sum(t, m) - lack
    if empty == "background":
        nothing = image_sum(t, m) == 0
        covered = torch.where(nothing, pixel_count(p, m) - image_sum(p, m), covered)
    miss = alpha * extra + beta * lack
    return reduce(safe_ratio(miss, covered + miss + smooth), reduction)


@register_sum(
    formula="w_dice dice + w_bce bce",
    knobs={"dice_weight": number(0, 1e6), "bce_weight": number(0, 1e6), **KNOBS},
    limits=(
        Limit({"dice_weight": 0.0}, bce),
        Limit({"bce_weight": 0.0}, dice),
    ),
    cite="isensee2021nnunet",
)
def dice_bce(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    dice_weight: float = 1.0,
    bce_weight: float = 1.0,
    smooth: float = 1.0,
    denominator: Denominator = "l1",
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> dict[str, Tensor]:
    r"""Dice and bce, weighted and added, as nnU-Net has them (Nature Methods 2021).

    Knobs as in ``dice``. Shapes (B,1,H,W); range [0, inf), 0 iff p = t for a binary target.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    overlap = dice_value(b, smooth, denominator, empty)
    pixels = image_mean(bce_map(b.logits, b.target), b.mask)
    return {
        "dice": reduce(dice_weight * overlap, reduction),
        "bce": reduce(bce_weight * pixels, reduction),
    }
