"""Losses of general use, in their published or commonly copied forms."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "class_balanced_bce",
    "dice",
    "focal",
    "iou",
    "lovasz_hinge",
    "objects_of",
    "tversky",
    "unet_weight",
    "vnet_dice",
]


def focal(z: Tensor, t: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Focal loss in torchvision's form (Lin et al., ICCV 2017), mean over the pixels."""
    p = z.sigmoid()
    right = p * t + (1 - p) * (1 - t)
    loss = F.binary_cross_entropy_with_logits(z, t, reduction="none") * (1 - right) ** gamma
    if alpha is not None:
        loss = (alpha * t + (1 - alpha) * (1 - t)) * loss
    return loss.mean()


def class_balanced_bce(z: Tensor, t: Tensor) -> Tensor:
    """HED (Xie and Tu, ICCV 2015, eq. 2), mean over each image; beta held in [.01, .99]."""
    values = []
    for logits, target in zip(z, t, strict=True):
        beta = float((1 - target).mean().clamp(0.01, 0.99))
        up = -beta * target * F.logsigmoid(logits)
        down = -(1 - beta) * (1 - target) * F.logsigmoid(-logits)
        values.append((up + down).mean())
    return torch.stack(values).mean()


def dice(p: Tensor, t: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Dice of each image (V-Net with sums instead of squares), then their mean."""
    both, total = (p * t).sum((1, 2, 3)), (p + t).sum((1, 2, 3))
    return (1 - (2 * both + smooth) / (total + smooth)).mean()


def vnet_dice(p: Tensor, t: Tensor, smooth: float = 1.0) -> Tensor:
    """Dice with squares in the divisor (Milletari et al., 3DV 2016)."""
    both, total = (p * t).sum((1, 2, 3)), (p * p + t * t).sum((1, 2, 3))
    return (1 - (2 * both + smooth) / (total + smooth)).mean()


def iou(p: Tensor, t: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Jaccard of each image, then their mean."""
    both, total = (p * t).sum((1, 2, 3)), (p + t).sum((1, 2, 3))
    return (1 - (both + smooth) / (total - both + smooth)).mean()


def tversky(
    p: Tensor, t: Tensor, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0
) -> Tensor:
    """Tversky loss (Salehi et al., MLMI 2017, eq. 3), alpha on false positives, with smoothing."""
    hit, extra, lack = (x.sum((1, 2, 3)) for x in (p * t, p * (1 - t), (1 - p) * t))
    return (1 - (hit + smooth) / (hit + alpha * extra + beta * lack + smooth)).mean()


def jaccard_gradient(sorted_target: Tensor) -> Tensor:
    """Growth of the Jaccard loss with every further error (Berman et al., alg. 1)."""
    total = sorted_target.sum()
    intersection = total - sorted_target.cumsum(0)
    union = total + (1 - sorted_target).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def lovasz_hinge(z: Tensor, t: Tensor) -> Tensor:
    """Lovasz hinge per image (Berman, Triki and Blaschko, CVPR 2018), binary targets."""
    values = []
    for logits, target in zip(z.flatten(1), t.flatten(1), strict=True):
        errors = 1 - logits * (2 * target - 1)
        errors, order = errors.sort(descending=True)
        values.append(errors.relu() @ jaccard_gradient(target[order]))
    return torch.stack(values).mean()


Pixel = tuple[int, int]


def objects_of(inside: Tensor) -> list[list[Pixel]]:
    """Pixels of each object of a boolean (H,W) map, filled from a seed by its 4 neighbours."""
    rest = {(int(row), int(column)) for row, column in inside.nonzero()}
    objects = []
    while rest:
        front, found = [rest.pop()], []
        while front:
            row, column = front.pop()
            found.append((row, column))
            beside = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
            front += beside & rest
            rest -= beside
        objects.append(found)
    return objects


def _nearest_two(objects: list[list[Pixel]], row: int, column: int) -> list[float]:
    """Distances from a pixel to the nearest and the second nearest object, one by one."""
    distances = [min(math.hypot(y - row, x - column) for y, x in pixels) for pixels in objects]
    return sorted(distances)[:2]


def unet_weight(t: Tensor, w0: float = 10.0, sigma: float = 5.0) -> Tensor:
    """U-Net's weights (Ronneberger et al., MICCAI 2015, eq. 2), pixel by pixel, of (B,1,H,W).

    Objects are components with 4 neighbours of t > .5; classes weigh 1 / (2 share).
    """
    result = torch.ones_like(t)
    for inside, weight in zip(t[:, 0] > 0.5, result[:, 0], strict=True):
        share = int(inside.sum()) / inside.numel()
        objects = objects_of(inside)
        for row in range(inside.shape[0]):
            for column in range(inside.shape[1]):
                if 0 < share < 1:
                    weight[row, column] = 1 / (2 * (share if inside[row, column] else 1 - share))
                if len(objects) >= 2:
                    apart = sum(_nearest_two(objects, row, column))
                    weight[row, column] += w0 * math.exp(-(apart**2) / (2 * sigma**2))
    return result
