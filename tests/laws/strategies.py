"""Hypothesis strategies of cases, and the loop that tries a law on a loss and counts."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import losses
from losses.laws import BY_NUMBER, Law, Recipe, Subject, compose
from losses.laws.table import inapplicable, soft_label

T = TypeVar("T")
VALUE_CASES, GRADCHECK_CASES, VARIANT_CASES = 200, 20, 20


@st.composite
def recipes(draw: st.DrawFn, kind: losses.registry.Kind, law: Law) -> Recipe:
    """Recipes of cases as the law wants them; shapes lie on both sides of every window."""

    def choose(options: Sequence[T]) -> T:
        return draw(st.sampled_from(options))

    return compose(law.wants, kind, choose)


def reached(loss: Subject, law: Law, count: int) -> int:
    """Try a law on drawn cases; return on how many its premise held."""
    hits = 0

    @settings(
        max_examples=count,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(recipe=recipes(loss.kind, law))
    def attempt(recipe: Recipe) -> None:
        nonlocal hits
        hits += law(loss, recipe.case())

    attempt()
    return hits


def obey(loss: Subject, number: int, *, count: int | None = None) -> None:
    """Assert a law on drawn cases, and that a tenth of them reach its premise."""
    law = BY_NUMBER[number]
    wanted = count or (GRADCHECK_CASES if number == 7 else VALUE_CASES)
    hits = reached(loss, law, wanted)
    assert hits >= wanted // 10 or soft_label(number, loss), (
        f"only {hits} of {wanted} cases say anything about {law} of {loss.name}"
    )


def keeping(number: int) -> list[str]:
    """Names of the registered losses that declare a law and to which it applies."""
    keep = [n for n in losses.names() if number in losses.spec(n).laws]
    return [n for n in keep if not inapplicable(number, losses.build(n))]
