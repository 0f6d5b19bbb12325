"""Laws about inputs: ignored pixels, degenerate masks, dtypes, repetition."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .cases import NEARLY, Case
from .subjects import Subject, evaluate, takes_mask, truth
from .tools import any_pixel, close, demand, gradients, one_valid_pixel, spread_out

# NaN spreads the most; the others are mixed, as each may be caught by some guard.
JUNK = ((math.nan,), (math.inf, -math.inf, 1e30, -1e30))


def _spoil(x: Tensor, where: Tensor, junk: tuple[float, ...]) -> Tensor:
    if x.shape[2:] != where.shape[2:] or not x.is_floating_point():
        return x
    values = torch.tensor(junk, dtype=x.dtype)[torch.arange(x.numel()).view(x.shape) % len(junk)]
    return torch.where(where, values, x)


def ignored_pixels_are_inert(loss: Subject, case: Case) -> bool:
    """NaN and Inf at ignored pixels change neither value nor gradient, which is 0 there."""
    demand(takes_mask(loss), "takes no mask")
    if case.mask is None or bool(case.valid.all()):
        return False
    ignored, empty = ~case.valid, ~any_pixel(case.valid)
    values, slopes = gradients(loss, case)
    demand(not values[empty].any(), "no valid pixel, yet a value")
    for slope in slopes:
        away = ignored if slope.shape == ignored.shape else spread_out(empty)
        moved = torch.where(away, slope, torch.zeros_like(slope)).any()
        demand(not moved, "an ignored pixel has a gradient")
    for junk in JUNK:
        spoilt = replace(
            case,
            predictions=tuple(_spoil(z, ignored, junk) for z in case.predictions),
            target=_spoil(case.target, ignored, junk),
            beside=tuple(_spoil(x, ignored, junk) for x in case.beside),
            given=tuple(_spoil(x, ignored, junk) for x in case.given),
        )
        again, again_slopes = gradients(loss, spoilt)
        same = torch.equal(values, again) and all(map(torch.equal, slopes, again_slopes))
        demand(same, f"{junk[0]} at ignored pixels is felt")
    return True


def degenerate_cases_are_finite(loss: Subject, case: Case) -> bool:
    """Finite values and gradients; a false alarm on an empty truth and a near-1 miss are felt."""
    pixel = one_valid_pixel(case)
    case = case.predicting([_wrong(case, z, pixel) for z in case.predictions])
    values, slopes = gradients(loss, case)
    finite = all(bool(torch.isfinite(x).all()) for x in (values, *slopes))
    demand(finite, "value or gradient is not finite")
    reached = case.kind == "gradient"
    for t, slope in zip(truth(loss, case), slopes, strict=False):
        if slope.shape != pixel.shape:
            continue
        alarm = pixel & spread_out(~any_pixel((t != 0) & case.valid))
        demand((slope[alarm] != 0).all(), "empty target: a false positive has gradient 0")
        miss = pixel & (t > 0.99) & (t < 1)
        demand((slope[miss] != 0).all(), f"target {NEARLY[1]}: a missed pixel has gradient 0")
        reached |= bool((alarm | miss).any())
    return reached


def _wrong(case: Case, z: Tensor, pixel: Tensor) -> Tensor:
    """Clear predictions, and at one pixel a wrong one."""
    if case.kind == "map":
        return torch.where(pixel, 0.95 - 0.9 * case.target, z)
    clipped = z.clamp(-20, 20)
    if z.shape != pixel.shape:
        return clipped
    side = torch.where(case.target < 0.5, 1.0, -1.0).to(z)
    return torch.where(pixel, side * (clipped.abs() + 1).clamp(max=20), clipped)


def half_precision_equals_single(loss: Subject, case: Case) -> bool:
    """bf16 and fp16 logits up to 6e4 give float32's values and gradients, autocast or not."""
    g = torch.Generator().manual_seed(case.seed + 2)

    def spike(z: Tensor) -> Tensor:
        lots = torch.rand(z.shape, generator=g)
        return torch.where(lots < 0.1, 6e4 * z.sign(), z)

    if case.kind != "map":
        case = case.predicting([spike(z) for z in case.predictions])
    _as_single(loss, case, torch.float16 if case.seed % 2 else torch.bfloat16)
    single = case.to(torch.float32)
    values, slopes = gradients(loss, single)
    fine = all(bool(torch.isfinite(x).all()) for x in (values, *slopes))
    demand(fine, "not finite in float32")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = evaluate(loss, single)
    demand(torch.equal(values, inside), "autocast changes the value")
    return True


def _as_single(loss: Subject, case: Case, dtype: torch.dtype) -> None:
    half, scale = case.to(dtype), float(case.target[0].numel())  # a mean's slopes would underflow
    expected, expected_slopes = gradients(loss, half.to(torch.float32), scale)
    if any(bool((b.abs() > torch.finfo(dtype).max).any()) for b in expected_slopes):
        scale = 1.0  # a sum's would overflow
        expected, expected_slopes = gradients(loss, half.to(torch.float32), scale)
    values, slopes = gradients(loss, half, scale)
    wide = torch.promote_types(values.dtype, torch.float32) == values.dtype
    demand(wide, f"{dtype} logits give a value of {values.dtype}")
    eps = torch.finfo(dtype).eps
    demand(torch.isfinite(values).all(), f"not finite in {dtype}")
    demand(close(values, expected, eps), f"{dtype} differs from float32")
    tiny = torch.finfo(dtype).smallest_normal * eps
    for a, b in zip(slopes, expected_slopes, strict=True):
        near = (a.float() - b).abs() <= eps * b.abs() + tiny
        demand(near.all(), f"gradient in {dtype} differs from float32")
    fine = all(bool(torch.isfinite(a).all()) for a in slopes)
    demand(fine, f"gradient in {dtype} is not finite")


def repetition_is_exact_and_inputs_untouched(loss: Subject, case: Case) -> bool:
    """The same inputs give the same bits again, and are left as they were."""
    kept = case.map(torch.clone)
    versions = [x._version for x in _tensors(case)]
    values = evaluate(loss, case)
    for x, y, version in zip(_tensors(case), _tensors(kept), versions, strict=True):
        demand(x._version == version and torch.equal(x, y), "an input is changed in place")
        demand(not x.requires_grad, "an input is made to want gradients")
    (second, slopes), (third, again) = gradients(loss, case), gradients(loss, case)
    same = torch.equal(values, second) and torch.equal(values, third)
    demand(same, f"{values.tolist()}, and then {second.tolist()} and {third.tolist()}")
    demand(all(map(torch.equal, slopes, again)), "the second gradient differs from the first")
    return True


def _tensors(case: Case) -> list[Tensor]:
    mask = [] if case.mask is None else [case.mask]
    return [*case.predictions, *case.beside, case.target, *case.given, *mask]
