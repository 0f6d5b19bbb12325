"""Laws about settings: limit cases and knobs that must matter, and the progress of training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from ..bound import build
from ..registry import Limit
from .cases import Case
from .subjects import (
    Subject,
    alternatives,
    declared,
    schedules,
    takes_progress,
    with_knobs,
)
from .tools import LawError, any_pixel, close, complaint, demand, gradients

Setting = Mapping[str, object]
# Points of progress that are compared, halvings of the liveliest interval, least jump.
GRID, BISECTIONS, JUMP = 8, 20, 1e-4


def limits_hold_and_knobs_matter(loss: Subject, case: Case) -> bool:
    """At its limit cases a loss equals what it claims, and no knob is without effect."""
    spec = declared(loss)
    limits = () if spec is None else spec.limits
    positive = bool(any_pixel((case.target > 0) & case.valid).all())
    usable = [limit for limit in limits if positive or not limit.needs_positives]
    for limit in usable:
        _equals(loss, limit, case)
    return bool(usable) or not limits


def _equals(loss: Subject, limit: Limit, case: Case) -> None:
    progress = case.progress if takes_progress(loss) else None
    at_limit = build(loss.name, **limit.knobs)
    values = at_limit(*case.inputs(), mask=case.mask, reduction="none", progress=progress)
    wanted = limit.same_as(*case.inputs(), mask=case.mask, reduction="none")
    other = getattr(limit.same_as, "__name__", "its limit")
    what = f"at {dict(limit.knobs)} it is {values.tolist()}, and {other} {wanted.tolist()}"
    demand(close(values, wanted), what)


def silent_knobs(loss: Subject, case: Case, knobs: Iterable[str]) -> set[str]:
    """Those of ``knobs`` that change neither value nor gradient on a case.

    In published code F3Net's weight did nothing, nor did the mining ratio beside PaddleOCR's Dice
    (errata 1, 12, 13). A knob may matter only beside another one, as the share of a mixture does
    where a mixture is chosen: each other value of each other knob is tried with it. A setting
    that the loss refuses with a ValueError says nothing.

    Raises:
        LawError: a setting raises another error.
    """
    others = alternatives(loss)
    return {knob for knob in knobs if not _matters(loss, case, knob, others)}


def _matters(loss: Subject, case: Case, knob: str, others: Mapping[str, list[object]]) -> bool:
    beside: list[Setting] = [{}]
    beside += [{k: v} for k, values in others.items() if k != knob for v in values]
    for company in beside:
        start = _outcome(loss, company, case)
        if start is None:
            continue
        for value in others[knob]:
            end = _outcome(loss, {**company, knob: value}, case)
            if end is not None and not all(map(close, start, end)):
                return True
    return not others[knob]  # nothing to compare with: it may well matter


def _outcome(loss: Subject, setting: Setting, case: Case) -> list[Tensor] | None:
    """Value and gradients, None for a setting that the loss refuses."""
    try:
        values, slopes = gradients(with_knobs(loss, setting), case)
    except ValueError:
        return None
    except Exception as error:
        at = ", ".join(f"{k}={v!r}" for k, v in setting.items()) or "its defaults"
        what = f"at {at} it {complaint(error)}; a setting is refused by a ValueError"
        raise LawError(what) from error
    return [values, *slopes]


def the_value_is_a_function_of_progress(loss: Subject, case: Case) -> bool:
    """Scheduled: progress alone decides, in any order, fresh or used, and without a jump."""
    if not takes_progress(loss):
        return False
    fresh = copy.deepcopy(loss)
    grid = [i / GRID for i in range(GRID + 1)]
    values = [_at(loss, case, u) for u in grid]
    backwards = [_at(loss, case, u) for u in reversed(grid)]
    same = all(map(torch.equal, values, reversed(backwards)))
    demand(same, "the value at some progress depends on what was evaluated before")
    afresh = _at(fresh, case, grid[-1])
    demand(torch.equal(afresh, values[-1]), "a resumed loss differs from one that ran from 0")
    if all(schedule.continuous for schedule in schedules(loss)):
        _has_no_jump(loss, case, grid, values)
    return True


def _at(loss: Subject, case: Case, u: float) -> Tensor:
    return loss(*case.inputs(), mask=case.mask, reduction="none", progress=u).detach()


def _has_no_jump(loss: Subject, case: Case, grid: list[float], values: list[Tensor]) -> None:
    """Halve the interval of the greatest change: without a jump the change fades."""
    changes = [_change(a, b) for a, b in pairwise(values)]
    at = changes.index(max(changes))
    low, high, a, b = grid[at], grid[at + 1], values[at], values[at + 1]
    allowed = JUMP * (1 + float(b.abs().max()))
    for _ in range(BISECTIONS):
        if _change(a, b) <= allowed:
            return
        u = (low + high) / 2
        middle = _at(loss, case, u)
        if _change(a, middle) > _change(middle, b):
            high, b = u, middle
        else:
            low, a = u, middle
    demand(False, f"a jump at progress {low:.4g}")


def _change(a: Tensor, b: Tensor) -> float:
    return float((b - a).abs().max())
