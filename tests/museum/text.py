"""Exhibits from text detection: the defects of DB, PaddleOCR and mmocr, one to a piece.

Everything beside the defect is as it should be, as in ``pixels``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses import dice, masked_l1, probability
from losses.contract import (
    Batch,
    Reduction,
    image_mean,
    image_sum,
    prepare,
    reduce,
    safe_ratio,
    select,
)

__all__ = [
    "averages_before_mining",
    "binarises_by_exp",
    "divides_by_an_empty_part",
    "drops_soft_pixels",
    "loses_its_grad_fn",
    "mines_a_single_number",
    "mines_nothing_without_positives",
    "mines_over_the_batch",
]

Rows = tuple[Tensor, Tensor]


def _per_pixel(b: Batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(b.logits, b.target, reduction="none")


def _classes(b: Batch) -> Rows:
    """Weights of the pixels as positives and as negatives, 0 at ignored ones."""
    return b.target, select(1 - b.target, b.mask, b.target.dtype)


def _binary(b: Batch) -> Rows:
    """Classes of a target binarised at .5, as a detector's kernels are."""
    hit = (b.target > 0.5).to(b.target.dtype)
    return hit, select(1 - hit, b.mask, hit.dtype)


def _mined(positive: Tensor, negative: Tensor, ratio: float, spare: float) -> Rows:
    """Positives, and how many negatives to mine: ``spare`` where there is no positive."""
    positives, negatives = image_sum(positive), image_sum(negative)
    wanted = torch.where(positives > 0, ratio * positives, torch.full_like(positives, spare))
    return positives, torch.minimum(negatives, wanted).floor()


def _hardest(values: Tensor, count: Tensor) -> Tensor:
    """Sum of the ``count`` greatest values of each image, (B,)."""
    ranked = values.flatten(1).sort(descending=True).values
    kept = torch.arange(ranked.shape[1]) < count[:, None]
    return (ranked * kept).sum(1)


def _balanced(losses: Rows, classes: Rows, ratio: float, spare: float) -> Tensor:
    """(S(losses of positives) + the hardest of negatives) / (both counts), of each image."""
    positives, mined = _mined(*classes, ratio, spare)
    up, down = (x * weight for x, weight in zip(losses, classes, strict=True))
    total = image_sum(up) + _hardest(down, mined)
    return safe_ratio(total, positives + mined)


def drops_soft_pixels(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """DB's balanced bce: ``.byte()`` makes .999 a 0 in both classes."""
    b = prepare(logits, target, mask)
    classes = tuple(x.to(torch.uint8).to(b.target.dtype) for x in _classes(b))
    loss = _per_pixel(b)
    return reduce(_balanced((loss, loss), classes, ratio, 1000.0), reduction)  # type: ignore


def mines_nothing_without_positives(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """DB's balanced bce: an image full of false positives costs nothing."""
    b = prepare(logits, target, mask)
    losses = F.softplus(-b.logits), F.softplus(b.logits)
    return reduce(_balanced(losses, _classes(b), ratio, 0.0), reduction)


def mines_over_the_batch(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """DB's balanced bce: what one image is asked depends on the others."""
    b = prepare(logits, target, mask)
    losses = F.softplus(-b.logits), F.softplus(b.logits)
    rows = [x.flatten()[None, None, None] for x in (*losses, *_classes(b))]
    value = _balanced((rows[0], rows[1]), (rows[2], rows[3]), ratio, 1000.0)
    return reduce(value.expand(target.shape[0]), reduction)


def mines_a_single_number(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """PaddleOCR's balance of a Dice loss: one number for the image, whatever is mined."""
    b = prepare(logits, target, mask)
    value = dice(b.logits, b.target, mask=b.mask, smooth=0.0, reduction="none")
    loss = value.view(-1, 1, 1, 1).expand_as(b.target)
    return reduce(_balanced((loss, loss), _binary(b), ratio, 1000.0), reduction)


def averages_before_mining(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """mmocr's balanced bce with reduction='mean': F3Net's defect once more."""
    b = prepare(logits, target, mask)
    mean = image_mean(_per_pixel(b), b.mask).view(-1, 1, 1, 1).expand_as(b.target)
    return reduce(_balanced((mean, mean), _binary(b), ratio, 1000.0), reduction)


def divides_by_an_empty_part(
    prediction: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    ratio: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """DB's balanced L1: NaN without positives, and without negatives."""
    b = prepare(prediction, target, mask)
    gap = (b.logits - b.target).abs()
    inside = (b.target > 0).to(gap.dtype)
    outside = select(1 - inside, b.mask, gap.dtype)
    positives, mined = _mined(inside, outside, ratio, 0.0)
    worst = _hardest(outside * gap, mined)
    return reduce(image_sum(inside * gap) / positives + worst / mined, reduction)


def loses_its_grad_fn(
    prediction: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """DB's masked L1: with an empty mask it returns the mask's sum, which backward refuses."""
    if mask is not None and not mask.any():
        return reduce(mask.sum((1, 2, 3)).to(torch.float32), reduction)
    return masked_l1(prediction, target, mask=mask, reduction=reduction)


def binarises_by_exp(
    logits: Tensor,
    threshold: Tensor,
    target: Tensor,
    threshold_target: Tensor,
    threshold_mask: Tensor,
    *,
    mask: Tensor | None = None,
    k: float = 100.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """DB's step 1 / (1 + exp(-k (P - T))): exp overflows, and its gradient is 0 x inf."""
    b = prepare(logits, target, mask)
    p, x = probability(b.logits), select(threshold, b.mask, b.logits.dtype)
    binary = select(1 / (1 + torch.exp(-k * (p - x))), b.mask, p.dtype)
    apart = image_mean((binary - b.target).abs() + (p - b.target).abs(), b.mask)
    area = masked_l1(threshold, threshold_target, mask=threshold_mask, reduction="none")
    return reduce(apart + area, reduction)
