"""Laws about values: bounds, batches, symmetries, corrections, the minimum, means, convexity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .cases import Case
from .subjects import Subject, bounds, evaluate, truth
from .tools import ROUNDING, any_pixel, close, demand, one_valid_pixel, slack

# Turned maps keep their memory, as those of a data loader may: a loss takes any layout.
SYMMETRIES: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda x: x.flip(-1),
    "quarter turn": lambda x: torch.rot90(x, 1, dims=(-2, -1)),
    "transposition": lambda x: x.transpose(-2, -1),
}


def bounded_and_zero_iff_perfect(loss: Subject, case: Case) -> bool:
    """Values stay in the declared bounds; for a binary truth they are 0 iff it is met."""
    low, high = bounds(loss)
    values = evaluate(loss, case)
    near = slack(torch.zeros_like(values))
    inside = (values >= low - near) & (values <= high + near)
    demand(inside.all(), f"{values.tolist()} not in [{low}, {high}]")
    true, valid = truth(loss, case), case.valid
    binary = all(bool(((t == 0) | (t == 1) | ~valid).all()) for t in true)
    if not (binary and case.flat):
        return False
    right = case.meeting(true, sure=True)
    values = evaluate(loss, right)
    # A steep sigmoid is off 0 and 1 by 1e-10 a pixel.
    zero = 1e-6 if case.kind == "db" else None
    fine = close(values, torch.zeros_like(values), zero)
    demand(fine, f"perfect has the value {values.tolist()}")
    if not bool(any_pixel(valid).all()):
        return False
    pixel = one_valid_pixel(case)
    wrong = [torch.where(pixel, case.opposite(z), z) for z in right.predictions]
    values = evaluate(loss, right.predicting(wrong))
    demand((values > 1e-7).all(), "a wrong pixel costs nothing")
    return True


def a_batch_is_the_mean_of_its_images(loss: Subject, case: Case) -> bool:
    """Each image has the value it has alone; order is irrelevant; reductions agree."""
    raw = loss(*case.inputs(), mask=case.mask, reduction="none", progress=case.progress)
    shape = tuple(raw.shape)
    demand(shape == case.target.shape[:1], f"'none' has shape {shape}, not one value per image")
    alone = [evaluate(loss, _only(case, i)) for i in range(len(raw))]
    demand(close(raw, torch.cat(alone)), "images are not independent")
    turned = evaluate(loss, case.map(lambda x: x.flip(0)))
    demand(close(raw, turned.flip(0)), "the order of images matters")
    mean, total = evaluate(loss, case, "mean"), evaluate(loss, case, "sum")
    demand(close(mean, raw.mean()), "the mean is not that of the images")
    demand(close(total, raw.sum()), "the sum is not that of the images")
    return len(raw) > 1


def _only(case: Case, i: int) -> Case:
    return case.map(lambda x: x[i : i + 1])


def flips_and_turns_change_nothing(loss: Subject, case: Case) -> bool:
    """A flip, a quarter turn and a transposition, which make all eight symmetries of a square."""
    values = evaluate(loss, case)
    for how, move in SYMMETRIES.items():
        moved = evaluate(loss, case.map(move))
        demand(close(moved, values), f"after a {how} {moved.tolist()}, not {values.tolist()}")
    return case.target.shape[2] * case.target.shape[3] > 1


def correcting_a_pixel_never_costs(loss: Subject, case: Case) -> bool:
    """Moving one pixel's prediction towards a truth of 0 or 1 never raises the value."""
    values, pixel = evaluate(loss, case), one_valid_pixel(case)
    reached = False
    for i, t in enumerate(truth(loss, case)):
        if case.predictions[i].shape != t.shape:
            continue
        hard = pixel & ((t == 0) | (t == 1))
        for step in (0.1, 2.0, 30.0):
            moved = list(case.predictions)
            moved[i] = torch.where(hard, case.closer(moved[i], t, step), moved[i])
            after = evaluate(loss, case.predicting(moved))
            fine = (after <= values + slack(values, ROUNDING)).all()
            demand(fine, f"a step of {step} towards the truth costs")
        reached |= bool(hard.any())
    return reached


def the_minimum_is_at_the_truth(loss: Subject, case: Case) -> bool:
    """For a soft truth no prediction is better than p = t, and all clearly off are worse."""
    true = truth(loss, case)
    if any(z.shape != t.shape for z, t in zip(case.predictions, true, strict=True)):
        return False
    best = case.meeting(true)
    least, pixel = evaluate(loss, best), one_valid_pixel(case)
    unit = 0.1 if case.kind == "map" else 1.0
    others = [case.predictions, _moved(best, 0.01 * unit)]
    others += [_moved(best, step * unit, pixel) for step in (-3.0, -0.05, 0.05, 3.0)]
    extreme = (1.0, 0.0) if case.kind == "map" else (30.0, -30.0)
    others.append(tuple(torch.where(t >= 0.5, *extreme).to(t) for t in true))
    for other in others:
        values = evaluate(loss, best.predicting(other))
        fine = (least <= values + slack(values)).all()
        demand(fine, f"a prediction beats the truth: {values.tolist()} < {least.tolist()}")
    soft = torch.stack([any_pixel((t > 0) & (t < 1) & case.valid) for t in true]).any(0)
    for step in (-3.0, 3.0):
        values = evaluate(loss, best.predicting(_moved(best, step * unit)))
        demand((values > least)[soft].all(), f"predictions off by {step} cost no more")
    return bool(soft.any())


def _moved(case: Case, step: float, where: Tensor | None = None) -> tuple[Tensor, ...]:
    if where is None:
        return tuple(z + step for z in case.predictions)
    return tuple(torch.where(where, z + step, z) for z in case.predictions)


def mixtures_cost_at_most_the_mixed_values(loss: Subject, case: Case) -> bool:
    """Convex in the predictions: f(a x + (1 - a) y) <= a f(x) + (1 - a) f(y)."""
    g = torch.Generator().manual_seed(case.seed + 3)
    others = [4 * torch.randn(z.shape, generator=g, dtype=z.dtype) for z in case.predictions]
    if case.kind == "map":
        others = [torch.sigmoid(x) for x in others]
    start, end = evaluate(loss, case), evaluate(loss, case.predicting(others))
    for share in (0.5, *torch.rand(3, generator=g).tolist()):
        pairs = zip(case.predictions, others, strict=True)
        middle = evaluate(loss, case.predicting([share * x + (1 - share) * y for x, y in pairs]))
        line = share * start + (1 - share) * end
        fine = (middle <= line + slack(line)).all()
        demand(fine, f"a mixture of {share:.3g} lies above the line")
    return True


def doubling_the_pixels_changes_nothing(loss: Subject, case: Case) -> bool:
    """A mean over pixels: every pixel twice each way (nearest x 2) leaves the value."""

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    values, again = evaluate(loss, case), evaluate(loss, case.map(double))
    demand(close(values, again), f"{again.tolist()} after doubling, not {values.tolist()}")
    return True
