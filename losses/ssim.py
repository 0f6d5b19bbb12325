"""SSIM loss: separable Gaussian windows, the target's own statistics computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_choice
from .contract import Batch, Reduction, image_mean, prepare, reduce
from .knobs import choice
from .registry import register
from .slopes import with_slope
from .views import look

SIDE, SIGMA = 11, 1.5
RADIUS = SIDE // 2
C1, C2 = 0.01**2, 0.03**2
Form = Literal["half", "basnet"]

__all__ = ["Form", "TargetStatistics", "ssim", "ssim_value", "target_statistics"]


@dataclass(frozen=True)
class TargetStatistics:
    """Windowed mean and variance of the target, and the weight that windows have, if masked."""

    mean: Tensor
    variance: Tensor
    coverage: Tensor | None


def _taps() -> list[float]:
    """Weights of the centre and of the pixels 1 to 5 away."""
    raw = [math.exp(-(i**2) / (2 * SIGMA**2)) for i in range(RADIUS + 1)]
    return [r / (2 * sum(raw) - 1) for r in raw]


def _fused_blur(x: Tensor, dim: int, taps: list[float]) -> Tensor:
    """The same as one expression: a compiler fuses it, and would copy y for every tap in place."""
    n, ends = x.shape[dim], (RADIUS, RADIUS)
    x = F.pad(x, ends if dim == -1 else (0, 0, *ends))
    y = taps[0] * x.narrow(dim, RADIUS, n)
    for away, tap in enumerate(taps[1:], start=1):
        y = y + tap * (x.narrow(dim, RADIUS - away, n) + x.narrow(dim, RADIUS + away, n))
    return y


def _blur_along(x: Tensor, dim: int) -> Tensor:
    n, taps = x.shape[dim], _taps()
    if torch.compiler.is_compiling():
        return _fused_blur(x, dim, taps)
    y = x * taps[0]
    for away, tap in enumerate(taps[1 : min(RADIUS, n - 1) + 1], start=1):
        y.narrow(dim, 0, n - away).add_(x.narrow(dim, away, n - away), alpha=tap)
        y.narrow(dim, away, n - away).add_(x.narrow(dim, 0, n - away), alpha=tap)
    return y


def blur(x: Tensor) -> Tensor:
    """11 x 11 Gaussian of sigma 1.5 with zero padding, (B,1,H,W); not for autograd.

    Added up in place, tap by tap, without a padded copy. It is its own adjoint.
    """
    return _blur_along(_blur_along(x, -1), -2)


def _means(maps: tuple[Tensor, ...], coverage: Tensor | None) -> tuple[Tensor, ...]:
    """Window means, ignored pixels left out."""
    if coverage is None:
        return tuple(blur(x) for x in maps)
    return tuple(blur(x) / coverage for x in maps)


def _coverage(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Share of each window that is not ignored; padding counts, as in the published form."""
    if mask is None:
        return None
    share = 1 - blur((~mask).to(dtype))
    return torch.where(mask, share, torch.ones_like(share))


def target_statistics(t: Tensor, mask: Tensor | None) -> TargetStatistics:
    """Compute what the target alone decides; share it between the levels of a batch."""
    with torch.no_grad():
        coverage = _coverage(mask, t.dtype)
        mean, square = _means((t, t * t), coverage)
    return TargetStatistics(mean, square - mean * mean, coverage)


@dataclass(frozen=True)
class _Windows:
    """What SSIM needs of each window.

    d and v are mean and variance of the error p - t, in which nothing cancels at p = t; mean is
    that of p; a and b are the two denominators of SSIM.
    """

    d: Tensor
    v: Tensor
    mean: Tensor
    a: Tensor
    b: Tensor


def _windows(e: Tensor, p: Tensor, stats: TargetStatistics) -> _Windows:
    d, squares, power = _means((e, e * e, p * p), stats.coverage)
    mean = stats.mean + d
    a = mean * mean + stats.mean.square() + C1
    return _Windows(d, squares - d * d, mean, a, power - mean * mean + stats.variance + C2)


def _map(w: _Windows) -> Tensor:
    """1 - SSIM per pixel: v / B + d^2 (B - v) / (A B)."""
    return (w.v + w.d.square() * (w.b - w.v) / w.a) / w.b


def _slope(e: Tensor, p: Tensor, w: _Windows, share: Tensor, stats: TargetStatistics) -> Tensor:
    """Derivative by p of the sum of share (1 - SSIM): by each window mean, then blurred back."""
    by_v = share * (w.a - w.d.square()) / (w.a * w.b)
    by_b = -by_v * w.v / w.b
    lean = share * w.d * (w.b - w.v) / (w.a * w.b)
    by_d = 2 * (lean - by_v * w.d - (lean * w.d / w.a + by_b) * w.mean)
    if stats.coverage is not None:
        by_d, by_v, by_b = (x / stats.coverage for x in (by_d, by_v, by_b))
    return blur(by_d) + 2 * (e * blur(by_v) + p * blur(by_b))


def ssim_terms(
    e: Tensor, p: Tensor, mask: Tensor | None, share: Tensor, stats: TargetStatistics, slope: bool
) -> tuple[Tensor, Tensor | None]:
    """(1 - SSIM) / 2 of each image, (B,), and its derivative by p if wanted; not for autograd.

    ``e`` is p - t, ``share`` what a pixel is of its image's mean; p and t are 0 where ignored.
    """
    windows = _windows(e, p, stats)
    value = image_mean(_map(windows), mask) / 2
    return value, _slope(e, p, windows, share / 2, stats) if slope else None


def ssim_value(b: Batch, stats: TargetStatistics) -> Tensor:
    """(1 - SSIM) / 2 of each image, (B,), its derivative by hand, so that one map is kept."""
    wanted = torch.is_grad_enabled() and b.logits.requires_grad
    with torch.no_grad():
        view = look(b)
        value, by_p = ssim_terms(view.error, view.p, b.mask, view.share, stats, wanted)
        if by_p is None:
            return value
        slope = view.by_logits(by_p)
    return with_slope(b.logits, value, slope)


_NEIGHBOURS = "windows overlap: structure of the neighbours can ask a pixel to leave its target"


@register(
    formula="S(1 - SSIM) / (2 S(1)), SSIM with 11 x 11 Gaussian windows of sigma 1.5",
    cite="wang2004ssim",
    knobs={"form": choice("half", "basnet")},
    breaks={5: _NEIGHBOURS, 6: _NEIGHBOURS},
    bounds=(0.0, 1.0),
)
def ssim(
    logits: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    form: Form = "half",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""SSIM loss, (1 - SSIM) / 2 with 11 x 11 Gaussian windows (Wang et al., TIP 2004).

    Sigma 1.5, C1 .01^2, C2 .03^2, zero padding, as BiRefNet has it; ``form`` "basnet" is
    1 - SSIM (CVPR 2019). Windows leave ignored pixels out. The target gets no
    gradient, and the loss can be differentiated once.
    Shapes (B,1,H,W); range [0, 1] ("basnet" [0, 2]), 0 iff p = t.

    Raises:
        ValueError: a shape or dtype that does not fit, or a knob out of its range.
    """
    check_choice("form", form, ("half", "basnet"))
    b = prepare(logits, target, mask)
    value = ssim_value(b, target_statistics(b.target, b.mask))
    return reduce(value if form == "half" else 2 * value, reduction)
