"""The laws as a table, cases drawn for each, and ``check``, which tries them on a loss.

``losses.laws.check(loss)`` is for whoever writes a loss; the tests draw their own cases.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from ..registry import LAWS
from . import predicates as p
from .cases import MASKS, SIDES, TARGETS, Case, MaskKind, Subject, TargetKind, declared, make_case

__all__ = ["BY_NUMBER", "Law", "check", "draw"]


@dataclass(frozen=True)
class Law:
    """A law and the cases that it wants."""

    number: int
    fn: Callable[[Subject, Case], bool]
    targets: tuple[TargetKind, ...] = TARGETS
    masks: tuple[MaskKind, ...] = MASKS
    sides: tuple[int, ...] = SIDES
    scales: tuple[float, ...] = (0.1, 2.0, 8.0)
    flat: bool | None = None
    dtype: torch.dtype = torch.float64

    def __str__(self) -> str:
        return self.fn.__name__


_SOME: tuple[MaskKind, ...] = ("some", "one_empty")
_HARD: tuple[TargetKind, ...] = ("binary", "empty", "full", "one_pixel")
BY_NUMBER: dict[int, Law] = {
    1: Law(1, p.law_1_bounded_and_zero_iff_perfect, targets=(*_HARD, "soft"), flat=True),
    2: Law(2, p.law_2_ignored_pixels_are_inert, masks=_SOME, flat=True),
    3: Law(3, p.law_3_a_batch_is_the_mean_of_its_images),
    4: Law(4, p.law_4_flips_and_turns_change_nothing),
    5: Law(5, p.law_5_gradients_point_to_the_truth, flat=True),
    6: Law(6, p.law_6_correcting_a_pixel_never_costs, flat=True),
    7: Law(7, p.law_7_gradients_are_exact, sides=(1, 2, 3), scales=(0.5, 2.0)),
    8: Law(
        8,
        p.law_8_degenerate_cases_are_finite,
        targets=_HARD[1:],
        flat=True,
        dtype=torch.float32,
        scales=(0.1, 8.0, 30.0),
    ),
    9: Law(9, p.law_9_half_precision_equals_single, scales=(0.1, 2.0, 30.0), flat=True),
    10: Law(10, p.law_10_the_minimum_is_at_the_truth, targets=("soft",), flat=True),
}


def draw(loss: Subject, law: Law, seed: int) -> Case:
    """Draw a case that the law wants, the same for the same seed."""
    r = random.Random(seed)
    return make_case(
        loss.kind,
        seed,
        size=(r.choice((1, 2, 3)), r.choice(law.sides), r.choice(law.sides)),
        target=r.choice(law.targets),
        mask=r.choice(law.masks),
        scale=r.choice(law.scales),
        flat=r.choice((True, False)) if law.flat is None else law.flat,
        dtype=law.dtype,
    )


def check(
    loss: Subject, *, laws: Iterable[int] | None = None, cases: int = 20, seed: int = 0
) -> dict[int, int]:
    """Try a loss on the laws it declares, or on ``laws``; return how often each was reached.

    ``loss`` is what ``losses.build`` returns, or a bare function wrapped by ``cases.plain``.

    Raises:
        AssertionError: a law is broken; the message names the law and the case.
    """
    spec = declared(loss)
    kept: Sequence[int] = sorted(laws or {*BY_NUMBER} & ({*LAWS} if spec is None else spec.laws))
    return {
        n: sum(BY_NUMBER[n].fn(loss, draw(loss, BY_NUMBER[n], seed + i)) for i in range(cases))
        for n in kept
    }
