"""Published formulas that the benchmarks time the losses against."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def structure(z: Tensor, t: Tensor) -> Tensor:
    """F3Net's line with the weighting that its paper means."""
    w = 1 + 5 * (F.avg_pool2d(t, 31, stride=1, padding=15) - t).abs()
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    wbce = (w * bce).sum((2, 3)) / w.sum((2, 3))
    p = z.sigmoid()
    inter, union = (p * t * w).sum((2, 3)), ((p + t) * w).sum((2, 3))
    return (wbce + 1 - (inter + 1) / (union - inter + 1)).mean()


def ssim(z: Tensor, t: Tensor) -> Tensor:
    """BiRefNet's SSIMLoss on probabilities."""
    return _ssim(z.sigmoid(), t)


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    taps = torch.tensor(
        [math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)], dtype=x.dtype, device=x.device
    )
    taps = taps / taps.sum()
    window = torch.outer(taps, taps).view(1, 1, 11, 11)

    def blur(v: Tensor) -> Tensor:
        return F.conv2d(v, window, padding=5)

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return 1 - (1 + score.mean()) / 2


def composite(maps: Sequence[Tensor], t: Tensor) -> Tensor:
    """BiRefNet's PixLoss: bce 30, iou .5, ssim 10 on every level."""
    loss = t.new_zeros(())
    for z in maps:
        up = F.interpolate(z, size=t.shape[2:], mode="bilinear", align_corners=True)
        p = up.sigmoid()
        iou = t.new_zeros(())
        for i in range(t.shape[0]):
            both = (t[i] * p[i]).sum()
            iou = iou + 1 - both / (t[i].sum() + p[i].sum() - both)
        loss = loss + 30 * F.binary_cross_entropy(p, t) + 0.5 * iou + 10 * _ssim(p, t)
    return loss
