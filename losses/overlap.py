"""Overlap losses: soft Dice and soft IoU, per image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .checks import check_choice
from .contract import Reduction, image_sum, pixel_count, prepare, probability, reduce, safe_ratio
from .knobs import choice, number
from .registry import register

Denominator = Literal["l1", "linear", "squared"]
Empty = Literal["background", "published"]
DENOMINATORS = ("l1", "linear", "squared")
EMPTY = ("background", "published")
_KNOBS = {
    "smooth": number(0, 1e6),
    "denominator": choice(*DENOMINATORS),
    "empty": choice(*EMPTY),
}

__all__ = ["Denominator", "Empty", "dice", "iou"]


def _sums(p: Tensor, t: Tensor, m: Tensor | None, form: Denominator) -> tuple[Tensor, ...]:
    """(|P| + |T|, twice the miss |P| + |T| - 2 overlap) of each image, in the given form."""
    if form == "squared":
        return image_sum(p.square() + t.square(), m), image_sum((p - t).square(), m)
    if form == "linear":
        return image_sum(p + t, m), image_sum(p * (1 - t) + t * (1 - p), m)
    return image_sum(p + t, m), image_sum((p - t).abs(), m)


def overlap_sums(
    z: Tensor, t: Tensor, m: Tensor | None, form: Denominator, empty: Empty
) -> tuple[Tensor, Tensor]:
    """(|P| + |T|, |P| + |T| - 2 overlap), of the background where an image's target is empty."""
    check_choice("denominator", form, DENOMINATORS)
    check_choice("empty", empty, EMPTY)
    p = probability(z)
    area, miss = _sums(p, t, m, form)
    if empty == "published":
        return area, miss
    if form == "squared":
        back = image_sum((1 - p).square() + (1 - t).square(), m)
    else:
        back = 2 * pixel_count(p, m) - image_sum(p + t, m)
    return torch.where(image_sum(t, m) == 0, back, area), miss


@register(knobs=_KNOBS, cite="milletari2016vnet", bounds=(0.0, 1.0))
def dice(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    smooth: float = 1.0,
    denominator: Denominator = "l1",
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Soft Dice loss (V-Net, 3DV 2016).

    .. math:: 1 - (2 o + s) / (|P| + |T| + s)

    ``denominator`` "linear": |P| = S(p), o = S(p t), whose minimum for a soft target is not at
    p = t; "squared": |P| = S(p^2), o = S(p t); "l1": |P| = S(p), o = S(p + t - |p - t|) / 2,
    equal to "linear" on binary masks. ``empty`` "background" scores the overlap of 1 - p with
    1 - t where the target is empty; "published" gives a false positive no gradient there.
    Shapes (B,1,H,W); smooth >= 0; range [0, 1], 0 iff p = t ("l1", "squared").
    """
    b = prepare(logits, target, mask)
    area, miss = overlap_sums(b.logits, b.target, b.mask, denominator, empty)
    return reduce(safe_ratio(miss, area + smooth), reduction)


@register(knobs=_KNOBS, cite="rahman2016iou", bounds=(0.0, 1.0))
def iou(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    smooth: float = 1.0,
    denominator: Denominator = "l1",
    empty: Empty = "background",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Soft IoU (Jaccard) loss (Rahman and Wang, ISVC 2016).

    .. math:: 1 - (o + s) / (|P| + |T| - o + s)

    Knobs as in ``dice``. Shapes (B,1,H,W); range [0, 1], 0 iff p = t ("l1", "squared").
    """
    b = prepare(logits, target, mask)
    area, miss = overlap_sums(b.logits, b.target, b.mask, denominator, empty)
    return reduce(safe_ratio(miss, (area + miss) / 2 + smooth), reduction)
