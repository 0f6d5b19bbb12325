"""Pixel losses for rare foreground: class-balanced BCE and the focal loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .contract import (
    Batch,
    Reduction,
    image_mean,
    prepare,
    reduce,
    safe_ratio,
)
from .knobs import number
from .pixel import bce, bce_map
from .registry import Limit, register
from .slopes import with_slope
from .views import look

_SHIFTED = "weights of the two classes differ: the minimum for a soft target is not at p = t"

__all__ = ["class_balanced_bce", "focal"]


@register(
    formula="S(beta t log 1/p + (1 - beta) (1 - t) log 1/(1 - p)) / S(1), beta = S(1 - t) / S(1)",
    knobs={"pos_weight": number(0, 1e6, optional=True)},
    breaks={10: _SHIFTED},
    claims=("convex", "pixel_mean"),
    limits=(Limit({"pos_weight": 1.0}, bce),),
    cite="xie2015hed",
    gradgrad=True,
)
def class_balanced_bce(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    pos_weight: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""BCE whose classes weigh as the other one is frequent (HED, ICCV 2015).

    .. math:: S(m (\beta\, t\, l^+ + (1 - \beta)(1 - t)\, l^-)) / S(m),
              \quad \beta = S(m (1 - t)) / S(m) \in [.01, .99]

    beta is of each image and is clamped, as an empty target would otherwise have neither value
    nor gradient: 2 % positives weigh 49 times as much as negatives. A number for ``pos_weight``
    weighs positives by it and negatives by 1 instead.
    Shapes (B,1,H,W); range [0, inf), 0 iff p = t for a binary target.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    z, t = b.logits, b.target
    up, down = t * F.softplus(-z), (1 - t) * F.softplus(z)
    if pos_weight is not None:
        return reduce(image_mean(pos_weight * up + down, b.mask), reduction)
    beta = image_mean(1 - t, b.mask).clamp(0.01, 0.99).view(-1, 1, 1, 1)
    return reduce(image_mean(beta * up + (1 - beta) * down, b.mask), reduction)


def focal_value(b: Batch, gamma: float, alpha: float | None) -> Tensor:
    """Focal loss of each image, (B,), its derivative by hand.

    By autograd the power's derivative is infinite where p_t is 1 and gamma below 1, though the
    product with bce is not.
    """
    wanted = torch.is_grad_enabled() and b.logits.requires_grad
    with torch.no_grad():
        t, view = b.target, look(b)
        miss = view.p * (1 - t) + view.rest * t
        fade = miss**gamma
        if alpha is not None:
            fade = fade * (alpha * t + (1 - alpha) * (1 - t))
        entropy = bce_map(b.logits, t)
        value = image_mean(fade * entropy, b.mask)
        if not wanted:
            return value
        steep = safe_ratio(view.p * view.rest, miss) * (gamma * (1 - 2 * t))
        slope = view.share * fade * (view.error + steep * entropy)
    return with_slope(b.logits, value, slope)


@register(
    formula="S(m (1 - p_t)^gamma bce) / S(m), p_t = p t + (1 - p) (1 - t)",
    knobs={"gamma": number(0, 20), "alpha": number(0, 1, optional=True)},
    breaks={10: "the focusing factor of a soft target is least at another place than p = t"},
    claims=("pixel_mean",),
    limits=(Limit({"gamma": 0.0}, bce),),
    cite="lin2017focal",
)
def focal(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    gamma: float = 2.0,
    alpha: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Focal loss: BCE that fades where a pixel is right already (RetinaNet, ICCV 2017).

    .. math:: S(m\, (1 - p_t)^\gamma\, l) / S(m), \quad p_t = p t + (1 - p)(1 - t)

    ``alpha`` in [0, 1] weighs positives by alpha and negatives by 1 - alpha. The gradient is
    finite for gamma below 1 too, where the power has none at p_t = 1. The target gets no
    gradient, and the loss can be differentiated once.
    Shapes (B,1,H,W); range [0, inf), 0 iff p = t for a binary target; gamma 0 is bce.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    b = prepare(logits, target, mask)
    return reduce(focal_value(b, gamma, alpha), reduction)
