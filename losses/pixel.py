"""Pixel losses: a per-pixel map, averaged over the valid pixels of each image."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .boundary import boundary_region
from .checks import check_beside, check_choice, check_progress
from .contract import Reduction, image_mean, prepare, reduce, select
from .knobs import choice, number
from .registry import Limit, register
from .slopes import probability

Objective = Literal["bce", "mae", "mse", "hybrid", "region_adaptive", "progressive", "none"]
OBJECTIVES = ("bce", "mae", "mse", "hybrid", "region_adaptive", "progressive", "none")
Mode = Literal["add", "replace", "reverse_add", "reverse"]
MODES = ("add", "replace", "reverse_add", "reverse")

__all__ = ["Mode", "Objective", "bce", "hybrid", "mae", "mse", "progressive", "region_adaptive"]


def bce_map(z: Tensor, t: Tensor) -> Tensor:
    """Binary cross entropy per pixel, from logits."""
    return F.binary_cross_entropy_with_logits(z, t, reduction="none")


def mae_map(z: Tensor, t: Tensor) -> Tensor:
    """|p - t| per pixel."""
    return (probability(z) - t).abs()


def mse_map(z: Tensor, t: Tensor) -> Tensor:
    """(p - t)^2 per pixel."""
    return (probability(z) - t).square()


def progressive_weights(progress: float | None, mode: Mode) -> tuple[float, float]:
    """Weights of bce and mae at ``progress``.

    The ramp w rises from 0 to 1 over u in [.5, 1]. add: (1, w); replace: (1 - w, w);
    reverse_add: (1, 1 - w); reverse: (w, 1 - w).
    """
    check_choice("mode", mode, MODES)
    w = min(max(2 * check_progress(progress, "progressive") - 1, 0.0), 1.0)
    if mode == "add":
        return 1.0, w
    if mode == "replace":
        return 1 - w, w
    return (1.0, 1 - w) if mode == "reverse_add" else (w, 1 - w)


@register(
    formula="S(m (log(1 + e^z) - t z)) / S(m)",
    claims=("convex", "pixel_mean"),
    cite="good1952rational",
    gradgrad=True,
)
def bce(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    r"""Binary cross entropy from logits.

    .. math:: S(m \, l) / S(m), \quad l = \log(1 + e^z) - t z

    Shapes (B,1,H,W); range [0, inf), 0 iff p = t for a binary target; for a soft target the
    minimum is the target's entropy, at p = t. Source: Good, 1952.

    Raises:
        ValueError: a shape or dtype that does not fit.
    """
    b = prepare(logits, target, mask)
    return reduce(image_mean(bce_map(b.logits, b.target), b.mask), reduction)


@register(
    formula="S(m |p - t|) / S(m)",
    claims=("pixel_mean",),
    cite="ghosh2017robust",
    bounds=(0.0, 1.0),
)
def mae(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    r"""Mean absolute error of the probabilities, S(m |p - t|) / S(m).

    Shapes (B,1,H,W); range [0, 1], 0 iff p = t. Source: Ghosh et al., AAAI 2017.

    Raises:
        ValueError: a shape or dtype that does not fit.
    """
    b = prepare(logits, target, mask)
    return reduce(image_mean(mae_map(b.logits, b.target), b.mask), reduction)


@register(
    formula="S(m (p - t)^2) / S(m)",
    claims=("pixel_mean",),
    cite="brier1950verification",
    bounds=(0.0, 1.0),
    gradgrad=True,
)
def mse(
    logits: Tensor, target: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    r"""Mean squared error of the probabilities, S(m (p - t)^2) / S(m).

    Shapes (B,1,H,W); range [0, 1], 0 iff p = t. Source: Brier, 1950.

    Raises:
        ValueError: a shape or dtype that does not fit.
    """
    b = prepare(logits, target, mask)
    return reduce(image_mean(mse_map(b.logits, b.target), b.mask), reduction)


@register(
    formula="lam bce + (1 - lam) mae",
    knobs={"lam": number(0, 1)},
    claims=("pixel_mean",),
    limits=(Limit({"lam": 1.0}, bce), Limit({"lam": 0.0}, mae)),
)
def hybrid(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    lam: float = 0.5,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""lam bce + (1 - lam) mae; lam 1 is bce and lam 0 is mae.

    Shapes (B,1,H,W); lam in [0, 1]; range [0, inf), minimum at p = t.

    Raises:
        ValueError: a shape or dtype that does not fit, a lam outside [0, 1].
    """
    b = prepare(logits, target, mask)
    parts = lam * bce_map(b.logits, b.target) + (1 - lam) * mae_map(b.logits, b.target)
    return reduce(image_mean(parts, b.mask), reduction)


def regional_map(z: Tensor, t: Tensor, region: Tensor) -> Tensor:
    """R bce + (1 - R) mae per pixel."""
    return region * bce_map(z, t) + (1 - region) * mae_map(z, t)


@register(
    formula="S(m (R bce + (1 - R) mae)) / S(m), R = |box(t) - t| over its maximum",
    makers={"region": boundary_region},
)
def region_adaptive(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    region: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""bce near the boundary, mae elsewhere: S(m (R bce + (1 - R) mae)) / S(m).

    ``region`` R in [0, 1] has the target's shape; by default it is |box(t) - t| over its
    greatest value in the image (``boundary_region``), 0 everywhere where there is no boundary.
    Shapes (B,1,H,W); range [0, inf), minimum at p = t.

    Raises:
        ValueError: a shape or dtype that does not fit, of the region too.
    """
    b = prepare(logits, target, mask)
    if region is None:
        region = boundary_region(b.target, mask=b.mask)
    r = select(check_beside("region", region, b.target), b.mask, b.logits.dtype)
    return reduce(image_mean(regional_map(b.logits, b.target, r), b.mask), reduction)


@register(
    formula="bce + w mae, w from 0 to 1 over the second half of training",
    knobs={"mode": choice(*MODES)},
    claims=("pixel_mean",),
)
def progressive(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    mode: Mode = "add",
    progress: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""bce joined or replaced by mae in the second half of training.

    The weight w of mae rises from 0 to 1 over progress u in [.5, 1]. ``mode``: "add" bce + w mae,
    "replace" (1 - w) bce + w mae, and as controls "reverse_add" bce + (1 - w) mae and "reverse"
    w bce + (1 - w) mae. Shapes (B,1,H,W); range [0, inf), minimum at p = t.

    Raises:
        ValueError: a shape, dtype or mode that does not fit; no progress, or one that is no
            number in [0, 1].
    """
    b = prepare(logits, target, mask)
    w_bce, w_mae = progressive_weights(progress, mode)
    parts = w_bce * bce_map(b.logits, b.target) + w_mae * mae_map(b.logits, b.target)
    return reduce(image_mean(parts, b.mask), reduction)


def zero(z: Tensor) -> Tensor:
    """0 per image with a grad_fn and gradient 0, whatever stands in ``z``."""
    never = torch.zeros_like(z, dtype=torch.bool)
    return torch.where(never, z, torch.zeros_like(z)).sum(dim=(1, 2, 3))
