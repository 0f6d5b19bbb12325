"""BiRefNet's losses (Zheng et al., CAAI AIR 2024; ZhengPeng7/BiRefNet, loss.py and train.py)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .f3net import structure

__all__ = [
    "RELEASED",
    "TERMS",
    "contour",
    "fine_tune",
    "gradient_labels",
    "gradient_supervision",
    "iou",
    "laplacian",
    "patch_iou",
    "pixel",
    "ssim",
    "structure_of_probabilities",
    "threshold",
    "upsampled",
]

RELEASED = {
    "DIS5K": {"bce": 30.0, "iou": 0.5, "ssim": 10.0},
    "General": {"bce": 30.0, "iou": 0.5, "ssim": 10.0, "mae": 100.0},
    "Matting": {"bce": 30.0, "ssim": 10.0, "mae": 100.0},
}


def iou(p: Tensor, t: Tensor) -> Tensor:
    """IoULoss: summed over the batch, no smoothing; 0 / 0 where p and t are empty."""
    total = torch.zeros((), dtype=p.dtype)
    for x, y in zip(p, t, strict=True):
        both = (x * y).sum()
        total = total + 1 - both / (x.sum() + y.sum() - both)
    return total


def patch_iou(p: Tensor, t: Tensor, window: int = 64) -> Tensor:
    """PatchIoULoss: loops over batch and channels where height and width were meant.

    With up to 64 images only the patch at the top left is ever looked at.
    """
    total = torch.zeros((), dtype=p.dtype)
    for top in range(0, t.shape[0], window):
        for left in range(0, t.shape[1], window):
            rows, columns = slice(top, top + window), slice(left, left + window)
            total = total + iou(p[:, :, rows, columns], t[:, :, rows, columns])
    return total


def ssim(p: Tensor, t: Tensor) -> Tensor:
    """SSIMLoss: 11 x 11 Gaussian of sigma 1.5, zero padding, (1 - SSIM) / 2 over the batch."""
    taps = torch.tensor([math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)], dtype=p.dtype)
    taps = (taps / taps.sum()).to(p.device)
    window = torch.outer(taps, taps).view(1, 1, 11, 11)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(x, window, padding=5)

    mp, mt = blur(p), blur(t)
    vp, vt, vpt = blur(p * p) - mp**2, blur(t * t) - mt**2, blur(p * t) - mp * mt
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mp * mt + c1) * (2 * vpt + c2)) / ((mp**2 + mt**2 + c1) * (vp + vt + c2))
    return 1 - (1 + score.mean()) / 2


def contour(p: Tensor, t: Tensor, length: float = 10.0) -> Tensor:
    """ContourLoss: its slices pair differences of different pixels, so that flips change it."""
    down = p[:, :, 1:, :] - p[:, :, :-1, :]
    right = p[:, :, :, 1:] - p[:, :, :, :-1]
    squared = down[:, :, 1:, :-2] ** 2 + right[:, :, :-2, 1:] ** 2
    inside, outside = (p * (t - 1) ** 2).mean(), ((1 - p) * t**2).mean()
    return length * (squared.abs() + 1e-8).sqrt().mean() + inside + outside


def structure_of_probabilities(p: Tensor, t: Tensor) -> Tensor:
    """StructureLoss as PixLoss calls it: sigmoid is applied to a probability."""
    return structure(p, t)


def threshold(p: Tensor, t: Tensor) -> Tensor:  # noqa: ARG001
    """ThrReg_loss: mean of 1 - (p^2 + (p - 1)^2), which asks for p away from .5."""
    return (1 - (p**2 + (p - 1) ** 2)).mean()


TERMS = {
    "bce": F.binary_cross_entropy,
    "iou": iou,
    "patch_iou": patch_iou,
    "ssim": ssim,
    "mae": F.l1_loss,
    "mse": F.mse_loss,
    "threshold": threshold,
    "contour": contour,
    "structure": structure_of_probabilities,
}


def upsampled(z: Tensor, like: Tensor) -> Tensor:
    """Bilinear, corners aligned, to the size of another map."""
    return F.interpolate(z, size=like.shape[2:], mode="bilinear", align_corners=True)


def pixel(levels: list[Tensor], t: Tensor, weights: dict[str, float]) -> Tensor:
    """PixLoss: the weighted terms of sigmoid(level), added over the levels."""
    total = torch.zeros((), dtype=t.dtype)
    for z in levels:
        p = (z if z.shape == t.shape else upsampled(z, t)).sigmoid()
        for name, weight in weights.items():
            total = total + weight * TERMS[name](p, t)
    return total


def fine_tune(
    weights: dict[str, float], epoch: int, epochs: int, last: int, task: str = "DIS5K"
) -> None:
    """Change the weights in place at the start of an epoch, as the training loop does.

    ``last`` is negative: -40 for DIS5K, -10 for Matting, else -20. The factors are applied anew
    in every one of the last epochs, so that iou ends at .5^40, and a resumed run starts from 1.
    """
    if epoch <= epochs + last:
        return
    factors = (
        {"mse": 0.9, "ssim": 0.9} if task == "Matting" else {"bce": 0, "iou": 0.5, "mae": 0.9}
    )
    for name in factors.keys() & weights.keys():
        weights[name] *= factors[name]


def laplacian(x: Tensor) -> Tensor:
    """kornia's laplacian(x, 5): 24 in the centre, -1 around, over 48, borders reflected."""
    kernel = torch.ones(1, 1, 5, 5, dtype=x.dtype, device=x.device)
    kernel[0, 0, 2, 2] = -24
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel / 48)


def gradient_labels(coarse: list[Tensor], image: Tensor) -> list[Tensor]:
    """sigmoid(laplacian x coarse logits), not detached: the loss reaches the mask head by it."""
    edges = laplacian(image.mean(1, keepdim=True))
    return [(edges * upsampled(z, edges)).sigmoid() for z in coarse]


def gradient_supervision(predicted: list[Tensor], coarse: list[Tensor], image: Tensor) -> Tensor:
    """BCE of the predicted gradients against their labels, added over the stages."""
    total = torch.zeros((), dtype=image.dtype)
    for z, label in zip(predicted, gradient_labels(coarse, image), strict=True):
        total = total + F.binary_cross_entropy(upsampled(z, label).sigmoid(), label)
    return total
