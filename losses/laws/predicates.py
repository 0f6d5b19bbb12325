"""The laws that losses keep, as functions of a loss and a case that raise AssertionError.

Each returns whether its premise was reached, so that a test can count cases that say nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .cases import (
    Case,
    Subject,
    declared,
    evaluate,
)

TOLERANCE = 1e-9
JUNK = (math.nan, math.inf, -math.inf, 1e30)


def _say(loss: Subject, law: int, what: str, case: Case) -> str:
    return f"{loss.name} breaks law {law}: {what} ({case})"


def _close(a: Tensor, b: Tensor, tolerance: float = TOLERANCE) -> bool:
    return bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())


def _leaves(case: Case) -> Case:
    """Copy a case with its predictions and coarse logits as leaves that want gradients."""
    return replace(
        case,
        predictions=tuple(z.detach().clone().requires_grad_() for z in case.predictions),
        coarse=tuple(z.detach().clone().requires_grad_() for z in case.coarse),
    )


def _gradients(loss: Subject, case: Case, scale: float = 1.0) -> tuple[Tensor, list[Tensor]]:
    """Values per image and the gradients of their sum, predictions first."""
    case = _leaves(case)
    values = evaluate(loss, case)
    assert values.grad_fn is not None, _say(loss, 2, "the value has no grad_fn", case)
    leaves = [*case.predictions, *case.coarse]
    found = torch.autograd.grad((values * scale).sum(), leaves, allow_unused=True)
    pairs = zip(found, leaves, strict=True)
    return values.detach(), [torch.zeros_like(z) if d is None else d for d, z in pairs]


def _bounds(loss: Subject) -> tuple[float, float]:
    spec = declared(loss)
    if spec is None:
        return 0.0, math.inf
    defaults = {k: knob.default for k, knob in spec.knobs.items()}
    return spec.bounds if getattr(loss, "knobs", None) == defaults else (0.0, math.inf)


def law_1_bounded_and_zero_iff_perfect(loss: Subject, case: Case) -> bool:
    """Values stay in the declared bounds; for a binary truth they are 0 iff it is met."""
    low, high = _bounds(loss)
    values = evaluate(loss, case)
    inside = (values >= low - TOLERANCE) & (values <= high + TOLERANCE)
    assert bool(inside.all()), _say(loss, 1, f"{values.tolist()} not in [{low}, {high}]", case)
    truth, valid = case.truth(loss), case.valid
    binary = all(bool((((t == 0) | (t == 1)) | ~valid).all()) for t in truth)
    flat = all(z.shape == case.target.shape for z in case.predictions)
    if not (binary and flat):
        return False
    right = tuple(120 * t - 60 for t in truth)
    values = evaluate(loss, replace(case, predictions=right))
    assert _close(values, torch.zeros_like(values)), _say(loss, 1, "perfect is not 0", case)
    if not bool(valid.flatten(1).any(1).all()):
        return False
    wrong = tuple(torch.where(_one_valid_pixel(case), -z, z) for z in right)
    values = evaluate(loss, replace(case, predictions=wrong))
    assert bool((values > 1e-7).all()), _say(loss, 1, "a wrong pixel costs nothing", case)
    return True


def _one_valid_pixel(case: Case) -> Tensor:
    """One valid pixel in each image that has any, the same for the same seed."""
    g = torch.Generator().manual_seed(case.seed + 1)
    lots = torch.rand(case.target.shape, generator=g) + case.valid.float()
    top = lots.amax(dim=(1, 2, 3), keepdim=True)
    return (lots == top) & case.valid


def _spoil(x: Tensor, where: Tensor, value: float) -> Tensor:
    return (
        torch.where(where, torch.full_like(x, value), x) if x.shape[2:] == where.shape[2:] else x
    )


def law_2_ignored_pixels_are_inert(loss: Subject, case: Case) -> bool:
    """NaN and Inf at ignored pixels change neither value nor gradient, which is 0 there."""
    if case.mask is None or bool(case.valid.all()):
        return False
    ignored = ~case.valid
    values, slopes = _gradients(loss, case)
    empty = ~case.valid.flatten(1).any(1)
    assert not bool(values[empty].any()), _say(loss, 2, "no valid pixel, yet a value", case)
    for slope in slopes:
        away = ignored if slope.shape == ignored.shape else empty.view(-1, 1, 1, 1)
        moved = torch.where(away, slope, torch.zeros_like(slope)).any()
        assert not bool(moved), _say(loss, 2, "an ignored pixel has a gradient", case)
    for junk in JUNK:
        spoilt = replace(
            case,
            predictions=tuple(_spoil(z, ignored, junk) for z in case.predictions),
            coarse=tuple(_spoil(z, ignored, junk) for z in case.coarse),
            target=_spoil(case.target, ignored, junk),
            image=None if case.image is None else _spoil(case.image, ignored, junk),
        )
        again, again_slopes = _gradients(loss, spoilt)
        same = torch.equal(values, again) and all(map(torch.equal, slopes, again_slopes))
        assert same, _say(loss, 2, f"{junk} at ignored pixels is felt", case)
    return True


def _only(case: Case, i: int) -> Case:
    return case.map(lambda x: x[i : i + 1])


def law_3_a_batch_is_the_mean_of_its_images(loss: Subject, case: Case) -> bool:
    """Each image has the value it has alone; order is irrelevant; reductions agree."""
    values = evaluate(loss, case)
    assert values.shape == case.target.shape[:1], _say(loss, 3, f"shape {values.shape}", case)
    single = [evaluate(loss, _only(case, i)) for i in range(len(values))]
    assert _close(values, torch.cat(single)), _say(loss, 3, "images are not independent", case)
    turned = evaluate(loss, case.map(lambda x: x.flip(0)))
    assert _close(values, turned.flip(0)), _say(loss, 3, "the order of images matters", case)
    mean, total = evaluate(loss, case, "mean"), evaluate(loss, case, "sum")
    agree = _close(mean, values.mean()) and _close(total, values.sum())
    assert agree, _say(loss, 3, "reductions disagree", case)
    return len(values) > 1


def law_4_flips_and_turns_change_nothing(loss: Subject, case: Case) -> bool:
    """The eight symmetries of the square leave the value as it is."""
    values = evaluate(loss, case)
    for turns in range(4):
        for flip in (False, True):

            def move(x: Tensor, k: int = turns, f: bool = flip) -> Tensor:
                return torch.rot90(x.flip(-1) if f else x, k, dims=(-2, -1)).contiguous()

            same = _close(evaluate(loss, case.map(move)), values)
            assert same, _say(loss, 4, f"{turns} quarter turns, flipped {flip}", case)
    return case.target.shape[2] * case.target.shape[3] > 1


def law_5_gradients_point_to_the_truth(loss: Subject, case: Case) -> bool:
    """The gradient is <= 0 where the truth is 1 and >= 0 where it is 0."""
    _, slopes = _gradients(loss, case)
    reached = False
    for t, slope in zip(case.truth(loss), slopes, strict=False):
        if slope.shape != t.shape:
            continue
        up, down = (t == 1) & case.valid, (t == 0) & case.valid
        slack = 1e-12 * float(slope.abs().max())
        assert bool((slope[up] <= slack).all()), _say(loss, 5, "pushed down where t = 1", case)
        assert bool((slope[down] >= -slack).all()), _say(loss, 5, "pushed up where t = 0", case)
        reached |= bool((up | down).any())
    return reached


def law_6_correcting_a_pixel_never_costs(loss: Subject, case: Case) -> bool:
    """Moving one pixel's logit towards a truth of 0 or 1 never raises the value."""
    values, pixel = evaluate(loss, case), _one_valid_pixel(case)
    reached = False
    for i, t in enumerate(case.truth(loss)):
        if case.predictions[i].shape != t.shape:
            continue
        hard = pixel & ((t == 0) | (t == 1))
        for step in (0.1, 2.0, 30.0):
            moved = list(case.predictions)
            moved[i] = torch.where(hard, moved[i] + step * (2 * t - 1), moved[i])
            after = evaluate(loss, replace(case, predictions=tuple(moved)))
            fine = bool((after <= values + 1e-12 * (1 + values.abs())).all())
            assert fine, _say(loss, 6, f"a step of {step} towards the truth costs", case)
        reached |= bool(hard.any())
    return reached


def law_7_gradients_are_exact(loss: Subject, case: Case) -> bool:
    """Gradients equal finite differences in float64; second ones too where declared."""
    leaves = _leaves(case).predictions

    def fn(*z: Tensor) -> Tensor:
        return evaluate(loss, replace(case, predictions=z))

    spec = declared(loss)
    try:
        torch.autograd.gradcheck(fn, leaves, atol=1e-6)
        if spec is not None and spec.gradgrad:
            torch.autograd.gradgradcheck(fn, leaves, atol=1e-6)
    except RuntimeError as error:
        raise AssertionError(_say(loss, 7, str(error).splitlines()[0], case)) from error
    return True


def law_8_degenerate_cases_are_finite(loss: Subject, case: Case) -> bool:
    """Values and gradients are finite; an empty truth gives a false positive a gradient."""
    clipped = tuple(z.clamp(-20, 20) for z in case.predictions)
    pixel = _one_valid_pixel(case)
    if all(z.shape == pixel.shape for z in clipped):
        clipped = tuple(torch.where(pixel, z.abs() + 1, z).clamp(max=20) for z in clipped)
    case = replace(case, predictions=clipped)
    values, slopes = _gradients(loss, case)
    finite = all(bool(torch.isfinite(x).all()) for x in (values, *slopes))
    assert finite, _say(loss, 8, "not finite", case)
    reached = case.kind == "gradient"
    for t, slope in zip(case.truth(loss), slopes, strict=False):
        empty = ~((t != 0) & case.valid).flatten(1).any(1)
        here = pixel & empty.view(-1, 1, 1, 1)
        if slope.shape == here.shape and bool(here.any()):
            felt = bool((slope[here] != 0).all())
            assert felt, _say(loss, 8, "empty target: a false positive has gradient 0", case)
            reached = True
    return reached


def _half_gradients(loss: Subject, case: Case, dtype: torch.dtype) -> None:
    half, scale = case.to(dtype), float(case.target[0].numel())
    values, slopes = _gradients(loss, half, scale)
    wide = torch.promote_types(values.dtype, torch.float32) == values.dtype
    assert wide, _say(loss, 9, f"the value has dtype {values.dtype}", case)
    expected, expected_slopes = _gradients(loss, half.to(torch.float32), scale)
    eps = torch.finfo(dtype).eps
    assert bool(torch.isfinite(values).all()), _say(loss, 9, f"not finite in {dtype}", case)
    assert _close(values, expected, eps), _say(loss, 9, f"{dtype} differs from float32", case)
    tiny = torch.finfo(dtype).smallest_normal * eps
    for a, b in list(zip(slopes, expected_slopes, strict=True))[: len(case.predictions)]:
        near = (a.float() - b).abs() <= eps * b.abs() + tiny
        assert bool(near.all()), _say(loss, 9, f"gradient in {dtype} differs", case)
    fine = all(bool(torch.isfinite(a).all()) for a in slopes)
    assert fine, _say(loss, 9, f"gradient in {dtype} not finite", case)


def law_9_half_precision_equals_single(loss: Subject, case: Case) -> bool:
    """bf16 and fp16 logits up to 6e4 give float32's values and gradients, autocast or not."""
    g = torch.Generator().manual_seed(case.seed + 2)

    def spike(z: Tensor) -> Tensor:
        lots = torch.rand(z.shape, generator=g)
        return torch.where(lots < 0.1, 6e4 * z.sign(), z)

    case = replace(case, predictions=tuple(spike(z) for z in case.predictions))
    for dtype in (torch.bfloat16, torch.float16):
        _half_gradients(loss, case, dtype)
    single = case.to(torch.float32)
    values, slopes = _gradients(loss, single)
    fine = all(bool(torch.isfinite(x).all()) for x in (values, *slopes))
    assert fine, _say(loss, 9, "not finite in float32", case)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = evaluate(loss, single)
    assert torch.equal(values, inside), _say(loss, 9, "autocast changes the value", case)
    return True


def law_10_the_minimum_is_at_the_truth(loss: Subject, case: Case) -> bool:
    """For a soft truth no prediction is better than p = t."""
    truth = case.truth(loss)
    if any(z.shape != t.shape for z, t in zip(case.predictions, truth, strict=True)):
        return False
    best = tuple(torch.logit(t.clamp(1e-12, 1 - 1e-12)) for t in truth)
    least = evaluate(loss, replace(case, predictions=best))
    pixel = _one_valid_pixel(case)
    others = [case.predictions, tuple(z + 1e-2 for z in best)]
    for step in (-3.0, -0.05, 0.05, 3.0):
        others.append(tuple(torch.where(pixel, z + step, z) for z in best))
    others.append(tuple(torch.where(t >= 0.5, 30.0, -30.0).to(t) for t in truth))
    for other in others:
        values = evaluate(loss, replace(case, predictions=other))
        fine = bool((least <= values + TOLERANCE * (1 + values.abs())).all())
        assert fine, _say(loss, 10, "a prediction beats the truth", case)
    soft = [bool((((t > 0) & (t < 1)) & case.valid).any()) for t in truth]
    return any(soft)
