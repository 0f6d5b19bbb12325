"""Each law rejects a loss that breaks it: the laws are tried on planted defects."""

from collections.abc import Iterator

import pytest
from torch import Tensor

import losses
from losses import image_mean, prepare, probability, reduce
from losses.laws import BY_NUMBER, check
from tests.laws.defects import (
    BROKEN,
    Fn,
    leans_to_one_side,
    mines_what_sorts_first,
    option_that_raises,
    over_the_batch,
    published_dice,
    smooths_the_labels,
)


def name_of(value: object) -> str:
    """The part of a test's name that a parameter gives: of a loss its name, or its class's."""
    return getattr(
        value, "__name__", str(value) if isinstance(value, int) else type(value).__name__
    )


@pytest.mark.parametrize(("number", "fn"), BROKEN, ids=name_of)
def test_the_law_rejects_a_planted_defect(number: int, fn: Fn) -> None:
    (found,) = check(fn, laws=[number], cases=40)
    assert found.law == number
    assert found.name == BY_NUMBER[number].name
    assert found.what in str(found)
    assert found.reproduce.splitlines()[-1] in str(found)
    with pytest.raises(AssertionError):
        exec(found.reproduce, {"loss": fn})


def test_every_law_has_a_defect_that_it_rejects() -> None:
    assert {number for number, _ in BROKEN} == set(BY_NUMBER)


@pytest.mark.parametrize(
    ("number", "fn", "images", "pixels"),
    [
        (3, over_the_batch, 2, 1),
        (4, leans_to_one_side, 1, 2),
        (5, smooths_the_labels, 1, 2),
        (8, published_dice, 1, 1),
        (12, mines_what_sorts_first, 1, 9),
    ],
    ids=name_of,
)
def test_the_case_returned_is_as_small_as_can_be(
    number: int, fn: Fn, images: int, pixels: int
) -> None:
    (found,) = check(fn, laws=[number], cases=40)
    assert found.case is not None
    batch, h, w = found.case.size
    assert (batch, h * w) == (images, pixels)
    assert found.case.mask == "none"
    assert found.case.seed < 5


def test_a_map_that_is_cast_twice_is_found_by_its_gradient() -> None:
    def twice(
        logits: Tensor, threshold: Tensor, target: Tensor, *_: Tensor, mask=None, reduction="mean"
    ) -> Tensor:
        p, b = prepare(logits, target, mask), prepare(threshold, target, mask)
        miss, near = p.logits - 50 * b.logits, prepare(threshold, target, mask).logits
        parts = image_mean(miss.sigmoid(), b.mask) + 12 * image_mean(near.square(), b.mask)
        return reduce(parts, reduction)

    found = check(twice, laws=[9], kind="db", cases=40)
    assert "differs from float32" in "".join(v.what for v in found)


def test_a_setting_that_raises_is_told_with_its_error() -> None:
    (found,) = check(option_that_raises, laws=[11])
    assert found.what.startswith("at sharpen=True it raises TypeError: ones()")
    assert found.what.endswith("; a setting is refused by a ValueError")


@pytest.fixture
def falsely_limited() -> Iterator[str]:
    @losses.register(
        "falsely_limited",
        knobs={"power": losses.number(0, 4), "spare": losses.number(0, 1)},
        limits=(losses.Limit({"power": 1.0}, losses.mse),),
    )
    def falsely_limited(
        logits: Tensor, target: Tensor, *, mask=None, power=2.0, spare=0.5, reduction="mean"
    ) -> Tensor:
        b = prepare(logits, target, mask)
        gap = (probability(b.logits) - b.target).abs() ** power + 0 * spare
        return reduce(image_mean(gap, b.mask), reduction)

    yield "falsely_limited"
    losses.unregister("falsely_limited")


def test_a_limit_case_that_is_none_is_found(falsely_limited: str) -> None:
    (found,) = check(losses.build(falsely_limited), laws=[11])
    assert found.what.startswith("at {'power': 1.0} it is")
    with pytest.raises(AssertionError):
        exec(found.reproduce)


def test_a_declared_knob_without_effect_is_found(
    falsely_limited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = losses.build(falsely_limited)
    monkeypatch.setattr(losses.laws.settings, "_equals", lambda *_: None)
    (found,) = check(loss, laws=[11])
    assert found.case is None
    assert found.what == "no effect on value or gradient in 25 cases: spare"
