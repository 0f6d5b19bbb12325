"""Losses of text detectors after Differentiable Binarization (Liao et al., AAAI 2020).

Sources: MhLiao/DB (decoders), PaddleOCR (ppocr/losses/det_db_loss.py, det_basic_loss.py),
mmocr 1.x (models/common/losses, textdet/module_losses/db_module_loss.py), docTR
(models/detection/differentiable_binarization/pytorch.py).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "balance_l1",
    "balanced_cross_entropy",
    "dice",
    "doctr_db",
    "doctr_dice",
    "doctr_focal",
    "mask_l1",
    "mhliao_db",
    "mmocr_balanced_bce",
    "mmocr_db",
    "mmocr_smooth_l1",
    "paddle_balance",
    "paddle_db",
    "paddle_l1",
    "paper_db",
    "step",
]

EPS = 1e-6


def step(p: Tensor, threshold: Tensor, k: float = 50.0) -> Tensor:
    """1 / (1 + exp(-k (p - threshold))): exp overflows and its gradient is NaN."""
    return 1 / (1 + torch.exp(-k * (p - threshold)))


def balanced_cross_entropy(p: Tensor, t: Tensor, m: Tensor, ratio: float = 3.0) -> Tensor:
    """MhLiao/DB: the hardest negatives of the whole batch, soft pixels dropped by ``.byte()``.

    Without positives nothing is mined: value and gradient are 0.
    """
    positive, negative = (t * m).byte().to(p.dtype), ((1 - t) * m).byte().to(p.dtype)
    positives = int(positive.sum())
    mined = min(int(negative.sum()), int(positives * ratio))
    loss = F.binary_cross_entropy(p, t, reduction="none")
    hardest = torch.topk((loss * negative).flatten(), mined).values
    return ((loss * positive).sum() + hardest.sum()) / (positives + mined + EPS)


def dice(p: Tensor, t: Tensor, m: Tensor, eps: float = EPS) -> Tensor:
    """MhLiao/DB, PaddleOCR and mmocr: 1 - 2 S(p t) / (S(p) + S(t) + eps), S over the batch."""
    return 1 - 2 * (p * t * m).sum() / ((p * m).sum() + (t * m).sum() + eps)


def mask_l1(x: Tensor, y: Tensor, m: Tensor) -> Tensor:
    """MhLiao/DB: S(|x - y|) / S(1) over the mask; with an empty one its sum, without grad_fn."""
    area = m.sum()
    return area if area.item() == 0 else ((x - y).abs() * m).sum() / area


def balance_l1(x: Tensor, y: Tensor, m: Tensor, ratio: float = 3.0) -> Tensor:
    """MhLiao/DB: mean over the mask plus mean over the worst pixels beside it.

    0 / 0 where the mask is empty or full.
    """
    gap = (x - y).abs()
    positives = int(m.sum())
    mined = min(int((1 - m).sum()), int(positives * ratio))
    worst = torch.topk((gap * (1 - m)).flatten(), mined).values
    return (gap * m).sum() / positives + worst.sum() / mined


def mhliao_db(
    p: Tensor, threshold: Tensor, t: Tensor, y: Tensor, tm: Tensor, m: Tensor, k: float = 50.0
) -> Tensor:
    """L1BalanceCELoss: 5 balanced cross entropy + 10 masked L1 + Dice of the binary map."""
    binary = dice(step(p, threshold, k), t, m)
    return 5 * balanced_cross_entropy(p, t, m) + 10 * mask_l1(threshold, y, tm) + binary


def paper_db(
    p: Tensor, threshold: Tensor, t: Tensor, y: Tensor, tm: Tensor, m: Tensor, k: float = 50.0
) -> Tensor:
    """L = Ls + 1 Lb + 10 Lt (eq. 5); each a sum over its pixels (eq. 6 and 7), mined 3 : 1."""
    positives = float((t * m).byte().sum())
    mined = min(float(((1 - t) * m).byte().sum()), float(int(positives * 3)))
    pixels = positives + mined + EPS  # what the released code divides by
    both = [pixels * balanced_cross_entropy(x, t, m) for x in (p, step(p, threshold, k))]
    return both[0] + both[1] + 10 * ((threshold - y).abs() * tm).sum()


def paddle_balance(
    p: Tensor, t: Tensor, m: Tensor, ratio: float = 3.0, main: str = "dice"
) -> Tensor:
    """PaddleOCR BalanceLoss: mines negatives of a loss that with Dice is one number.

    A number times the masks is the same at every pixel, so that mining has no effect.
    """
    positive, negative = t * m, (1 - t) * m
    positives = int(positive.sum())
    mined = int(min(float(negative.sum()), positives * ratio))
    loss = dice(p, t, m) if main == "dice" else F.binary_cross_entropy(p, t, reduction="none")
    hardest = (negative * loss).flatten().sort(descending=True).values[:mined]
    return ((positive * loss).sum() + hardest.sum()) / (positives + mined + EPS)


def paddle_l1(x: Tensor, y: Tensor, m: Tensor) -> Tensor:
    """PaddleOCR MaskL1Loss: eps in the divisor, so that an empty mask gives 0."""
    return ((x - y).abs() * m).sum() / (m.sum() + EPS)


def paddle_db(
    p: Tensor, threshold: Tensor, t: Tensor, y: Tensor, tm: Tensor, m: Tensor, k: float = 50.0
) -> Tensor:
    """PaddleOCR DBLoss: alpha 5 balanced Dice + beta 10 masked L1 + Dice of the binary map."""
    binary = dice(step(p, threshold, k), t, m)
    return 5 * paddle_balance(p, t, m) + 10 * paddle_l1(threshold, y, tm) + binary


def mmocr_balanced_bce(
    p: Tensor, t: Tensor, m: Tensor, ratio: float = 3.0, fallback: int = 0, reduction: str = "none"
) -> Tensor:
    """mmocr MaskedBalancedBCELoss: soft pixels count in part, to both classes.

    With reduction="mean" the loss is one number before it meets the masks, and the ratio has no
    effect. Without positives ``fallback`` negatives are mined.
    """
    positive, negative = t * m, (1 - t) * m
    positives = int(positive.sum())
    wanted = int(positives * ratio) if positives else fallback
    mined = min(int(negative.sum()), wanted)
    loss = F.binary_cross_entropy(p, t, reduction=reduction)
    hardest = torch.topk((loss * negative).flatten(), mined).values
    return ((loss * positive).sum() + hardest.sum()) / (positives + mined + EPS)


def mmocr_smooth_l1(x: Tensor, y: Tensor, m: Tensor, beta: float = 0.0) -> Tensor:
    """mmocr MaskedSmoothL1Loss; beta 0, its setting for DB, is L1."""
    gap = F.smooth_l1_loss(x * m, y * m, reduction="none", beta=beta)
    return gap.sum() / (m.sum() + EPS)


def mmocr_db(
    p: Tensor, threshold: Tensor, t: Tensor, y: Tensor, tm: Tensor, m: Tensor, k: float = 50.0
) -> Tensor:
    """mmocr DBModuleLoss: 5 balanced bce + 10 smooth L1 (beta 0) + Dice of the binary map."""
    binary = dice(step(p, threshold, k), t, m)
    return 5 * mmocr_balanced_bce(p, t, m) + 10 * mmocr_smooth_l1(threshold, y, tm) + binary


def doctr_focal(z: Tensor, t: Tensor, m: Tensor, gamma: float = 2.0, alpha: float = 0.5) -> Tensor:
    """docTR: S(alpha_t (1 - p_t)^gamma l) / S(1) over the mask."""
    p = z.sigmoid()
    right = p * t + (1 - p) * (1 - t)
    weight = (alpha * t + (1 - alpha) * (1 - t)) * (1 - right) ** gamma
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    return (m * weight * bce).sum() / m.sum()


def doctr_dice(p: Tensor, t: Tensor, m: Tensor, eps: float = 1e-8) -> Tensor:
    """docTR: 1 - 2 (S(p t) + eps) / (S(p + t) + eps); -1 where both are empty."""
    return 1 - 2 * ((m * p * t).sum() + eps) / ((m * (p + t)).sum() + eps)


def doctr_db(
    z: Tensor, threshold: Tensor, t: Tensor, y: Tensor, tm: Tensor, m: Tensor, k: float = 50.0
) -> Tensor:
    """docTR DBNet: L1 + 10 focal (of logits) + Dice; fails where either mask is empty."""
    binary = doctr_dice(step(z.sigmoid(), threshold, k), t, m)
    gap = ((threshold - y).abs() * tm).sum() / (tm.sum() + 1e-8)
    return gap + 10 * doctr_focal(z, t, m) + binary
