"""Losses of Differentiable Binarization (Liao et al., AAAI 2020) for text detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .balanced import FORMS, INFINITE, Form, balanced_value
from .checks import check_choice, check_like
from .contract import (
    LEVELS,
    Batch,
    Level,
    Reduction,
    full_precision,
    image_mean,
    over,
    pixel_count,
    pooled,
    prepare,
    reduce,
    select,
)
from .imbalance import focal_value
from .knobs import choice, integer, number
from .maps import l1_value
from .overlap import DENOMINATORS, EMPTY, Denominator, Empty, dice_value
from .pixel import bce_map
from .registry import register_sum
from .slopes import probability

MapLoss = Literal["balanced_bce", "dice", "dice_bce", "bce", "focal"]
MAP_LOSSES = ("balanced_bce", "dice", "dice_bce", "bce", "focal")
_THRESHOLD = ("threshold", "threshold_target", "threshold_mask")
_BATCH: dict[str, object] = {
    "level": "batch",
    "min_negatives": 0,
    "denominator": "linear",
    "empty": "published",
}
# Knobs of ``db`` with which the paper and four published codes train. A batch without positives
# has no gradient from Dice in any of them; PaddleOCR's probability term is 0 there, here it is 1.
DB_FLAVOURS: dict[str, dict[str, object]] = {
    "MhLiao": {**_BATCH, "form": "byte"},
    "paper": {"binary": "balanced_bce", "prob_weight": 1.0, "pixels": "sum", "min_negatives": 0},
    "PaddleOCR": {**_BATCH, "prob": "dice"},
    "mmocr": _BATCH,
    "doctr": {**_BATCH, "prob": "focal", "prob_weight": 10.0, "threshold_weight": 1.0},
}

__all__ = ["DB_FLAVOURS", "db", "step"]


@dataclass(frozen=True)
class _How:
    """The knobs that losses of a map share."""

    ratio: float
    min_negatives: int
    form: Form
    denominator: Denominator
    empty: Empty
    level: Level
    mining: Level
    summed: bool


@full_precision
def step(prob: Tensor, threshold: Tensor, *, k: float = 50.0) -> Tensor:
    r"""Differentiable binarization, B = sigmoid(k (P - T)) (AAAI 2020, eq. 2).

    Finite in value and gradient for every k and dtype, where 1 / (1 + exp(-k (P - T))) has NaN
    gradients in float32 from k = 89 on. Shapes (B,1,H,W), both maps in [0, 1]; range (0, 1).
    """
    wide = torch.promote_types(prob.dtype, torch.float32)
    return torch.sigmoid(k * (prob.to(wide) - threshold.to(wide)))


def _map_loss(name: MapLoss, b: Batch, how: _How) -> Tensor:
    if name == "balanced_bce":
        return balanced_value(
            b, how.ratio, how.min_negatives, how.mining, how.form, summed=how.summed
        )
    overlap = dice_value(b, 0.0, how.denominator, how.empty, how.level)
    if name == "dice":
        return overlap
    count = over(how.level, pixel_count(b.logits, b.mask)) if how.summed else 1.0
    if name == "focal":
        return pooled(focal_value(b, 2.0, 0.5), b, how.level) * count
    pixels = pooled(image_mean(bce_map(b.logits, b.target), b.mask), b, how.level) * count
    return pixels if name == "bce" else pixels + overlap


_WEIGHT = number(0, 1e6)


@register_sum(
    kind="db",
    formula="w_P loss(P, t) + w_T masked_l1(T) + w_B loss(B, t), B = sigmoid(k (P - T))",
    knobs={
        "prob": choice(*MAP_LOSSES),
        "binary": choice(*MAP_LOSSES),
        **dict.fromkeys(("prob_weight", "threshold_weight", "binary_weight"), _WEIGHT),
        "k": number(1, 1e4),
        "ratio": number(0),
        "min_negatives": integer(0, INFINITE),
        "form": choice(*FORMS),
        "pixels": choice("mean", "sum"),
        "denominator": choice(*DENOMINATORS),
        "empty": choice(*EMPTY),
        "level": choice(*LEVELS),
        "mining": choice("level", *LEVELS),
    },
    breaks={10: "B is not P: for a soft target both cannot equal it"},
    cite="liao2020db",
)
def db(
    logits: Tensor,
    threshold: Tensor,
    target: Tensor,
    threshold_target: Tensor,
    threshold_mask: Tensor,
    *,
    mask: Tensor | None = None,
    prob: MapLoss = "balanced_bce",
    binary: MapLoss = "dice",
    prob_weight: float = 5.0,
    threshold_weight: float = 10.0,
    binary_weight: float = 1.0,
    k: float = 50.0,
    ratio: float = 3.0,
    min_negatives: int = 1000,
    form: Form = "repaired",
    pixels: Literal["mean", "sum"] = "mean",
    denominator: Denominator = "l1",
    empty: Empty = "background",
    level: Level = "image",
    mining: Literal["level", "image", "batch"] = "level",
    reduction: Reduction = "mean",
) -> dict[str, Tensor]:
    r"""Loss of DB's three maps (AAAI 2020, eq. 5; weights as released).

    .. math:: w_P L(P, t) + w_T S(m_T |T - t_T|) / S(m_T) + w_B L(B, t),
              \quad B = \sigma(k (P - T))

    P = sigmoid(logits); ``threshold`` T is a map in [0, 1]. ``prob`` and ``binary`` are the losses
    of P and B: balanced_bce (with ratio, min_negatives and form as the loss of that name), dice
    (without smoothing), bce, both added, or focal (gamma 2, alpha .5). Mining has no effect on
    dice, which is one number for an image. ``DB_FLAVOURS`` has the knobs of the paper and of four
    published codes: ``losses.build("db", **losses.DB_FLAVOURS["PaddleOCR"])``.
    ``pixels`` "sum" is the paper's form: sums over pixels in place of means, of every map.
    ``level`` "batch" takes each statistic over the batch, as released; ``mining`` that of mined
    negatives alone.
    ``mask`` selects the pixels of P and B, ``threshold_mask`` those of T.
    Shapes (B,1,H,W); range [0, inf), 0 iff P and B equal a binary t and T its target.

    Raises:
        ValueError: a shape, dtype or device that does not fit, of the threshold beside the
            logits too.
    """
    b = prepare(logits, target, mask)
    # Cast once: T's and B's gradients, of opposite sign, are then added before they are rounded.
    wide = prepare(threshold, threshold_target, names=_THRESHOLD).logits
    check_like("threshold", wide, "logits", logits, "are both of one forward pass")
    t = prepare(wide, threshold_target, threshold_mask, _THRESHOLD)
    apart = k * (probability(b.logits) - select(wide, b.mask, b.logits.dtype))
    check_choice("mining", mining, ("level", *LEVELS))
    mined = level if mining == "level" else mining
    how = _How(ratio, min_negatives, form, denominator, empty, level, mined, pixels == "sum")
    return {
        "probability": reduce(prob_weight * _map_loss(prob, b, how), reduction),
        "threshold": reduce(threshold_weight * l1_value(t, pixels, level), reduction),
        "binary": reduce(
            binary_weight * _map_loss(binary, Batch(apart, b.target, b.mask), how), reduction
        ),
    }
