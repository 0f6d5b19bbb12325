"""F3Net's structure loss (Wei, Wang and Huang, AAAI 2020; weijun88/F3Net, train.py)."""

import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "boundary_weight",
    "structure",
    "structure_as_published",
    "structure_of_the_paper",
    "weighted_bce",
    "weighted_bce_as_published",
    "weighted_bce_of_the_paper",
    "weighted_iou",
]


def boundary_weight(t: Tensor, gamma: float = 5.0, window: int = 31) -> Tensor:
    """1 + gamma |mean over the window - t|, padding counted in the mean (eq. 3)."""
    mean = F.avg_pool2d(t, window, stride=1, padding=window // 2)
    return 1 + gamma * (mean - t).abs()


def weighted_bce(z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31) -> Tensor:
    """S(w l) / S(w) of each image, with reduction="none" as the code means it."""
    w = boundary_weight(t, gamma, window)
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    return (w * bce).sum((2, 3)) / w.sum((2, 3))


def weighted_bce_as_published(
    z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31
) -> Tensor:
    """S(w c) / S(w) with c the mean over the batch: what ``reduce='none'`` makes of it.

    The string is true, so torch averages, the weights cancel and gamma has no effect.
    """
    w = boundary_weight(t, gamma, window)
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="mean")
    return (w * bce).sum((2, 3)) / w.sum((2, 3))


def weighted_bce_of_the_paper(
    z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31
) -> Tensor:
    """S(w l) / S(gamma alpha), the paper's eq. 4: 0 / 0 where the target has no boundary."""
    w = boundary_weight(t, gamma, window)
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    return (w * bce).sum((2, 3)) / (w - 1).sum((2, 3))


def weighted_iou(z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31) -> Tensor:
    """1 - (S(w p t) + 1) / (S(w (p + t)) - S(w p t) + 1) of each image."""
    w = boundary_weight(t, gamma, window)
    p = z.sigmoid()
    both, total = (w * p * t).sum((2, 3)), (w * (p + t)).sum((2, 3))
    return 1 - (both + 1) / (total - both + 1)


def structure(z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31) -> Tensor:
    """The structure loss as its authors mean it."""
    return (weighted_bce(z, t, gamma, window) + weighted_iou(z, t, gamma, window)).mean()


def structure_as_published(z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31) -> Tensor:
    """The structure loss as released: its bce is the plain mean over the batch."""
    bce = weighted_bce_as_published(z, t, gamma, window)
    return (bce + weighted_iou(z, t, gamma, window)).mean()


def structure_of_the_paper(z: Tensor, t: Tensor, gamma: float = 5.0, window: int = 31) -> Tensor:
    """The structure loss with the paper's divisor in its bce."""
    bce = weighted_bce_of_the_paper(z, t, gamma, window)
    return (bce + weighted_iou(z, t, gamma, window)).mean()
