"""U-Net's border weights: between neighbouring objects a pixel weighs more."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label
from torch import Tensor

from .checks import check_target, is_number
from .contract import Reduction, full_precision, prepare, reduce, select
from .knobs import number
from .registry import register
from .structure import weighted_bce_value, weights_like

__all__ = ["unet_bce", "unet_weight"]


def _nearest_two(objects: NDArray[np.int32], count: int) -> tuple[NDArray[np.float64], ...]:
    """Distance in px of every pixel to its nearest and its second nearest object."""
    first = np.full(objects.shape, math.inf)
    second = first.copy()
    for k in range(1, count + 1):
        away = distance_transform_edt(objects != k)
        second = np.minimum(second, np.maximum(first, away))
        first = np.minimum(first, away)
    return first, second


def _weight_of(
    target: NDArray[np.float64], valid: NDArray[np.bool_], w0: float, sigma: float
) -> NDArray[np.float64]:
    inside = (target > 0.5) & valid
    share = inside.sum() / max(1, valid.sum())
    mixed = 0 < share < 1
    weight = np.where(inside, 0.5 / share, 0.5 / (1 - share)) if mixed else np.ones(inside.shape)
    objects, count = label(inside)
    if count >= 2:
        first, second = _nearest_two(objects, count)
        weight = weight + w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return weight


@full_precision
def unet_weight(
    target: Tensor, *, mask: Tensor | None = None, w0: float = 10.0, sigma: float = 5.0
) -> Tensor:
    r"""U-Net's weight map (Ronneberger et al., MICCAI 2015, eq. 2).

    .. math:: w = w_c + w_0 \exp(-(d_1 + d_2)^2 / (2 \sigma^2))

    d1 and d2 are the distances in px to the nearest and second nearest object, a connected
    component (4 neighbours) of t > .5; w_c = S(1) / (2 S(class)) balances the two classes, 1 where
    only one is there. With fewer than two objects w = w_c. Ignored pixels are background.
    Computed on the host with scipy, by a distance transform of the image for every object: make
    it with the data and hand it to ``weighted_bce`` or ``unet_bce`` as ``weight``.
    Shapes (B,1,H,W) -> (B,1,H,W); w0 >= 0; sigma > 0 px; range > 0.

    Raises:
        ValueError: a bad shape or dtype, a w0 that is no finite number >= 0, a sigma that is none
            above 0.
    """
    check_target(target, mask)
    if not is_number(w0) or not 0 <= w0 < math.inf:
        raise ValueError(f"w0={w0!r}: expected a number >= 0 that is finite; 10?")
    if not is_number(sigma) or not 0 < sigma < math.inf:
        raise ValueError(f"sigma={sigma!r}: expected a number of px > 0 that is finite; 5?")
    valid = torch.ones_like(target, dtype=torch.bool) if mask is None else mask.bool()
    images = select(target.detach(), valid, torch.float64).cpu().numpy()[:, 0]
    seen = valid.cpu().numpy()[:, 0]
    maps = [_weight_of(t, m, w0, sigma) for t, m in zip(images, seen, strict=True)]
    dtype = torch.float64 if target.dtype == torch.float64 else torch.float32
    return torch.from_numpy(np.stack(maps))[:, None].to(target.device, dtype)


@register(
    formula="S(w bce) / S(w), w = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))",
    knobs={"w0": number(0, 1e6), "sigma": number(1e-3, 1e6)},
    breaks={16: "the weights are made on the host, by scipy"},
    makers={"weight": unet_weight},
    cite="ronneberger2015unet",
)
def unet_bce(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    w0: float = 10.0,
    sigma: float = 5.0,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""BCE weighted by U-Net's border weights, S(w l) / S(w) (MICCAI 2015).

    ``weight`` takes a map that ``unet_weight`` made with the data; else it is made here, on the
    host. Shapes (B,1,H,W); w0 >= 0; sigma > 0 px; range [0, inf), minimum at p = t.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    if weight is None:
        weight = unet_weight(b.target, mask=b.mask, w0=w0, sigma=sigma)
    w = weights_like(weight, b.mask, b.target)
    return reduce(weighted_bce_value(b.logits, b.target, w), reduction)
