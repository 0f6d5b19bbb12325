"""Schedules are pure functions of progress: exact ends, continuous where declared."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import schedules

MADE = {
    "constant": (schedules.constant(0.3), 0.3, 0.3),
    "linear": (schedules.linear(0.1, 0.7), 0.1, 0.7),
    "late linear": (schedules.linear(0.0, 1.0, begin=0.5), 0.0, 1.0),
    "cosine": (schedules.cosine(0.9, 0.2), 0.9, 0.2),
    "exponential": (schedules.exponential(3.0, 0.1), 3.0, 0.1),
    "warmup": (schedules.warmup(0.7, share=0.25), 0.0, 0.7),
    "steps": (schedules.steps([1.0, 0.5, 0.1], [0.3, 0.6]), 1.0, 0.1),
    "piecewise": (schedules.piecewise([(0, 0.1), (0.3, 0.9), (1, 0.7)]), 0.1, 0.7),
}


@pytest.mark.parametrize("name", MADE)
def test_the_ends_are_exact(name: str) -> None:
    schedule, first, last = MADE[name]
    assert schedule(0.0) == first
    assert schedule(1.0) == last


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=200)
@given(u=st.floats(0, 1), v=st.floats(0, 1))
def test_a_value_depends_on_progress_alone(name: str, u: float, v: float) -> None:
    schedule, _, _ = MADE[name]
    before = schedule(u)
    schedule(v)
    assert schedule(u) == before


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=200)
@given(u=st.floats(0, 1 - 1e-6))
def test_a_schedule_declared_continuous_has_no_jump(name: str, u: float) -> None:
    schedule, _, _ = MADE[name]
    if schedule.continuous:
        assert abs(schedule(u + 1e-6) - schedule(u)) < 1e-4


def test_steps_change_at_their_places() -> None:
    schedule, _, _ = MADE["steps"]
    assert [schedule(u) for u in (0.29, 0.3, 0.59, 0.6)] == [1.0, 0.5, 0.5, 0.1]


def test_plain_data_makes_the_same_schedule() -> None:
    made = schedules.from_config({"schedule": "linear", "start": 0.1, "end": 0.7})
    assert [made(u / 7) for u in range(8)] == [MADE["linear"][0](u / 7) for u in range(8)]


def test_the_values_to_check_are_those_of_the_knots_and_levels_too() -> None:
    dip = schedules.piecewise([(0, 1), (0.51, 1), (0.53, -5), (0.55, 1), (1, 1)])
    assert min(dip.values()) == -5
    assert min(schedules.steps([1, -5, 1], [0.51, 0.53]).values()) == -5
    assert len(schedules.linear(0, 1).values()) == 17


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: schedules.linear(0, 1)(1.5), "outside"),
        (lambda: schedules.linear(0, 1, begin=0.7, finish=0.2), "begin < finish"),
        (lambda: schedules.exponential(0, 1), "expected both > 0"),
        (lambda: schedules.steps([1, 2], [0.1, 0.2]), "one more value"),
        (lambda: schedules.steps([1, 2, 3], [0.2, 0.1]), "increasing"),
        (lambda: schedules.piecewise([(0, 1), (0.5, 2)]), "from 0 to 1"),
        (lambda: schedules.piecewise([(0, 1, 2)]), r"points\[0\]=\(0, 1, 2\): expected a pair"),
        (lambda: schedules.piecewise([0, 1]), r"points\[0\]=0: expected a list of numbers"),
        (lambda: schedules.piecewise(3), "points"),
        (lambda: schedules.piecewise([(0, "a"), (1, 1)]), r"points\[0\]\[1\]='a'"),
        (lambda: schedules.steps(3, [0.1]), "values=3: expected a list"),
        (lambda: schedules.steps([1, "2"], [0.1]), r"values\[1\]='2': expected a number"),
        (lambda: schedules.constant("a"), "value='a': expected a number"),
        (lambda: schedules.linear(0, float("nan")), "end=nan: expected a number"),
        (lambda: schedules.linear(0, 1, begin="a"), "begin='a'"),
        (lambda: schedules.warmup(1, share=0), "share=0: expected a share"),
        (lambda: schedules.from_config("linear"), "'linear' is no schedule"),
        (lambda: schedules.constant(1.0)("0.5"), "expected a number in"),
        (lambda: schedules.from_config({"schedule": "liner"}), "did you mean 'linear'"),
        (lambda: schedules.from_config({"schedule": "linear", "stat": 1}), "stat"),
    ],
)
def test_bad_schedules_are_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]
