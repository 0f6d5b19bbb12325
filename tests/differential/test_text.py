"""Losses of text detectors: their parts and the sums of five published flavours."""

from typing import Any

import pytest
import torch
from torch import Tensor

import losses
from losses.db import DB_FLAVOURS as FLAVOURS
from losses.db import step
from tests.upstream import text

from .agree import agree, draw, normal

SIZES = [(1, 8, 8), (3, 20, 17), (2, 7, 64)]
each_size = pytest.mark.parametrize("size", SIZES)
AS_DB: dict[str, Any] = {"level": "batch", "min_negatives": 0}


def valid(size: tuple[int, int, int], share: float = 0.8, seed: int = 9) -> Tensor:
    """A mask of 0 and 1 in float64."""
    b, h, w = size
    return (normal(b, 1, h, w, seed=seed).sigmoid() < share).double()


def rare(size: tuple[int, int, int], soft: bool = False) -> tuple[Tensor, Tensor]:
    """Logits and a target of few positives, so that mining leaves negatives out."""
    z, t = draw(size, soft=True)
    return z, torch.where(t > 0.9, 1.0, torch.where(t < 0.3, t if soft else 0.0, 0.0)).double()


@each_size
@pytest.mark.parametrize("ratio", [0.5, 3.0])
def test_balanced_bce_over_the_batch_equals_mhliaos(
    size: tuple[int, int, int], ratio: float
) -> None:
    (z, t), m = rare(size), valid(size)
    loss = losses.build("balanced_bce", form="byte", ratio=ratio, **AS_DB)
    agree(
        lambda z: loss(z, t, mask=m),
        lambda z: text.balanced_cross_entropy(z.sigmoid(), t, m, ratio),
        [z],
    )


@each_size
def test_balanced_bce_in_its_byte_form_drops_soft_pixels_as_mhliaos_does(
    size: tuple[int, int, int],
) -> None:
    (z, t), m = rare(size, soft=True), valid(size)
    assert ((t > 0) & (t < 1)).any()
    loss = losses.build("balanced_bce", form="byte", **AS_DB)
    agree(
        lambda z: loss(z, t, mask=m),
        lambda z: text.balanced_cross_entropy(z.sigmoid(), t, m),
        [z],
    )


def test_a_target_scaled_by_a_thousandth_costs_nothing_in_the_published_form() -> None:
    z, t = rare((2, 12, 9))
    whole = torch.ones_like(t)
    byte = losses.build("balanced_bce", form="byte", **AS_DB)
    assert float(text.balanced_cross_entropy(z.sigmoid(), 0.999 * t + 0.0005, whole)) == 0
    assert float(byte(z, 0.999 * t + 0.0005)) == 0
    repaired = losses.build("balanced_bce")
    assert float(repaired(z, 0.999 * t)) == pytest.approx(float(repaired(z, t)), rel=0.02)


@each_size
@pytest.mark.parametrize("fallback", [0, 5])
@pytest.mark.parametrize("empty", [False, True])
def test_balanced_bce_equals_mmocrs_with_its_fallback(
    size: tuple[int, int, int], fallback: int, empty: bool
) -> None:
    (z, t), m = rare(size), valid(size)
    t = torch.zeros_like(t) if empty else t
    loss = losses.build("balanced_bce", level="batch", min_negatives=fallback)
    agree(
        lambda z: loss(z, t, mask=m),
        lambda z: text.mmocr_balanced_bce(z.sigmoid(), t, m, fallback=fallback),
        [z],
    )


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_one_positive_is_no_case_for_mmocrs_fallback(ratio: float) -> None:
    z, t = normal(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    t[..., 3, 4] = 1
    loss = losses.build("balanced_bce", level="batch", ratio=ratio, min_negatives=5)

    def theirs(z: Tensor) -> Tensor:
        return text.mmocr_balanced_bce(z.sigmoid(), t, torch.ones_like(t), ratio, fallback=5)

    agree(lambda z: loss(z, t), theirs, [z], close=1e-5)


@each_size
@pytest.mark.parametrize("ratio", [0.5, 3.0, 30.0])
def test_balanced_bce_in_its_mean_form_equals_mmocrs_reduction_mean(
    size: tuple[int, int, int], ratio: float
) -> None:
    z, t = rare(size)
    whole = torch.ones_like(t)
    loss = losses.build("balanced_bce", form="mean", ratio=ratio, **AS_DB)
    agree(
        lambda z: loss(z, t),
        lambda z: text.mmocr_balanced_bce(z.sigmoid(), t, whole, ratio, reduction="mean"),
        [z],
    )


@each_size
@pytest.mark.parametrize("soft", [False, True])
def test_dice_over_the_batch_equals_the_published_one(
    size: tuple[int, int, int], soft: bool
) -> None:
    (z, t), m = draw(size, soft=soft), valid(size)
    loss = losses.build("dice", level="batch", smooth=0.0, denominator="linear", empty="published")
    agree(lambda z: loss(z, t, mask=m), lambda z: text.dice(z.sigmoid(), t, m), [z])
    agree(lambda z: loss(z, t, mask=m), lambda z: text.doctr_dice(z.sigmoid(), t, m), [z])


@pytest.mark.parametrize("soft", [False, True])
def test_focal_on_the_mask_equals_doctrs(soft: bool) -> None:
    size = (1, 20, 17)
    (z, t), m = draw(size, soft=soft), valid(size)
    loss = losses.build("focal", gamma=2.0, alpha=0.5)
    agree(lambda z: loss(z, t, mask=m), lambda z: text.doctr_focal(z, t, m), [z])


def regression(size: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """A predicted threshold map, its target, and where it counts."""
    b, h, w = size
    y = normal(b, 1, h, w, seed=4).sigmoid()
    return normal(b, 1, h, w, seed=3).sigmoid(), y, valid(size, 0.3)


@pytest.mark.parametrize("size", [(1, 8, 8), (1, 7, 64)])
@pytest.mark.parametrize("form", ["mask_l1", "paddle_l1", "mmocr_smooth_l1"])
def test_masked_l1_equals_the_published_ones(size: tuple[int, int, int], form: str) -> None:
    x, y, m = regression(size)
    theirs = getattr(text, form)
    agree(lambda x: losses.build("masked_l1")(x, y, mask=m), lambda x: theirs(x, y, m), [x])


def test_masked_l1_as_a_sum_is_the_papers() -> None:
    x, y, m = regression((2, 9, 8))
    loss = losses.build("masked_l1", normalise="sum")
    agree(lambda x: loss(x, y, mask=m, reduction="sum"), lambda x: ((x - y).abs() * m).sum(), [x])


def test_masked_l1_of_an_empty_mask_has_a_grad_fn_unlike_mhliaos() -> None:
    x, y, _ = regression((2, 9, 8))
    x.requires_grad_()
    none = torch.zeros_like(y)
    assert text.mask_l1(x, y, none).grad_fn is None
    assert losses.build("masked_l1")(x, y, mask=none).grad_fn is not None


@pytest.mark.parametrize("ratio", [0.5, 3.0])
def test_balanced_l1_of_each_image_equals_mhliaos(ratio: float) -> None:
    x, y, m = regression((3, 9, 8))
    loss = losses.build("balanced_l1", ratio=ratio)

    def theirs(x: Tensor) -> Tensor:
        images = zip(x, y, m, strict=True)
        return torch.stack([text.balance_l1(*image, ratio=ratio) for image in images]).mean()

    agree(lambda x: loss(x, y, region=m), theirs, [x])


def test_balanced_l1_is_finite_where_mhliaos_is_nan() -> None:
    x, y, m = regression((1, 9, 8))
    for region in (torch.zeros_like(m), torch.ones_like(m)):
        assert text.balance_l1(x, y, region).isnan()
        assert losses.build("balanced_l1")(x, y, region=region).isfinite()


@pytest.mark.parametrize("k", [1.0, 50.0])
def test_the_step_equals_the_reference_form_where_that_is_finite(k: float) -> None:
    p, threshold, _ = regression((2, 9, 8))
    agree(
        lambda p, threshold: step(p, threshold, k=k).sum(),
        lambda p, threshold: text.step(p, threshold, k).sum(),
        [p, threshold],
    )


def test_the_steps_gradient_is_finite_where_the_reference_forms_is_nan() -> None:
    for form, finite in ((text.step, False), (step, True)):
        p = torch.zeros(1, 1, 1, 1, requires_grad=True)
        form(p, torch.ones(1, 1, 1, 1), k=100.0).sum().backward()
        assert bool(p.grad.isfinite().all()) is finite  # type: ignore[union-attr]


def test_mining_has_no_effect_on_paddles_dice() -> None:
    (z, t), m = rare((2, 20, 17)), valid((2, 20, 17))
    found = [float(text.paddle_balance(z.sigmoid(), t, m, ratio)) for ratio in (0, 3, 30)]
    assert found == pytest.approx([float(text.dice(z.sigmoid(), t, m))] * 3, abs=1e-5)


THEIRS = {
    "MhLiao": text.mhliao_db,
    "PaddleOCR": text.paddle_db,
    "mmocr": text.mmocr_db,
    "paper": text.paper_db,
}


@each_size
@pytest.mark.parametrize("flavour", [*THEIRS, "doctr"])
def test_db_in_a_published_flavour_equals_its_code(
    size: tuple[int, int, int], flavour: str
) -> None:
    k = 50.0
    if flavour == "paper":
        size = (1, *size[1:])  # it tells of one image, not of a batch
        k = 10.0  # at 50 the logarithm of a rounded 1 - B is cut off at -100
    (z, t), m = rare(size), valid(size)
    threshold, y, tm = regression(size)
    loss = losses.build("db", k=k, **FLAVOURS[flavour])

    def theirs(z: Tensor, threshold: Tensor) -> Tensor:
        if flavour == "doctr":
            return text.doctr_db(z, threshold, t, y, tm, m, k)
        return THEIRS[flavour](z.sigmoid(), threshold, t, y, tm, m, k)

    agree(lambda z, x: loss(z, x, t, y, tm.bool(), mask=m), theirs, [z, threshold])


def test_every_flavour_of_db_is_compared() -> None:
    assert {*THEIRS, "doctr"} == set(FLAVOURS)
