"""Exhibits from segmentation: F3Net's and BiRefNet's defects, one to a piece.

Everything beside the defect is as it should be: ignored pixels are selected out, values are of
each image, empty sums are no 0 / 0, unless that is the defect.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import bce, boundary_weight, gradient_labels, iou, mae, structure
from losses.contract import (
    Batch,
    Reduction,
    image_mean,
    image_sum,
    prepare,
    reduce,
    safe_ratio,
    select,
    upsample,
)

__all__ = [
    "FineTunesInPlace",
    "applies_sigmoid_twice",
    "averages_before_weighting",
    "divides_by_an_empty_union",
    "divides_by_the_excess_weight",
    "leans_to_one_side",
    "learns_its_own_label",
    "sees_the_first_patch_alone",
    "sums_over_the_batch",
]


def _per_pixel(z: Tensor, t: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, t, reduction="none")


def _nothing(b: Batch) -> Tensor:
    """Images without a valid pixel, (B,)."""
    return torch.zeros(len(b.logits)).bool() if b.mask is None else ~b.mask.flatten(1).any(1)


def averages_before_weighting(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    gamma: float = 5.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """F3Net's weighted bce with ``reduce='none'``: the weights cancel, gamma does nothing."""
    b = prepare(logits, target, mask)
    w = select(boundary_weight(b.target, gamma=gamma, mask=b.mask), b.mask, b.target.dtype)
    c = image_mean(_per_pixel(b.logits, b.target), b.mask)
    return reduce(safe_ratio(image_sum(w * c.view(-1, 1, 1, 1)), image_sum(w)), reduction)


def divides_by_the_excess_weight(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """F3Net's weighted bce as its paper prints it: 0 / 0 where there is no boundary."""
    b = prepare(logits, target, mask)
    w = select(boundary_weight(b.target, mask=b.mask), b.mask, b.target.dtype)
    total, excess = image_sum(w * _per_pixel(b.logits, b.target)), select(w - 1, b.mask, w.dtype)
    values = torch.where(_nothing(b), 0 * total, total / image_sum(excess))
    return reduce(values, reduction)


def applies_sigmoid_twice(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """BiRefNet's structure term: a probability handed over for a logit is never far from .5."""
    b = prepare(logits, target, mask)
    p = b.logits.sigmoid()
    return structure(
        p, b.target, mask=b.mask, overlap="l1", empty="background", reduction=reduction
    )


def sees_the_first_patch_alone(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    window: int = 64,
    reduction: Reduction = "mean",
) -> Tensor:
    """BiRefNet's patch IoU: its loops run over the batch and the channels."""
    b = prepare(logits, target, mask)
    values = []
    for top in range(0, target.shape[0], window):
        for left in range(0, target.shape[1], window):
            here = (..., slice(top, top + window), slice(left, left + window))
            m = None if b.mask is None else b.mask[here]
            values.append(
                iou(b.logits[here], b.target[here], mask=m, smooth=0.0, reduction="none")
            )
    return reduce(torch.stack(values).mean(0), reduction)


def sums_over_the_batch(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """BiRefNet's IoU: what is used as a mean grows with the batch."""
    values = iou(logits, target, mask=mask, smooth=0.0, reduction="none")
    return values if reduction == "none" else values.sum()


def divides_by_an_empty_union(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """BiRefNet's IoU: 0 / 0 where nothing is there and nothing found, no gradient elsewhere."""
    b = prepare(logits, target, mask)
    p = select(b.logits.sigmoid(), b.mask, b.logits.dtype)
    gap, total = image_sum((p - b.target).abs()), image_sum(p + b.target)
    values = torch.where(_nothing(b), 0 * total, 2 * gap / (total + gap))
    return reduce(values, reduction)


class FineTunesInPlace(nn.Module):
    """BiRefNet's last epochs: each one multiplies the weights anew, and a resume forgets it."""

    def __init__(self, factor: float = 0.9) -> None:
        """Start with the released weights of bce and mae."""
        super().__init__()
        self.weights = {"bce": 30.0, "mae": 100.0}
        self.factor, self.epoch = factor, 0.0

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        mask: Tensor | None = None,
        progress: float = 0.0,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Weighted bce and mae; a new late epoch first lowers the weight of mae."""
        if progress != self.epoch:
            self.epoch = progress
            self.weights["mae"] *= self.factor if progress > 0.5 else 1
        parts = {
            "bce": bce(logits, target, mask=mask, reduction=reduction),
            "mae": mae(logits, target, mask=mask, reduction=reduction),
        }
        return self.weights["bce"] * parts["bce"] + self.weights["mae"] * parts["mae"]


def learns_its_own_label(
    gradient_logits: Sequence[Tensor],
    coarse_logits: Sequence[Tensor],
    image: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """BiRefNet's gradient supervision: the label is not detached, so the mask head moves it."""
    labels = gradient_labels(coarse_logits, image, target, mask=mask, detach_target=False)
    total = image.new_zeros(target.shape[0])
    for z, label in zip(gradient_logits, labels, strict=True):
        b = prepare(upsample(z, target.shape[-2:]), label, mask)  # type: ignore[arg-type]
        total = total + image_mean(_per_pixel(b.logits, b.target), b.mask)
    return reduce(total, reduction)


def leans_to_one_side(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """BiRefNet's contour: slices that pair the differences of different pixels."""
    b = prepare(logits, target, mask)
    p = select(b.logits.sigmoid(), b.mask, b.logits.dtype)
    wide = F.pad(p, (1, 1, 1, 1), mode="replicate")
    down = wide.diff(dim=2)[:, :, 1:, :-2].square()
    right = wide.diff(dim=3)[:, :, :-2, 1:].square()
    length = select((down + right + 1e-8).sqrt() - 1e-4, b.mask, p.dtype)
    areas = p * (b.target - 1).square() + (1 - p) * b.target.square()
    return reduce(image_mean(10 * length + areas, b.mask), reduction)
