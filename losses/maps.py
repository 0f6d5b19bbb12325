"""Losses of regression maps: masked L1 and its balanced form."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .balanced import count, mined_sum
from .checks import check_beside, check_choice
from .contract import (
    Batch,
    Level,
    Reduction,
    image_sum,
    over,
    pixel_count,
    prepare,
    reduce,
    safe_ratio,
    select,
)
from .knobs import choice, flag, number
from .registry import register

_MAP = ("prediction", "target", "mask")

__all__ = ["balanced_l1", "masked_l1"]


def l1_value(b: Batch, how: str, level: Level = "image") -> Tensor:
    """Absolute error over the valid pixels of each image, (B,)."""
    check_choice("pixels", how, ("mean", "sum"))
    error = over(level, image_sum((b.logits - b.target).abs(), b.mask))
    if how == "sum":
        return error
    return safe_ratio(error, over(level, pixel_count(b.logits, b.mask)))


@register(
    kind="map",
    formula="S(m |x - t|) / S(m)",
    knobs={"normalise": choice("mean", "sum")},
    cite="liao2020db",
)
def masked_l1(
    prediction: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    normalise: Literal["mean", "sum"] = "mean",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Absolute error of a map, S(m |x - t|) / S(m): DB's loss of the threshold map.

    ``prediction`` is a map in [0, 1], not logits. ``normalise`` "sum" is S(m |x - t|), as the
    paper writes it. 0 with a grad_fn where the mask is empty.
    Shapes (B,1,H,W); range [0, 1] ("sum": [0, H W]), 0 iff x = t. Source: Liao et al., AAAI 2020.

    Raises:
        ValueError: a shape or dtype that does not fit, an unknown ``normalise``.
    """
    b = prepare(prediction, target, mask, _MAP)
    return reduce(l1_value(b, normalise), reduction)


@register(
    kind="map",
    formula="mean of |x - t| inside the region + mean of the 3 #region greatest outside",
    knobs={"ratio": number(0), "as_published": flag()},
    cite="liao2020db",
)
def balanced_l1(
    prediction: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    region: Tensor | None = None,
    ratio: float = 3.0,
    as_published: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Absolute error in a region plus that of the hardest pixels outside (MhLiao/DB, repaired).

    .. math:: S(R |x - t|) / S(R) + \textstyle\sum_{hardest\ Q} |x - t| / Q

    with Q = min(S(1 - R), floor(ratio S(R))); ``region`` R in {0, 1} is t > 0 by default. The
    published BalanceL1Loss is NaN where a part is empty: here that part is 0 (also where a region
    of one pixel at ratio .5 mines floor(.5) = 0), and an image without region is scored on all
    its pixels. ``as_published`` is that loss, NaN and all, with
    its sums over the batch. ``prediction`` is a map in [0, 1], not logits.
    Shapes (B,1,H,W); ratio >= 0; range [0, 2], 0 iff x = t wherever Q > 0 or nothing lies
    outside. Source: BalanceL1Loss of MhLiao/DB (Liao et al., AAAI 2020).

    Raises:
        ValueError: a shape or dtype that does not fit, of the region too; a ratio below 0.
    """
    b = prepare(prediction, target, mask, _MAP)
    error = (b.logits - b.target).abs()
    inside = target > 0 if region is None else check_beside("region", region, target).bool()
    r = select(inside.to(error.dtype), b.mask, error.dtype)
    level: Level = "batch" if as_published else "image"
    n = count(r, b.mask, ratio, 0 if as_published else math.inf, level)
    outside = mined_sum(select((1 - r) * error, b.mask, error.dtype), n, level)
    ratio_of = torch.div if as_published else safe_ratio  # the published one is 0 / 0
    value = ratio_of(over(level, image_sum(r * error)), n.positives.to(error.dtype))
    return reduce(value + ratio_of(outside, n.mined.to(error.dtype)), reduction)
