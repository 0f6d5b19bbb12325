"""Law 15: schedules, and losses that they drive, are functions of progress and of nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import losses
from losses import schedules
from losses.laws import check

CASES = settings(max_examples=200)
WEIGHTS = st.floats(0.01, 100)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, object]:
    """Plain data of schedules with drawn arguments."""
    a, b, c = draw(WEIGHTS), draw(WEIGHTS), draw(WEIGHTS)
    u = draw(st.floats(0.05, 0.45))
    v = draw(st.floats(0.55, 0.95))
    return draw(
        st.sampled_from(
            [
                {"schedule": "constant", "value": a},
                {"schedule": "linear", "start": a, "end": b},
                {"schedule": "linear", "start": a, "end": b, "begin": u, "finish": v},
                {"schedule": "cosine", "start": a, "end": b, "begin": u},
                {"schedule": "exponential", "start": a, "end": b},
                {"schedule": "warmup", "value": a, "share": u},
                {"schedule": "steps", "values": [a, b, c], "at": [u, v]},
                {"schedule": "piecewise", "points": [[0, a], [u, b], [1, c]]},
            ]
        )
    )


def ends(config: dict[str, object]) -> tuple[object, object]:
    """First and last value by the meaning of the arguments."""
    name = config["schedule"]
    if name in ("steps", "piecewise"):
        values = config["values"] if name == "steps" else [w for _, w in config["points"]]
        return values[0], values[-1]
    if name == "warmup":
        return 0.0, config["value"]
    return config.get("start", config.get("value")), config.get("end", config.get("value"))


@CASES
@given(config=configs())
def test_both_ends_are_exact(config: dict[str, object]) -> None:
    schedule = schedules.from_config(config)
    assert (schedule(0.0), schedule(1.0)) == ends(config)


@CASES
@given(config=configs(), at=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_run_that_resumes_has_the_weights_of_one_that_did_not_stop(
    config: dict[str, object], at: list[float]
) -> None:
    used = schedules.from_config(config)
    before = [used(u) for u in at]
    resumed = schedules.from_config(json.loads(json.dumps(config)))
    assert [resumed(u) for u in reversed(at)] == before[::-1]
    assert [used(u) for u in reversed(at)] == before[::-1]


@CASES
@given(config=configs(), u=st.floats(0, 1 - 1e-9))
def test_a_schedule_declared_continuous_moves_little_in_a_little_time(
    config: dict[str, object], u: float
) -> None:
    schedule = schedules.from_config(config)
    if schedule.continuous:
        assert abs(schedule(u + 1e-9) - schedule(u)) < 1e-5


def test_only_steps_are_declared_to_jump() -> None:
    made = {
        "constant": schedules.constant(1),
        "linear": schedules.linear(0, 1),
        "cosine": schedules.cosine(0, 1),
        "exponential": schedules.exponential(1, 2),
        "warmup": schedules.warmup(1),
        "piecewise": schedules.piecewise([(0, 1), (1, 0)]),
        "steps": schedules.steps([0, 1], [0.5]),
    }
    assert set(made) == set(schedules.NAMES)
    assert [n for n, s in made.items() if not s.continuous] == ["steps"]


@settings(CASES, max_examples=20)
@given(config=configs())
def test_a_loss_whose_weight_a_schedule_drives_keeps_law_15(config: dict[str, object]) -> None:
    driven = losses.build("dice_bce", bce_weight=config)
    summed = losses.weighted_sum({"bce": losses.Term("bce", config), "dice": 1.0})
    assert check(driven, laws=[15], cases=2) == []
    assert check(summed, laws=[15], cases=2) == []


def test_a_schedule_that_hides_its_jump_is_found() -> None:
    liar = schedules.Schedule("liar", lambda u: 0.2 if u < 0.637 else 0.9)
    (found,) = check(losses.build("hybrid", lam=liar), laws=[15])
    assert "a jump at progress 0.637" in found.what


@pytest.mark.parametrize("name", ["bce", "dice"])
def test_asking_a_loss_without_schedule_for_law_15_is_no_pass(name: str) -> None:
    (found,) = check(losses.build(name), laws=[15])
    assert found.what == "cannot be tried: it takes no progress"
