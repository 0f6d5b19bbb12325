"""Sums of losses: weights, parts and the maps they are given."""

import numpy as np
import pytest
import torch

import losses

Z = torch.linspace(-3, 3, 32).view(2, 1, 4, 4)
T = (Z > 1).float()


def test_a_sum_is_the_sum_of_its_weighted_components() -> None:
    loss = losses.weighted_sum({"bce": 2.0, "soft": losses.Term("dice", 0.5, {"smooth": 0.0})})
    parts = loss.components(Z, T)
    assert list(parts) == ["bce", "soft"]
    torch.testing.assert_close(parts["bce"], 2 * losses.bce(Z, T))
    torch.testing.assert_close(parts["soft"], 0.5 * losses.dice(Z, T, smooth=0.0))
    torch.testing.assert_close(loss(Z, T), parts["bce"] + parts["soft"])


def test_the_weights_of_a_sum_may_be_scheduled() -> None:
    fade = {"schedule": "cosine", "start": 1.0, "end": 0.0}
    loss = losses.weighted_sum({"bce": losses.Term("bce", fade), "mae": 1.0})
    torch.testing.assert_close(loss(Z, T, progress=1.0), losses.mae(Z, T))
    with pytest.raises(ValueError, match="weight of 'bce' is scheduled"):
        loss(Z, T)


def test_maps_go_to_those_terms_of_a_sum_that_take_them() -> None:
    w, r = 1 + T, (T > 0).float()
    loss = losses.weighted_sum({"bce": 1.0, "structure": 0.5, "region_adaptive": 2.0})
    value = loss(Z, T, weight=w, region=r)
    expected = losses.bce(Z, T) + 0.5 * losses.structure(Z, T, weight=w)
    torch.testing.assert_close(value, expected + 2 * losses.region_adaptive(Z, T, region=r))
    torch.testing.assert_close(sum(loss.components(Z, T, weight=w, region=r).values()), value)
    alone = losses.build("structure")
    torch.testing.assert_close(
        sum(alone.components(Z, T, weight=w).values()), alone(Z, T, weight=w)
    )
    plain = losses.weighted_sum({"bce": 1.0, "mae": 1.0})
    for call in (plain, plain.components):
        with pytest.raises(ValueError, match=r"sum 'bce\+mae' takes no weight"):
            call(Z, T, weight=w)


def test_components_have_no_gradient_and_the_sum_of_them_has() -> None:
    z = Z.clone().requires_grad_()
    for loss in (
        losses.build("bce"),
        losses.build("dice_bce"),
        losses.weighted_sum({"bce": 1.0, "dice_bce": 0.5}),
    ):
        assert not any(part.requires_grad for part in loss.components(z, T).values())
        assert loss(z, T).requires_grad


def test_a_sum_within_a_sum_reports_nested_names() -> None:
    loss = losses.weighted_sum({"birefnet_pixel": 0.5})
    parts, inner = loss.components([Z], T), losses.build("birefnet_pixel").components([Z], T)
    assert set(parts) == {f"birefnet_pixel/{name}" for name in inner}
    torch.testing.assert_close(parts["birefnet_pixel/bce"], 0.5 * inner["bce"])
    torch.testing.assert_close(sum(parts.values()), loss([Z], T))


def test_sums_of_nothing_of_two_kinds_or_of_negative_weight_are_refused() -> None:
    for terms in ({}, {"bce": 1.0, "birefnet_pixel": 1.0}):
        with pytest.raises(ValueError, match="expected one kind"):
            losses.weighted_sum(terms)
    for weight in (-1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(ValueError, match=r"weight of 'bce' is .*expected a number >= 0"):
            losses.weighted_sum({"bce": weight})
    dip = {"schedule": "piecewise", "points": [(0, 1), (0.51, 1), (0.53, -5), (0.55, 1), (1, 1)]}
    with pytest.raises(ValueError, match=r"is scheduled and takes the value -5"):
        losses.weighted_sum({"bce": losses.Term("bce", dip)})
    assert type(losses.weighted_sum({"bce": np.float32(2)}).terms["bce"][0]) is float


def test_components_of_the_composites_sum_to_their_value() -> None:
    pixel = losses.build("birefnet_pixel", mae=3.0, mse=1.0, structure=1.0, threshold=1.0)
    parts = pixel.components([Z[..., :2, :2], Z], T)
    assert list(parts) == ["bce", "iou", "ssim", "mae", "mse", "structure", "threshold"]
    torch.testing.assert_close(sum(parts.values()), pixel([Z[..., :2, :2], Z], T))
    gradient = losses.build("gradient_supervision")
    args = ([Z] * 3, [Z] * 3, T.repeat(1, 3, 1, 1), T)
    stages = gradient.components(*args)
    assert list(stages) == ["stage1", "stage2", "stage3"]
    torch.testing.assert_close(sum(stages.values()), gradient(*args))


def test_a_composite_with_all_weights_zero_is_zero_with_a_grad_fn() -> None:
    z = Z.clone().requires_grad_()
    value = losses.build("birefnet_pixel", bce=0.0, iou=0.0, ssim=0.0)([z], T)
    value.backward()
    assert value.item() == 0
    assert z.grad is not None
    assert not z.grad.any()
