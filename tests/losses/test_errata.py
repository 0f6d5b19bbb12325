"""The errata: the published settings are the published formulas, and differ from the repaired."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import losses
from losses.errata import ERRATA
from tests.differential.agree import agree, normal
from tests.upstream import birefnet, f3net, text

ROOT = Path(__file__).parent.parent.parent
BY_NUMBER = {e.number: e for e in ERRATA}
Formula = Callable[..., Tensor]


def pixel(weights: dict[str, float]) -> Formula:
    return lambda z, t: birefnet.pixel([z], t, weights)


def of_all_pixels(formula: Formula) -> Formula:
    return lambda z, t: formula(z.sigmoid(), t, torch.ones_like(t))


def of_three_maps(formula: Formula) -> Formula:
    return lambda z, x, t, y, area: formula(z.sigmoid(), x, t, y, area, torch.ones_like(t))


def fine_tuned() -> dict[str, float]:
    """BiRefNet's weights for DIS5K when its training ends, without a resume."""
    weights = dict(birefnet.RELEASED["DIS5K"])
    for epoch in range(1, 501):
        birefnet.fine_tune(weights, epoch, 500, -40)
    return weights


UPSTREAM: dict[int, Formula] = {
    1: f3net.structure_as_published,
    2: f3net.structure_of_the_paper,
    3: pixel({"structure": 1.0}),
    4: lambda z, t: birefnet.patch_iou(z.sigmoid(), t),
    5: pixel({"iou": 0.5}),
    6: pixel(fine_tuned()),
    7: lambda z, coarse, image, _: birefnet.gradient_supervision([z], [coarse], image),
    8: lambda z, t: birefnet.contour(z.sigmoid(), t),
    9: of_three_maps(text.mhliao_db),
    10: of_all_pixels(text.balanced_cross_entropy),
    11: lambda x, y: text.balance_l1(x, y, (y > 0).double()),
    12: of_three_maps(text.paddle_db),
    13: of_all_pixels(lambda *x: text.mmocr_balanced_bce(*x, reduction="mean")),
}
# They count int(S(t)) positives: over a soft target their balance of a number is that number
# times (S(t) + S of the mined 1 - t) / (int(S(t)) + mined). Ours counts S(t), so it is the number.
COUNTS_WHOLE_PIXELS = {12, 13}
EMPTY_IS_0_BY_0 = {2}


def batch(number: int) -> tuple[Tensor, Tensor]:
    """Three images of 70 x 80 px: logits and a soft target, the last one's empty if it may be."""
    z, noise = normal(3, 1, 70, 80, seed=1, scale=2.0), normal(3, 1, 70, 80, seed=2)
    t = (z + noise).sub(2).clamp(0, 1)
    if number in COUNTS_WHOLE_PIXELS:
        t = t.ceil()
    if number not in EMPTY_IS_0_BY_0:
        t[-1] = 0
    return z, t


def inputs(number: int) -> tuple[list[Tensor], list[Tensor]]:
    """What is predicted and what is given, for the kind of the erratum's loss."""
    z, t = batch(number)
    if number == 7:
        return [z, normal(3, 1, 35, 40, seed=3)], [normal(3, 3, 70, 80, seed=4), t]
    if number in (9, 12):
        x, y = normal(3, 1, 70, 80, seed=3).sigmoid(), normal(3, 1, 70, 80, seed=4).sigmoid()
        return [z, x], [t, y, (y > 0.6).double()]
    return [z.sigmoid() if number == 11 else z], [t]


def called(loss: losses.Loss, given: list[Tensor]) -> Formula:
    """The loss as a function of single maps."""
    listed = loss.kind in ("levels", "gradient")

    def fn(*predicted: Tensor) -> Tensor:
        maps = [[x] for x in predicted] if listed else list(predicted)
        rest = [*given[:-1], given[-1].bool()] if loss.kind == "db" else given
        return loss(*maps, *rest)  # type: ignore[arg-type]

    return fn


def test_the_errata_are_numbered_without_gaps() -> None:
    assert list(BY_NUMBER) == list(range(1, 14))


@pytest.mark.parametrize("number", UPSTREAM)
def test_the_published_setting_equals_the_published_formula(number: int) -> None:
    setting = BY_NUMBER[number].published
    predicted, given = inputs(number)
    soft = ((given[0 if number != 7 else 1] % 1) > 0).any()
    assert bool(soft) is (number not in COUNTS_WHOLE_PIXELS)
    value = agree(
        called(setting.build(), given), lambda *x: UPSTREAM[number](*x, *given), predicted
    )
    assert value.isfinite()


@pytest.mark.parametrize("number", sorted(set(UPSTREAM) - EMPTY_IS_0_BY_0))
def test_a_batch_without_positives_is_published_too(number: int) -> None:
    setting = BY_NUMBER[number].published
    predicted, given = inputs(number)
    given[1 if number == 7 else 0].zero_()
    fn = called(setting.build(), given)
    if number == 12:  # balance weighs Dice, 1 there, by counts of 0; here Dice stays
        found, wanted = fn(*predicted), UPSTREAM[12](*predicted, *given)
        torch.testing.assert_close(found, wanted + 5, rtol=0, atol=1e-5)
        return
    if number == 11:
        assert fn(*predicted).isnan()
        assert UPSTREAM[11](*predicted, *given).isnan()
        return
    agree(fn, lambda *x: UPSTREAM[number](*x, *given), predicted)


def test_every_erratum_is_compared() -> None:
    assert set(UPSTREAM) == {e.number for e in ERRATA}


def test_fine_tuning_ends_at_the_weights_of_its_published_setting() -> None:
    setting = BY_NUMBER[6].published
    found = setting.build().arguments()
    assert {k: found[k] for k in fine_tuned()} == pytest.approx(fine_tuned())


@pytest.mark.parametrize("number", [4, 5])
def test_what_is_empty_and_met_exactly_costs_0_here_and_is_nan_as_published(number: int) -> None:
    z = torch.full((2, 1, 70, 80), -1e3, dtype=torch.float64, requires_grad=True)
    t = torch.zeros_like(z)
    if number == 4:  # all that counts is the first patch
        t[..., 64:, :] = t[..., 64:] = 1
    erratum = BY_NUMBER[number]
    assert "(0 here, NaN there)" in erratum.defect
    assert UPSTREAM[number](z, t).isnan()
    value = called(erratum.published.build(), [t])(z)
    assert value.item() == 0
    value.backward()
    assert not z.grad.any()  # type: ignore[union-attr]


def test_mhliaos_l1_is_no_number_where_the_repaired_one_is_finite() -> None:
    x = normal(2, 1, 8, 8).sigmoid()
    none, whole = torch.zeros_like(x), torch.ones_like(x)
    assert text.balance_l1(x, none, none).isnan()
    assert text.balance_l1(x, none, whole).isnan()
    assert text.mask_l1(x.requires_grad_(), none, none).grad_fn is None
    for target in (none, whole):
        value = BY_NUMBER[11].repaired.build()(x, target)
        assert value.isfinite()
        assert value.grad_fn is not None


@pytest.mark.parametrize("number", UPSTREAM)
def test_published_and_repaired_learn_different_things(number: int) -> None:
    predicted, given = inputs(number)
    found = []
    for setting in (BY_NUMBER[number].published, BY_NUMBER[number].repaired):
        leaves = [x.clone().requires_grad_() for x in predicted]
        value = called(setting.build(), given)(*leaves)
        assert value.isfinite()
        slopes = torch.autograd.grad(value, leaves, allow_unused=True)
        found.append([torch.zeros(()) if g is None else g for g in slopes])
    apart = [float((a - b).norm() / a.norm()) for a, b in zip(*found, strict=True)]
    assert max(apart) > 0.03  # .037 by erratum 6: its iou is small beside ssim; others from .19


def test_the_command_prints_each_with_source_and_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "losses.errata"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(re.findall(r"^\d+\. ", done.stdout, re.MULTILINE)) == 13
    assert done.stdout.count("measured") == done.stdout.count("published  ") == 13


def test_an_unknown_number_is_refused() -> None:
    command = [sys.executable, "-m", "losses.errata", "--number", "14"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "they run from 1 to 13" in done.stderr


def test_fine_tuning_begins_where_the_release_says_and_needs_no_state() -> None:
    loss = losses.build("birefnet_pixel", **losses.fine_tuning("General", epochs=100))
    for u in (1.0, 0.79, 0.81, 0.0):
        weights = loss.arguments(u)
        tuned = u > 0.8
        assert weights["bce"] == (0 if tuned else 30)
        assert weights["iou"] == (0.25 if tuned else 0.5)
        assert weights["mae"] == pytest.approx(90 if tuned else 100)
    matting = losses.build("birefnet_pixel", **losses.fine_tuning("Matting", epochs=100))
    assert matting.arguments(1.0)["ssim"] == pytest.approx(9)
    assert matting.arguments(1.0)["bce"] == 30
    with pytest.raises(ValueError, match="more than the 40 that DIS5K fine-tunes"):
        losses.fine_tuning("DIS5K", epochs=40)
    with pytest.raises(ValueError, match="did you mean 'Matting'"):
        losses.fine_tuning("Mating", epochs=40)
