"""What the losses are timed against: published formulas, called as their projects call them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.upstream import birefnet, f3net, text

WEIGHTS = {"bce": 30.0, "iou": 0.5, "ssim": 10.0}


def structure(z: Tensor, t: Tensor) -> Tensor:
    """F3Net's structure loss as its authors mean it.

    Put together here because ``f3net.structure`` makes the weights once for each of its terms,
    where the published code makes them once: twice the time would be no fair reference.
    """
    w = f3net.boundary_weight(t)
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    p = z.sigmoid()
    both, total = (w * p * t).sum((2, 3)), (w * (p + t)).sum((2, 3))
    value = (w * bce).sum((2, 3)) / w.sum((2, 3)) + 1 - (both + 1) / (total - both + 1)
    return value.mean()


def ssim(z: Tensor, t: Tensor) -> Tensor:
    """BiRefNet's SSIMLoss."""
    return birefnet.ssim(z.sigmoid(), t)


def composite(levels: list[Tensor], t: Tensor) -> Tensor:
    """BiRefNet's PixLoss with its weights for DIS, levels upsampled."""
    return birefnet.pixel(levels, t, WEIGHTS)


def sorted_bce(z: Tensor, t: Tensor) -> Tensor:
    """Balanced BCE over the batch, its negatives found by a full sort (PaddleOCR)."""
    return text.paddle_balance(z.sigmoid(), t, torch.ones_like(t), main="bce")


def topk_bce(z: Tensor, t: Tensor) -> Tensor:
    """Balanced BCE over the batch, its negatives found by topk (MhLiao/DB)."""
    return text.balanced_cross_entropy(z.sigmoid(), t, torch.ones_like(t))


def by_image(z: Tensor, t: Tensor) -> Tensor:
    """The sorted form image by image: the mean that a loss with statistics of an image is."""
    pairs = zip(z.split(1), t.split(1), strict=True)
    return torch.stack([sorted_bce(a, b) for a, b in pairs]).mean()
