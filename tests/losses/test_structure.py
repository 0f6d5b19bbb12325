"""Boundary weights and the losses that use them: the figures the documents give."""

from typing import Any

import pytest
import torch
from torch import Tensor

import losses
from losses.boundary import _side

FULL = torch.ones(1, 1, 100, 100, dtype=torch.float64)


def sample(seed: int = 0, size: int = 40) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(2, 1, size, size, generator=g, dtype=torch.float64)
    t = torch.rand(2, 1, size, size, generator=g, dtype=torch.float64)
    return z, (t > 0.5).double()


def test_a_full_mask_weighs_at_the_border_as_published_and_not_with_exclude() -> None:
    w = losses.boundary_weight(FULL)
    assert w[0, 0, 0, 0].item() == pytest.approx(4.668, abs=5e-4)
    assert w[0, 0, 0, 50].item() == pytest.approx(3.419, abs=5e-4)
    assert w[0, 0, 50, 50].item() == 1.0
    exclude = losses.boundary_weight(FULL, border="exclude")
    torch.testing.assert_close(exclude, torch.ones_like(FULL), rtol=0, atol=1e-12)


def test_a_relative_window_is_31_at_352_and_91_at_1024() -> None:
    assert [_side("relative", (s, s)) for s in (352, 1024)] == [31, 91]


@pytest.mark.parametrize(("size", "side"), [((70, 70), 7), ((50, 98), 7), ((23, 23), 3)])
def test_a_relative_window_weighs_as_the_window_of_that_side_alone(
    size: tuple[int, int], side: int
) -> None:
    g = torch.Generator().manual_seed(4)
    t = (torch.rand(2, 1, *size, generator=g, dtype=torch.float64) > 0.5).double()
    found = losses.boundary_weight(t, window="relative")
    torch.testing.assert_close(found, losses.boundary_weight(t, window=side), rtol=0, atol=0)
    for other in (side - 2, side + 2, 31):
        assert (found - losses.boundary_weight(t, window=other)).abs().max() > 0.2


def test_gamma_0_is_bce_plus_iou_in_product_form() -> None:
    z, t = sample()
    iou = losses.iou(z, t, denominator="linear", empty="published", smooth=1.0)
    torch.testing.assert_close(losses.structure(z, t, gamma=0.0), losses.bce(z, t) + iou)


def test_window_1_is_no_weight() -> None:
    z, t = sample()
    torch.testing.assert_close(losses.structure(z, t, window=1), losses.structure(z, t, gamma=0.0))


def test_a_weight_made_before_is_taken() -> None:
    z, t = sample()
    w = losses.boundary_weight(t)
    torch.testing.assert_close(losses.structure(z, t, weight=w), losses.structure(z, t))
    torch.testing.assert_close(losses.build("structure")(z, t, weight=w), losses.structure(z, t))
    with pytest.raises(ValueError, match="weight has shape"):
        losses.structure(z, t, weight=w[:1])


def test_the_scale_of_the_weight_cancels_in_weighted_bce() -> None:
    z, t = sample()
    w = losses.boundary_weight(t)
    torch.testing.assert_close(
        losses.weighted_bce(z, t, weight=7 * w), losses.weighted_bce(z, t, weight=w)
    )
    zero = losses.weighted_bce(z, t, weight=0 * w)
    assert zero.item() == 0


def test_weighted_iou_of_equal_weights_is_iou() -> None:
    z, t = sample()
    ones = torch.ones_like(t)
    torch.testing.assert_close(losses.weighted_iou(z, t, weight=ones), losses.iou(z, t))
    empty = torch.zeros_like(t)
    torch.testing.assert_close(losses.weighted_iou(z, empty, weight=ones), losses.iou(z, empty))


def test_ignored_pixels_are_left_out_of_the_means() -> None:
    _, t = sample()
    mask = torch.ones_like(t, dtype=torch.bool)
    mask[..., 20:] = False
    w = losses.boundary_weight(t, mask=mask, border="exclude")
    alone = losses.boundary_weight(t[..., :20], border="exclude")
    torch.testing.assert_close(w[..., :20], alone, rtol=0, atol=1e-12)
    assert bool((w[..., 20:] == 1).all())


def test_the_region_is_1_at_the_boundary_and_0_without_one() -> None:
    t = torch.zeros(2, 1, 80, 80)
    t[1, :, 30:50, 30:50] = 1
    region = losses.boundary_region(t)
    assert not region[0].any()
    assert region[1].max() == 1
    assert region[1, 0, 0, 0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("knobs", [{}, {"gamma": 0.1}, {"gamma": 100.0}, {"window": "relative"}])
def test_the_papers_divisor_is_0_for_a_flat_target_whatever_its_level(
    dtype: torch.dtype, level: float, knobs: dict[str, Any]
) -> None:
    loss = losses.build("structure", weighting="paper", border="exclude", **knobs)
    t = torch.full((1, 1, 90, 70), level, dtype=dtype)
    assert loss.components(torch.ones_like(t), t)["bce"] == 0
    t[..., 40, 40] += 0.1 if level < 1 else -0.1
    assert loss.components(torch.ones_like(t), t)["bce"] > 1


def test_box_means_in_float32_are_exact_at_large_sizes() -> None:
    g = torch.Generator().manual_seed(2)
    t = torch.rand(1, 1, 600, 512, generator=g)
    w, exact = losses.boundary_weight(t), losses.boundary_weight(t.double())
    torch.testing.assert_close(w.double(), exact, rtol=0, atol=2e-6)


def test_dice_forms_agree_on_binary_maps_and_overlap_rules_on_empty_ones() -> None:
    t = sample()[1]
    z = 200 * sample(1)[1] - 100
    forms = [losses.build("dice", denominator=d)(z, t) for d in ("l1", "linear", "squared")]
    torch.testing.assert_close(forms[0], forms[1])
    torch.testing.assert_close(forms[0], forms[2])
    far = torch.full_like(t, 5.0).requires_grad_()
    losses.dice(far, 0 * t, empty="published", smooth=0.0).backward()
    assert far.grad is not None
    assert far.grad.abs().max() < 1e-12
    far.grad = None
    losses.dice(far, 0 * t).backward()
    assert far.grad is not None
    assert far.grad.min() > 1e-7


def test_region_adaptive_is_bce_in_its_region_and_mae_outside() -> None:
    z, t = sample()
    ones = torch.ones_like(t)
    torch.testing.assert_close(losses.region_adaptive(z, t, region=ones), losses.bce(z, t))
    torch.testing.assert_close(losses.region_adaptive(z, t, region=0 * ones), losses.mae(z, t))
    with pytest.raises(ValueError, match="region has shape"):
        losses.region_adaptive(z, t, region=ones[:1])


@pytest.mark.parametrize(
    ("mode", "weights"),
    [
        ("add", [(1, 0), (1, 0), (1, 0.5), (1, 1)]),
        ("replace", [(1, 0), (1, 0), (0.5, 0.5), (0, 1)]),
        ("reverse_add", [(1, 1), (1, 1), (1, 0.5), (1, 0)]),
        ("reverse", [(0, 1), (0, 1), (0.5, 0.5), (1, 0)]),
    ],
)
def test_progressive_moves_from_bce_to_mae_in_the_second_half(
    mode: str, weights: list[tuple[float, float]]
) -> None:
    z, t = sample()
    for u, (a, b) in zip((0.0, 0.5, 0.75, 1.0), weights, strict=True):
        value = losses.build("progressive", mode=mode)(z, t, progress=u)
        torch.testing.assert_close(value, a * losses.bce(z, t) + b * losses.mae(z, t))
    with pytest.raises(ValueError, match="pass progress="):
        losses.progressive(z, t)
