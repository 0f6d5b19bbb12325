"""Balanced BCE with online hard negative mining (OHEM), of text detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
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
    pooled,
    prepare,
    reduce,
    safe_ratio,
    select,
)
from .knobs import choice, integer, number
from .mining import hardest_sum
from .pixel import bce, bce_map
from .registry import Limit, register

Form = Literal["repaired", "byte", "mean"]
FORMS = ("repaired", "byte", "mean")
INFINITE = 2**31 - 1

__all__ = ["balanced_bce"]


@dataclass(frozen=True)
class Counts:
    """Of each image: positives, the negatives Q that count, and how many pixels that is."""

    positives: Tensor
    mined: Tensor
    pixels: Tensor


def count(
    t: Tensor, m: Tensor | None, ratio: float, min_negatives: float, level: Level = "image"
) -> Counts:
    """Q = floor(ratio #pos), or all negatives where that is no fewer; sums in float64.

    An image without positives has less than one, as published code counts: faint pixels are none.
    """
    weight = t.double()
    positives = over(level, image_sum(weight, m))
    pixels = over(level, pixel_count(weight, m))
    negatives = pixels - positives
    wanted = torch.where(positives < 1, min_negatives, ratio * positives)
    everything = wanted >= negatives
    mined = torch.where(everything, negatives, wanted.floor())
    return Counts(positives, mined, torch.where(everything, pixels, mined))


def mined_sum(values: Tensor, n: Counts, level: Level) -> Tensor:
    """Sum of the greatest values (B,1,H,W) >= 0 of each image, or of the batch, that count."""
    rows = values.flatten(1) if level == "image" else values.reshape(1, -1)
    return hardest_sum(rows, n.pixels[: rows.shape[0]].long()).expand(values.shape[0])


def balanced_value(
    b: Batch,
    ratio: float,
    min_negatives: int,
    level: Level,
    form: Form,
    *,
    summed: bool = False,
) -> Tensor:
    """Balanced BCE of each image, (B,); ``summed``: not divided by the pixels that count."""
    z, t, m = b.logits, b.target, b.mask
    if form == "byte":  # only pixels that are exactly 1 or 0 have a class
        solid = (t == 0) | (t == 1)
        m = solid if m is None else m & solid
    n = count(t, m, ratio, min_negatives, level)
    if form == "mean":  # one number, times masks that sum to what it is divided by
        seen = (n.positives + n.mined > 0).to(z.dtype)
        return seen * pooled(image_mean(bce_map(z, t), m), b, level)
    hardness = select((1 - t) * F.softplus(z), m, z.dtype)
    hardest = mined_sum(hardness, n, level)
    easy = over(level, image_sum(t * F.softplus(-z), m))
    if summed:
        return easy + hardest
    return safe_ratio(easy + hardest, (n.positives + n.mined).to(z.dtype))


@register(
    formula="(S(t log 1/p) + sum of the Q hardest (1 - t) log 1/(1 - p)) / (#pos + Q), Q = 3 #pos",
    knobs={
        "ratio": number(0),
        "min_negatives": integer(0, INFINITE),
        "level": choice(*LEVELS),
        "form": choice(*FORMS),
    },
    breaks={10: "which negatives are mined depends on the prediction"},
    claims=("mined",),
    limits=(Limit({"ratio": float("inf")}, bce, needs_positives=True),),
    cite="liao2020db",
)
def balanced_bce(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    min_negatives: int = 1000,
    level: Level = "image",
    form: Form = "repaired",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""BCE over all positives and the hardest negatives, at most 3 for each (DB, AAAI 2020).

    .. math:: (S(t\, l^+) + \textstyle\sum_{hardest\ Q} (1 - t)\, l^-) / (\#pos + Q)

    #pos = S(t), #neg = S(1 - t), Q = floor(ratio #pos), at most #neg; a soft pixel is positive
    with weight t and negative with weight 1 - t. Ties share their gradient. ``min_negatives`` is
    how many an image without positives mines (#pos below 1: faint pixels alone are none); 0, as
    published, gives an empty one no value and no gradient. One positive counts: at ratio .5 it
    mines floor(.5) = 0 negatives.
    ``level`` "batch" mines over the batch, as published. ``form`` "byte" drops every soft pixel
    from both classes (MhLiao/DB); "mean" is mmocr's reduction='mean': plain bce of all pixels,
    whatever the ratio. ratio inf is bce of an image with positives.
    Shapes (B,1,H,W); ratio >= 0; range [0, inf), 0 iff p = t for a binary target.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    check_choice("form", form, FORMS)
    b = prepare(logits, target, mask)
    return reduce(balanced_value(b, ratio, min_negatives, level, form), reduction)
