"""Terms of BiRefNet's pixel loss with their derivatives by hand, one map kept for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .contract import Batch, image_mean, image_sum, safe_ratio
from .overlap import Denominator, Empty, overlap_sums
from .pixel import bce_map
from .slopes import with_slope
from .ssim import TargetStatistics, ssim_terms
from .views import View, each, look

Others = Mapping[str, tuple[float, Callable[[Batch], Tensor]]]
Pair = tuple[Tensor, Tensor | None]  # value (B,), derivative by p (B,1,H,W) where wanted

__all__ = ["Terms", "joined"]


@dataclass(frozen=True)
class Terms:
    """Weights of the terms, and the form of iou."""

    bce: float
    iou: float
    ssim: float
    mae: float
    mse: float
    threshold: float
    denominator: Denominator
    empty: Empty
    batch_sum: bool


def _mae(view: View, wanted: bool) -> Pair:
    value = image_sum(view.error.abs() * view.share)
    return value, view.error.sign() * view.share if wanted else None


def _mse(view: View, wanted: bool) -> Pair:
    value = image_sum(view.error.square() * view.share)
    return value, 2 * view.error * view.share if wanted else None


def _iou(b: Batch, view: View, how: Terms, wanted: bool) -> Pair:
    """Unsmoothed IoU, miss / union with union = (area + miss) / 2."""
    area, miss = overlap_sums(b, how.denominator, how.empty, view.p)
    union = (area + miss) / 2
    value = safe_ratio(miss, union)
    times = b.logits.shape[0] if how.batch_sum else 1
    if not wanted:
        return times * value, None
    empty = image_sum(b.target, b.mask) == 0
    of_back = empty.view(-1, 1, 1, 1) & (how.empty == "background")
    if how.denominator == "squared":
        by_area, by_miss = 2 * view.p - 2 * of_back, 2 * view.error
    else:
        l1 = how.denominator == "l1"
        by_area, by_miss = 1 - 2 * of_back.to(area), view.error.sign() if l1 else 1 - 2 * b.target
    of_miss = times * safe_ratio(1 - value / 2, union)
    of_area = -times * safe_ratio(value / 2, union)
    return times * value, each(of_miss) * by_miss + each(of_area) * by_area


def _threshold(view: View, wanted: bool) -> Pair:
    """1 - p^2 - (1 - p)^2, written 2 p (1 - p)."""
    value = image_sum(2 * view.p * view.rest * view.share)
    return value, 2 * (view.rest - view.p) * view.share if wanted else None


def _by_autograd(b: Batch, term: Callable[[Batch], Tensor], wanted: bool) -> Pair:
    """Value and derivative by the logits of a term, its graph freed at once."""
    with torch.set_grad_enabled(wanted):
        z = b.logits.detach().requires_grad_(wanted)
        value = term(Batch(z, b.target, b.mask))
        slope = torch.autograd.grad(value.sum(), z)[0] if wanted else None
    return value.detach(), slope


def joined(
    b: Batch, how: Terms, stats: TargetStatistics | None, others: Others
) -> tuple[dict[str, Tensor], Tensor]:
    """Weighted values (B,) of the terms, and zeros (B,) that carry the gradient of their sum."""
    wanted = torch.is_grad_enabled() and b.logits.requires_grad
    with torch.no_grad():
        view = look(b)
        terms: dict[str, tuple[float, Callable[[], Pair]]] = {
            "iou": (how.iou, lambda: _iou(b, view, how, wanted)),
            "mae": (how.mae, lambda: _mae(view, wanted)),
            "mse": (how.mse, lambda: _mse(view, wanted)),
            "threshold": (how.threshold, lambda: _threshold(view, wanted)),
        }
        if stats is not None:
            terms["ssim"] = (
                how.ssim,
                lambda: ssim_terms(view.error, view.p, b.mask, view.share, stats, wanted),
            )
        values, by_p = {}, torch.zeros_like(view.share)
        for name, (weight, term) in terms.items():
            if weight:
                value, slope = term()
                values[name] = weight * value
                by_p = by_p if slope is None else by_p + weight * slope
        slope = view.by_logits(by_p)
        if how.bce:
            values["bce"] = how.bce * image_mean(bce_map(b.logits, b.target), b.mask)
            slope = slope + how.bce * view.share * view.error
        for name, (weight, fn) in others.items():
            if weight and not torch.compiler.is_compiling():
                value, by_z = _by_autograd(b, fn, wanted)
                values[name] = weight * value
                slope = slope if by_z is None else slope + weight * by_z
    if torch.compiler.is_compiling():  # the compiler decides itself what to keep
        values |= {name: weight * fn(b) for name, (weight, fn) in others.items() if weight}
    carrier = b.logits.detach().new_zeros(b.logits.shape[0])
    return values, with_slope(b.logits, carrier, slope) if wanted else carrier
