"""U-Net's border weights: the paper's numbers between two objects, the class balance elsewhere."""

import math

import pytest
import torch

import losses


def two_bars(gap: int) -> torch.Tensor:
    """Two bars with ``gap`` background columns between them."""
    t = torch.zeros(1, 1, 9, 30, dtype=torch.float64)
    t[..., 5:10] = 1
    t[..., 10 + gap : 15 + gap] = 1
    return t


def test_where_the_distances_sum_to_five_the_border_adds_six() -> None:
    t = two_bars(4)  # columns 10-13 between them: distances 1 and 4, 2 and 3
    added = losses.unet_weight(t) - losses.unet_weight(t, w0=0.0)
    expected = torch.full((9, 4), 10 * math.exp(-0.5), dtype=torch.float64)
    torch.testing.assert_close(added[0, 0, :, 10:14], expected)
    assert added[0, 0, 0, 11].item() == pytest.approx(6.07, abs=0.01)


def test_with_one_object_only_the_classes_are_balanced() -> None:
    t = torch.zeros(1, 1, 10, 10)
    t[..., :2, :5] = 1  # a tenth
    weight = losses.unet_weight(t)
    torch.testing.assert_close(weight, torch.where(t > 0, 5.0, 0.5 / 0.9))
    assert (losses.unet_weight(torch.zeros_like(t)) == 1).all()


def test_ignored_pixels_are_background_and_do_not_count() -> None:
    t = two_bars(4)
    mask = torch.ones_like(t)
    mask[..., 14:] = 0
    t[..., 14:] = float("nan")
    seen = losses.unet_weight(t, mask=mask)
    assert torch.isfinite(seen).all()
    torch.testing.assert_close(seen[..., :14], losses.unet_weight(two_bars(4)[..., :14]))


def test_a_weight_made_with_the_data_gives_the_same_loss() -> None:
    t = two_bars(3)
    z = torch.randn(t.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = losses.unet_bce(z, t, weight=losses.unet_weight(t))
    torch.testing.assert_close(given, losses.unet_bce(z, t))
    torch.testing.assert_close(given, losses.weighted_bce(z, t, weight=losses.unet_weight(t)))


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, "a", None, torch.ones(1)])
def test_w0_and_sigma_are_finite_numbers_and_sigma_is_above_0(bad: float) -> None:
    with pytest.raises(ValueError, match=r"w0=.*expected a number >= 0"):
        losses.unet_weight(two_bars(3), w0=bad)
    for sigma in (bad, 0.0):
        with pytest.raises(ValueError, match=r"sigma=.*expected a number of px > 0"):
            losses.unet_weight(two_bars(3), sigma=sigma)
