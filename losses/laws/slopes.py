"""Laws about gradients: their sign, their exactness, and what hard negatives get."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .cases import Case
from .subjects import Plain, Subject, declared, evaluate, truth
from .tools import ROUNDING, close, demand, gradients, spread_out


def gradients_point_to_the_truth(loss: Subject, case: Case) -> bool:
    """The gradient is <= 0 where the truth is 1 and >= 0 where it is 0; no label is moved."""
    values, slopes = gradients(loss, case)
    reached = case.kind == "gradient"
    if reached:
        still = not any(bool(x.any()) for x in slopes[len(case.predictions) :])
        demand(still, "the loss moves its own label: the coarse logits have a gradient")
    for t, slope in zip(truth(loss, case), slopes, strict=False):
        if slope.shape != t.shape:
            continue
        up, down = (t == 1) & case.valid, (t == 0) & case.valid
        # The gradient of a quotient that does not move, a / a, is rounding of its value's size.
        size = torch.maximum(slope.abs().amax((1, 2, 3)), values.abs().nan_to_num(posinf=0.0))
        noise = (ROUNDING.get(slope.dtype, 0.0) * spread_out(size)).expand_as(slope)
        demand((slope[up] <= noise[up]).all(), "pushed down where t = 1")
        demand((slope[down] >= -noise[down]).all(), "pushed up where t = 0")
        reached |= bool((up | down).any())
    return reached


def gradients_are_exact(loss: Subject, case: Case) -> bool:
    """Gradients equal finite differences in float64; second ones too where declared."""
    made, count = case.leaves(), len(case.predictions)
    # Coarse logits make the label, which is held still; a threshold map is learnt.
    beside = made.beside if case.kind == "db" else ()

    def fn(*leaves: Tensor) -> Tensor:
        held = leaves[count:] or case.beside
        return evaluate(loss, replace(case, predictions=leaves[:count], beside=held))

    dtype = fn(*made.predictions, *beside).dtype
    demand(dtype == torch.float64, f"float64 logits give {dtype}: gradients cannot be checked")
    spec = declared(loss)
    try:
        torch.autograd.gradcheck(fn, (*made.predictions, *beside), atol=1e-6)
        if spec is not None and spec.gradgrad:
            torch.autograd.gradgradcheck(fn, (*made.predictions, *beside), atol=1e-6)
    except RuntimeError as error:
        demand(False, str(error).splitlines()[0])
    return True


def _ratio(loss: Subject) -> float:
    """Negatives per positive: the loss's own ``ratio``, else 3."""
    known = getattr(loss, "knobs", {})
    defaults = loss.defaults if isinstance(loss, Plain) else {}
    value = known.get("ratio", defaults.get("ratio"))
    return float(value) if isinstance(value, int | float) else 3.0


def only_the_hardest_negatives_learn(loss: Subject, case: Case) -> bool:
    """Mined: min(#neg, floor(ratio #pos)) negatives learn; ties share; order is irrelevant."""
    t, valid = case.target, case.valid
    negative, positives = (t == 0) & valid, ((t == 1) & valid).sum((1, 2, 3))
    if case.kind not in ("logits", "map") or not bool(positives.any()):
        return False
    mined = spread_out(positives > 0) & negative
    values, (slope,) = gradients(loss, case)
    learn = (slope != 0) & mined
    wanted = (positives.double() * _ratio(loss)).floor()
    quota = torch.minimum(wanted, mined.sum((1, 2, 3)).double())
    found = learn.sum((1, 2, 3))
    demand(torch.equal(found.double(), quota), f"{found.tolist()} learn, not {quota.tolist()}")
    z = case.predictions[0]
    weakest = torch.where(learn, z, math.inf).amin((1, 2, 3))
    left = mined & ~learn
    demand((torch.where(left, z, -math.inf).amax((1, 2, 3)) <= weakest).all(), "not the hardest")
    _leaving_the_easy_alone(loss, case, left, values, slope)
    _sharing_ties(loss, case, mined, quota > 0)
    return bool(left.any())


def _leaving_the_easy_alone(
    loss: Subject, case: Case, left: Tensor, values: Tensor, slope: Tensor
) -> None:
    z = case.predictions[0]
    easier = torch.where(left, case.closer(z, case.target, 1.0), z)
    again, (again_slope,) = gradients(loss, case.predicting([easier]))
    demand(close(again, values), "an easy negative made easier changes the value")
    demand(close(again_slope, slope), "an easy negative made easier changes a gradient")


def _sharing_ties(loss: Subject, case: Case, mined: Tensor, some: Tensor) -> None:
    z = case.predictions[0]
    tied = case.predicting([torch.where(mined, 0.7, z)])
    _, (slope,) = gradients(loss, tied)
    low = torch.where(mined, slope, math.inf).amin((1, 2, 3))
    high = torch.where(mined, slope, -math.inf).amax((1, 2, 3))
    demand(close(low[some], high[some]), "equal negatives have unequal gradients")
    demand((high[some] != 0).all(), "equal negatives have no gradient")
    rough = case.predicting([(4 * z).round() / 4])
    shuffle = _shuffle(case)
    values, (slope,) = gradients(loss, rough)
    moved, (moved_slope,) = gradients(loss, rough.map(shuffle))
    demand(close(moved, values), "the order of pixels changes the value")
    demand(close(moved_slope, shuffle(slope)), "the order of pixels changes the gradient")


def _shuffle(case: Case) -> Callable[[Tensor], Tensor]:
    g = torch.Generator().manual_seed(case.seed + 4)
    order = torch.randperm(case.target[0].numel(), generator=g)
    return lambda x: x.flatten(2)[..., order].view(x.shape)
