"""Patch IoU: the mean soft IoU over a tiling of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_choice
from .contract import Batch, Reduction, image_sum, prepare, reduce, safe_ratio, select
from .knobs import flag, integer
from .overlap import DENOMINATORS, EMPTY, KNOBS, Denominator, Empty
from .registry import register
from .slopes import probability

__all__ = ["patch_iou"]


def _tiles(x: Tensor, side: int) -> Tensor:
    """Sums over side x side tiles, (B,1,H,W) -> (B, rows, columns); the last ones may be cut."""
    h, w = x.shape[-2:]
    x = F.pad(x, (0, -w % side, 0, -h % side)).squeeze(1)
    b, rows, columns = x.shape
    return x.view(b, rows // side, side, columns // side, side).sum(dim=(2, 4))


def _terms(p: Tensor, t: Tensor, form: Denominator) -> tuple[Tensor, Tensor, Tensor]:
    """|P| + |T|, the same of the background, and the miss, per pixel."""
    if form == "squared":
        back = (1 - p).square() + (1 - t).square()
        return p.square() + t.square(), back, (p - t).square()
    miss = (p - t).abs() if form == "l1" else p * (1 - t) + t * (1 - p)
    return p + t, 2 - p - t, miss


def patch_value(b: Batch, window: int, smooth: float, form: Denominator, empty: Empty) -> Tensor:
    """Mean over the tiles with valid pixels of each one's IoU loss, (B,)."""
    check_choice("denominator", form, DENOMINATORS)
    check_choice("empty", empty, EMPTY)
    terms = _terms(probability(b.logits), b.target, form)
    area, back, miss = (_tiles(select(x, b.mask, x.dtype), window) for x in terms)
    if empty == "background":
        area = torch.where(_tiles(b.target, window) == 0, back, area)
    value = safe_ratio(miss, (area + miss) / 2 + smooth).flatten(1)
    if b.mask is None:
        return value.mean(1)
    seen = _tiles(b.mask.to(value.dtype), window).flatten(1) > 0
    return (value * seen).sum(1) / seen.sum(1).clamp(min=1)


def published_patch(b: Batch) -> Tensor:
    """BiRefNet's PatchIoULoss: the IoU of the top left 64 x 64 px, summed over the batch."""
    p, t = probability(b.logits)[..., :64, :64], b.target[..., :64, :64]
    m = None if b.mask is None else b.mask[..., :64, :64]
    both = image_sum(p * t, m)
    union = image_sum(p + t, m) - both
    return safe_ratio(union - both, union) * b.logits.shape[0]


@register(
    formula="mean over window x window tiles of iou",
    knobs={"window": integer(1, 4096), **KNOBS, "as_published": flag()},
    breaks={4: "where the size is no multiple of the window, the tiling starts at the top left"},
    cite="zheng2024birefnet",
    bounds=(0.0, 1.0),
)
def patch_iou(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    window: int = 64,
    smooth: float = 1.0,
    denominator: Denominator = "l1",
    empty: Empty = "background",
    as_published: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Soft IoU loss of every tile of the image, averaged (BiRefNet, CAAI AIR 2024).

    Tiles of window x window px from the top left, cut at the other ends; those without a valid
    pixel are left out. Other knobs as in ``iou``, the rule for empty targets tile by tile.
    ``as_published`` is BiRefNet's code: it loops over the batch and channel axes, sees the top
    left 64 x 64 px alone, and sums over the batch; the other knobs do nothing then. Where p and
    t are 0 in all of them it is 0 / 0: 0 here, NaN there.
    Shapes (B,1,H,W); range [0, 1], 0 iff p = t ("l1", "squared").

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    if as_published:
        return reduce(published_patch(b), reduction)
    return reduce(patch_value(b, window, smooth, denominator, empty), reduction)
