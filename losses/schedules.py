"""Schedules: pure functions of progress u in [0, 1] to a weight.

They hold no state, so a resumed run needs none; a value depends on u alone and the ends are
exact. ``losses.build`` takes a schedule wherever it takes a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from .checks import check_choice, check_progress, is_number

__all__ = [
    "NAMES",
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "from_config",
    "is_schedule",
    "linear",
    "piecewise",
    "steps",
    "warmup",
]


@dataclass(frozen=True)
class Schedule:
    """A named function of progress. ``continuous`` says whether it has no jump.

    ``at`` are places that 17 even ones may miss, where its values are checked as well: its knots.
    """

    name: str
    fn: Callable[[float], float]
    continuous: bool = True
    at: tuple[float, ...] = ()

    def __call__(self, progress: float) -> float:
        """Return the weight at ``progress``.

        Raises:
            ValueError: progress is not a number in [0, 1].
        """
        return float(self.fn(check_progress(progress, f"schedule {self.name!r}")))

    def values(self) -> list[float]:
        """Its values at 17 even places and at those of ``at``, to be checked."""
        return [self(u) for u in (*(i / 16 for i in range(17)), *self.at)]


def _mix(start: float, end: float, share: float) -> float:
    if share <= 0:
        return start
    return end if share >= 1 else start + (end - start) * share


def _share(u: float, begin: float, finish: float) -> float:
    if u <= begin:
        return 0.0
    return 1.0 if u >= finish else (u - begin) / (finish - begin)


def _check_numbers(**named: object) -> None:
    for name, value in named.items():
        if not is_number(value) or math.isnan(value):
            raise ValueError(f"{name}={value!r}: expected a number")


def _check_span(begin: float, finish: float) -> None:
    _check_numbers(begin=begin, finish=finish)
    if not 0 <= begin < finish <= 1:
        raise ValueError(f"begin={begin!r}, finish={finish!r}: expected 0 <= begin < finish <= 1")


def constant(value: float) -> Schedule:
    """w(u) = value.

    Raises:
        ValueError: the value is no number.
    """
    _check_numbers(value=value)
    return Schedule("constant", lambda _: value)


def linear(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """Straight from ``start`` at u = begin to ``end`` at u = finish, level outside.

    Raises:
        ValueError: an end that is no number, or not 0 <= begin < finish <= 1.
    """
    _check_numbers(start=start, end=end)
    _check_span(begin, finish)
    return Schedule("linear", lambda u: _mix(start, end, _share(u, begin, finish)))


def cosine(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """w = end + (start - end) (1 + cos(pi s)) / 2 with s the share of [begin, finish].

    Raises:
        ValueError: an end that is no number, or not 0 <= begin < finish <= 1.
    """
    _check_numbers(start=start, end=end)
    _check_span(begin, finish)

    def fn(u: float) -> float:
        s = _share(u, begin, finish)
        return _mix(start, end, s if s in (0.0, 1.0) else (1 - math.cos(math.pi * s)) / 2)

    return Schedule("cosine", fn)


def exponential(start: float, end: float) -> Schedule:
    """w = start (end / start)^u.

    Raises:
        ValueError: an end that is not a positive number.
    """
    _check_numbers(start=start, end=end)
    if start <= 0 or end <= 0:
        raise ValueError(f"start={start!r}, end={end!r}: expected both > 0; linear takes zeros")
    return Schedule(
        "exponential",
        lambda u: start if u == 0 else end if u == 1 else start * (end / start) ** u,
    )


def warmup(value: float, *, share: float = 0.1) -> Schedule:
    """Straight from 0 to ``value`` over the first ``share`` of training, then level.

    Raises:
        ValueError: the value is no number, or the share not in (0, 1].
    """
    _check_numbers(value=value, share=share)
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r}: expected a share of training in (0, 1]")
    return Schedule("warmup", lambda u: _mix(0.0, value, _share(u, 0.0, share)))


def steps(values: Sequence[float], at: Sequence[float]) -> Schedule:
    """values[i] from u = at[i-1] on; ``at`` is increasing and one shorter than ``values``.

    Raises:
        ValueError: no lists of numbers, lengths that do not fit, places not increasing in [0, 1].
    """
    levels, edges = _numbers("values", values), _numbers("at", at)
    if len(levels) != len(edges) + 1:
        raise ValueError(f"{len(levels)} values and {len(edges)} places: expected one more value")
    if list(edges) != sorted(set(edges)) or any(not 0 <= e <= 1 for e in edges):
        raise ValueError(f"at={list(edges)}: expected increasing places in [0, 1]")
    return Schedule(
        "steps", lambda u: levels[sum(u >= e for e in edges)], continuous=False, at=edges
    )


def piecewise(points: Sequence[tuple[float, float]]) -> Schedule:
    """Straight lines through (u, w) points; the first is at u = 0 and the last at u = 1.

    Raises:
        ValueError: no list of pairs of numbers, or places that do not increase from 0 to 1.
    """
    knots = _pairs(points)
    us = tuple(u for u, _ in knots)
    if len(knots) < 2 or us[0] != 0 or us[-1] != 1 or list(us) != sorted(set(us)):
        raise ValueError(f"points at u={list(us)}: expected increasing ones from 0 to 1")

    def fn(u: float) -> float:
        i = max(k for k in range(len(knots) - 1) if us[k] <= u)
        return _mix(knots[i][1], knots[i + 1][1], _share(u, us[i], us[i + 1]))

    return Schedule("piecewise", fn, at=us)


def _numbers(name: str, values: object) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name}={values!r}: expected a list of numbers")
    found = tuple(values)
    for i, value in enumerate(found):
        _check_numbers(**{f"{name}[{i}]": value})
    return tuple(float(value) for value in found)


def _pairs(points: object) -> list[tuple[float, float]]:
    pairs = list(points) if isinstance(points, Iterable) else [points]
    knots = []
    for i, pair in enumerate(pairs):
        found = _numbers(f"points[{i}]", pair)
        if len(found) != 2:
            raise ValueError(f"points[{i}]={pair!r}: expected a pair (u, w), as (0.5, 1.0)")
        knots.append((found[0], found[1]))
    return knots


_MAKERS: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "exponential": exponential,
    "warmup": warmup,
    "steps": steps,
    "piecewise": piecewise,
}
NAMES = tuple(_MAKERS)


def is_schedule(value: object) -> TypeGuard[Schedule | Mapping[str, object]]:
    """Say whether ``value`` is a schedule or the plain data of one."""
    return isinstance(value, Schedule) or (isinstance(value, Mapping) and "schedule" in value)


def from_config(value: object) -> Schedule:
    """Make a schedule of plain data: {"schedule": "linear", "start": 0, "end": 1}.

    Raises:
        ValueError: no schedule, an unknown one (the nearest is named) or arguments it does not
            take.
    """
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, Mapping) or "schedule" not in value:
        raise ValueError(f"{value!r} is no schedule: expected a mapping with the key 'schedule'")
    name = value["schedule"]
    check_choice("schedule", name, NAMES)
    try:
        return _MAKERS[str(name)](**{k: v for k, v in value.items() if k != "schedule"})
    except TypeError as error:
        raise ValueError(f"schedule {name!r}: {error}") from error
