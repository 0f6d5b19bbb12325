"""Hypothesis strategies of cases, and the loop that tries a law on a loss and counts."""

from collections.abc import Callable, Iterable

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import losses
from losses.laws import BY_NUMBER, Law
from losses.laws.cases import Case, Subject, make_case

VALUE_CASES, GRADCHECK_CASES, VARIANT_CASES = 200, 20, 20
# One op thread: the maps are tiny, and threads cost more than they bring.
torch.set_num_threads(1)


@st.composite
def cases(draw: st.DrawFn, kind: losses.registry.Kind, law: Law) -> Case:
    """Cases of one kind as the law wants them; shapes lie on both sides of every window."""
    sides = st.sampled_from(law.sides)
    return make_case(
        kind,
        draw(st.integers(0, 2**31 - 1)),
        size=(draw(st.integers(1, 3)), draw(sides), draw(sides)),
        target=draw(st.sampled_from(law.targets)),
        mask=draw(st.sampled_from(law.masks)),
        scale=draw(st.sampled_from(law.scales)),
        flat=draw(st.booleans()) if law.flat is None else law.flat,
        dtype=law.dtype,
    )


def reached(loss: Subject, law: Law, count: int) -> int:
    """Try a law on drawn cases; return on how many its premise held."""
    hits = 0
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=quiet,
    )
    @given(case=cases(loss.kind, law))
    def attempt(case: Case) -> None:
        nonlocal hits
        hits += law.fn(loss, case)

    attempt()
    return hits


def obey(loss: Subject, number: int, *, count: int | None = None, vacuous: bool = False) -> None:
    """Assert a law on drawn cases, and that a tenth of them reach its premise."""
    law = BY_NUMBER[number]
    wanted = count or (GRADCHECK_CASES if number == 7 else VALUE_CASES)
    hits = reached(loss, law, wanted)
    assert vacuous or hits >= wanted // 10, (
        f"only {hits} of {wanted} cases say anything about {law} of {loss.name}"
    )


def keeping(number: int) -> Iterable[str]:
    """Names of the registered losses that declare a law."""
    return [n for n in losses.names() if number in losses.spec(n).laws]


def built(fn: Callable[..., torch.Tensor]) -> str:
    """Name a test's parameter."""
    return getattr(fn, "__name__", str(fn))
