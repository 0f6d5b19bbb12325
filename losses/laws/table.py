"""The sixteen laws as a table: what each asks, of which losses, and on which cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..registry import CLAIMS, LAWS, Kind
from . import inputs, settings, slopes, values
from .cases import Case, MaskKind, TargetKind
from .recipes import Wants
from .subjects import Subject, alternatives, declared, subject, takes_progress
from .tools import LawError, complaint

HARD: tuple[TargetKind, ...] = ("binary", "empty", "full", "one_pixel")
SOME: tuple[MaskKind, ...] = ("some", "one_empty")
TINY = (1, 2, 3)

__all__ = ["BY_NUMBER", "Law", "inapplicable", "laws_of"]


@dataclass(frozen=True)
class Law:
    """A law, the cases that it wants, and what else must be shown over all of them.

    ``fn`` raises AssertionError where the law is broken, and returns whether the case reached
    the law's premise. ``silent`` returns those of some knobs that had no effect on a case.
    """

    number: int
    fn: Callable[[Subject, Case], bool]
    wants: Wants = field(default_factory=Wants)
    silent: Callable[[Subject, Case, Iterable[str]], set[str]] | None = None

    @property
    def name(self) -> str:
        """The law in a few words."""
        return self.fn.__name__.replace("_", " ")

    @property
    def text(self) -> str:
        """The law in a line."""
        return (self.fn.__doc__ or "").splitlines()[0]

    def __str__(self) -> str:
        return f"law {self.number} ({self.name})"

    def __call__(self, loss: Subject | Callable[..., Tensor], case: Case) -> bool:
        """Try the law on a case; return whether the case says anything about it.

        Raises:
            AssertionError: the loss breaks the law, or raises an error of its own.
        """
        tried = subject(loss, case.kind)
        try:
            return self.fn(tried, case)
        except Exception as error:
            what = complaint(error)
            raise LawError(what, f"{tried.name} breaks {self}: {what} ({case})") from error


_EVERY = (
    Law(1, values.bounded_and_zero_iff_perfect, Wants((*HARD, "soft"), flat=True)),
    Law(2, inputs.ignored_pixels_are_inert, Wants(masks=SOME, flat=True)),
    Law(3, values.a_batch_is_the_mean_of_its_images),
    Law(4, values.flips_and_turns_change_nothing),
    Law(5, slopes.gradients_point_to_the_truth, Wants(flat=True)),
    Law(6, values.correcting_a_pixel_never_costs, Wants(flat=True)),
    Law(
        7,
        slopes.gradients_are_exact,
        Wants(sides=TINY, scales=(0.5, 2.0), long=False, double=True),
    ),
    Law(
        8,
        inputs.degenerate_cases_are_finite,
        Wants((*HARD[1:], "nearly"), scales=(0.1, 8.0, 30.0), flat=True, dtype=torch.float32),
    ),
    Law(9, inputs.half_precision_equals_single, Wants(scales=(0.1, 2.0, 30.0), flat=True)),
    Law(10, values.the_minimum_is_at_the_truth, Wants(("soft",), flat=True)),
    Law(11, settings.limits_hold_and_knobs_matter, Wants(), settings.silent_knobs),
    Law(
        12,
        slopes.only_the_hardest_negatives_learn,
        Wants(("one_pixel", "rare"), sides=(3, 5, 8, 13, 36), flat=True),
    ),
    Law(13, values.mixtures_cost_at_most_the_mixed_values, Wants(flat=True)),
    Law(14, values.doubling_the_pixels_changes_nothing),
    Law(15, settings.the_value_is_a_function_of_progress, Wants(long=False)),
    Law(16, inputs.repetition_is_exact_and_inputs_untouched),
)
BY_NUMBER: dict[int, Law] = {law.number: law for law in _EVERY}

_CLAIMED = {number: claim for claim, number in CLAIMS.items()}
_ONE_MAP: tuple[Kind, ...] = ("logits", "map")


def laws_of(loss: Subject) -> frozenset[int]:
    """The laws that a loss is held to unless others are asked for."""
    spec = declared(loss)
    own = {*LAWS, 15} if spec is None else {*spec.laws, 15} - {*spec.breaks}
    return frozenset(n for n in own if not inapplicable(n, loss))


def inapplicable(number: int, loss: Subject) -> str:
    """Why a law has no say about a loss, "" where it has: the only place where this is told."""
    if number == 11 and not alternatives(loss):
        return "it has no knob to turn"
    if number == 12 and loss.kind not in _ONE_MAP:
        return "negatives are mined in one map"
    if number == 15 and not takes_progress(loss):
        return "it takes no progress"
    return ""


def soft_label(number: int, loss: Subject) -> str:
    """Why no case may reach a law about hard truths: a loss that makes its own label."""
    spec = declared(loss)
    makes = spec is not None and spec.truth is not None
    return "the label that it makes is never 0 or 1" if makes and number in (1, 6) else ""


def unclaimed(number: int, loss: Subject) -> str:
    """Why a law that only some losses claim is not tried on this one, "" where it is."""
    spec = declared(loss)
    if number in _CLAIMED and (spec is None or _CLAIMED[number] not in spec.claims):
        return f"{_CLAIMED[number]!r} is not claimed"
    return ""
