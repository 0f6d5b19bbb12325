"""Losses of general use against their published or commonly copied forms."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losses
from tests.upstream import general

from .agree import SIZES, agree, draw

each_size = pytest.mark.parametrize("size", SIZES)
hard_and_soft = pytest.mark.parametrize("soft", [False, True])
PUBLISHED = {"denominator": "linear", "empty": "published"}


@each_size
@hard_and_soft
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_equals_torchvisions(
    size: tuple[int, int, int], soft: bool, gamma: float, alpha: float | None
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build("focal", gamma=gamma, alpha=alpha)
    agree(lambda z: loss(z, t), lambda z: general.focal(z, t, gamma, alpha), [z])


@each_size
@hard_and_soft
def test_class_balanced_bce_equals_heds(size: tuple[int, int, int], soft: bool) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build("class_balanced_bce")
    agree(lambda z: loss(z, t), lambda z: general.class_balanced_bce(z, t), [z])


@hard_and_soft
def test_class_balanced_bce_with_a_number_equals_torchs_pos_weight(soft: bool) -> None:
    z, t = draw((2, 9, 8), soft=soft)
    loss = losses.build("class_balanced_bce", pos_weight=4.0)
    weight = torch.tensor(4.0)
    agree(
        lambda z: loss(z, t),
        lambda z: F.binary_cross_entropy_with_logits(z, t, pos_weight=weight),
        [z],
    )


@each_size
@hard_and_soft
@pytest.mark.parametrize("name", ["dice", "iou", "tversky"])
@pytest.mark.parametrize("smooth", [1.0, 1e-6])
def test_the_product_form_of_an_overlap_equals_the_published_one(
    size: tuple[int, int, int], soft: bool, name: str, smooth: float
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build(name, smooth=smooth, **PUBLISHED)
    theirs: Callable[..., Tensor] = getattr(general, name)
    agree(lambda z: loss(z, t), lambda z: theirs(z.sigmoid(), t, smooth=smooth), [z])


@pytest.mark.parametrize("name", ["dice", "iou", "tversky"])
def test_the_default_form_of_an_overlap_equals_the_published_one_on_binary_masks(
    name: str,
) -> None:
    z, t = draw((3, 12, 9))
    theirs: Callable[..., Tensor] = getattr(general, name)
    agree(lambda z: losses.build(name)(z, t), lambda z: theirs(z.sigmoid(), t), [z])


@hard_and_soft
def test_dice_with_squares_equals_v_nets(soft: bool) -> None:
    z, t = draw((3, 12, 9), soft=soft)
    loss = losses.build("dice", denominator="squared", empty="published")
    agree(lambda z: loss(z, t), lambda z: general.vnet_dice(z.sigmoid(), t), [z])


@hard_and_soft
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.9, 0.1)])
def test_tversky_weighs_false_positives_by_alpha(soft: bool, alpha: float, beta: float) -> None:
    z, t = draw((3, 12, 9), soft=soft)
    loss = losses.build("tversky", alpha=alpha, beta=beta, **PUBLISHED)
    agree(lambda z: loss(z, t), lambda z: general.tversky(z.sigmoid(), t, alpha, beta), [z])


@hard_and_soft
def test_dice_bce_is_the_sum_of_both(soft: bool) -> None:
    z, t = draw((3, 12, 9), soft=soft)
    loss = losses.build("dice_bce", **PUBLISHED)

    def theirs(z: Tensor) -> Tensor:
        return general.dice(z.sigmoid(), t) + F.binary_cross_entropy_with_logits(z, t)

    agree(lambda z: loss(z, t), theirs, [z])


@each_size
@pytest.mark.parametrize("empty", ["background", "published"])
def test_the_lovasz_hinge_equals_bermans(size: tuple[int, int, int], empty: str) -> None:
    z, t = draw(size)
    loss = losses.build("lovasz_hinge", empty=empty)
    agree(lambda z: loss(z, t), lambda z: general.lovasz_hinge(z, t), [z])


def test_the_published_lovasz_hinge_of_an_empty_target_is_bermans() -> None:
    z, t = draw((2, 6, 7))
    loss = losses.build("lovasz_hinge", empty="published")
    none = torch.zeros_like(t)
    agree(lambda z: loss(z, none), lambda z: general.lovasz_hinge(z, none), [z])


def test_the_lovasz_gradient_of_a_small_object_in_a_large_image_survives_float32() -> None:
    # A false alarm grows the Jaccard loss by about 4e-10 here: a difference of numbers near 1.
    side, corner = 1024, slice(500, 520)
    z = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    t = torch.zeros_like(z)
    t[..., corner, corner] = 1
    narrow, wide = z.requires_grad_(), z.detach().double().requires_grad_()
    losses.lovasz_hinge(narrow, t).backward()
    general.lovasz_hinge(wide, t.double()).backward()
    found, wanted = narrow.grad.double(), wide.grad  # type: ignore[union-attr]
    assert int(t.sum()) == 400
    assert wanted.count_nonzero() > 800_000
    assert not (found[wanted != 0] == 0).any()
    for pixels in (t == 1, t == 0):
        assert (found - wanted)[pixels].norm() < 1e-5 * wanted[pixels].norm()


def blobs(*shape: int, seed: int = 0) -> Tensor:
    """Several objects apart from one another, and an image with one and with none."""
    h, w = shape
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    spots = ((rows + seed) % 7 < 3) & ((columns + 2 * seed) % 6 < 3)
    one = (rows < 3) & (columns < 4)
    maps = [spots, one, torch.zeros_like(one)]
    return torch.stack(maps)[:, None].double()


@pytest.mark.parametrize("shape", [(9, 9), (16, 13)])
@pytest.mark.parametrize(("w0", "sigma"), [(10.0, 5.0), (3.0, 2.0)])
def test_u_nets_weights_equal_the_slow_loop(
    shape: tuple[int, int], w0: float, sigma: float
) -> None:
    t = blobs(*shape, seed=1)
    ours = losses.unet_weight(t, w0=w0, sigma=sigma)
    torch.testing.assert_close(ours, general.unet_weight(t, w0, sigma), rtol=1e-12, atol=1e-12)


def test_objects_that_touch_at_a_corner_are_two() -> None:
    t = torch.zeros(1, 1, 8, 9, dtype=torch.float64)
    t[..., 1:4, 1:4] = t[..., 4:7, 4:8] = 1
    assert sorted(map(len, general.objects_of(t[0, 0] > 0))) == [9, 12]
    torch.testing.assert_close(losses.unet_weight(t), general.unet_weight(t), rtol=0, atol=1e-12)
    t[..., 3, 4] = 1  # a side in common
    assert list(map(len, general.objects_of(t[0, 0] > 0))) == [22]
    torch.testing.assert_close(losses.unet_weight(t), general.unet_weight(t), rtol=0, atol=1e-12)


def test_unet_bce_is_the_mean_by_those_weights() -> None:
    t = blobs(12, 13)
    z, _ = draw((3, 12, 13))
    w = general.unet_weight(t)

    def theirs(z: Tensor) -> Tensor:
        bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
        return ((w * bce).sum((1, 2, 3)) / w.sum((1, 2, 3))).mean()

    agree(lambda z: losses.build("unet_bce")(z, t), theirs, [z])
