"""Augmentation: image and target move together, as often and as far as the official set does."""

import pytest
import torch
from torch import Tensor

from experiments.data.augment import STEPS, Augment
from experiments.errors import UserError
from experiments.seeding import seed_torch

SIZE = (64, 96)
MOVES = ("flip", "crop", "rotate", "dynamic")
COLOURS = ("background", "enhance", "pepper")


def batch(count: int = 8) -> tuple[Tensor, Tensor]:
    """A soft blob away from the middle, and images that show it in every channel."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    distance = ((y - 25).square() + (x - 34).square()).sqrt()
    target = ((22 - distance) / 8).clamp(0, 1).expand(count, 1, *SIZE)
    return target.expand(-1, 3, -1, -1).clone(), target.clone()


def applied(*names: str, count: int = 8, step: int = 0) -> tuple[Tensor, Tensor]:
    seed_torch(0, "augment", step)
    return Augment(names, SIZE)(*batch(count))


def test_the_steps_are_those_of_the_official_configuration() -> None:
    assert set(STEPS) == {*MOVES, *COLOURS}
    with pytest.raises(UserError, match="did you mean 'pepper'"):
        Augment(("peper",), SIZE)


@pytest.mark.parametrize("name", MOVES)
def test_image_and_target_move_together(name) -> None:
    for step in range(5):
        images, targets = applied(name, step=step)
        assert (images - targets).abs().max() < 1e-5


@pytest.mark.parametrize("name", COLOURS)
def test_colours_change_and_targets_stay(name) -> None:
    images, targets = applied(name)
    assert torch.equal(targets, batch()[1])
    assert not torch.equal(images, batch()[0])


@pytest.mark.parametrize("names", [*((name,) for name in STEPS), tuple(STEPS), ()])
def test_everything_stays_in_0_1_soft_and_the_same_for_the_same_seed(names) -> None:
    images, targets = applied(*names)
    for x in (images, targets):
        assert float(x.min()) >= 0
        assert float(x.max()) <= 1
        assert bool(x.isfinite().all())
    assert bool(((targets > 0.05) & (targets < 0.95)).any())
    again = applied(*names)
    assert torch.equal(images, again[0])
    assert torch.equal(targets, again[1])
    if names:
        assert any(
            other.shape != images.shape or not torch.equal(other, images)
            for other in (applied(*names, step=k)[0] for k in (1, 2, 3))
        )


@pytest.mark.parametrize(("name", "share"), [("flip", 0.5), ("rotate", 0.2), ("crop", 1.0)])
def test_a_move_happens_as_often_as_in_the_official_code(name, share) -> None:
    count = 500
    _, moved = applied(name, count=count)
    happened = (moved - batch(1)[1]).abs().amax((1, 2, 3)) > 1e-3
    spread = 4 * (share * (1 - share) / count) ** 0.5
    assert abs(float(happened.float().mean()) - share) <= spread + 1e-9


def test_a_flip_is_a_mirror_image() -> None:
    moved, still = applied("flip")[1], batch()[1]
    for one, other in zip(moved, still, strict=True):
        assert torch.equal(one, other) or torch.equal(one, other.flip(-1))


def test_a_rotation_is_by_at_most_15_degrees_around_the_middle() -> None:
    _, moved = applied("rotate", count=300)
    angles = direction(moved) - direction(batch(300)[1])
    turned = angles.abs() > 1e-3
    assert 13 < float(angles.rad2deg().abs()[turned].max()) < 15.6


def direction(targets: Tensor) -> Tensor:
    """The angle of the blob's centre seen from the middle of the image, of each target."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    mass = targets.sum((1, 2, 3))
    down, right = ((targets[:, 0] * axis).sum((1, 2)) / mass for axis in (y, x))
    return torch.atan2(down - (SIZE[0] - 1) / 2, right - (SIZE[1] - 1) / 2)


def test_a_crop_enlarges_by_at_most_a_ninth_each_way() -> None:
    _, moved = applied("crop", count=200)
    growth = moved.sum((1, 2, 3)) / batch(1)[1].sum()
    assert float(growth.min()) > 0.99
    assert 1.1 < float(growth.max()) < 1.25


def test_pepper_is_fifteen_of_ten_thousand_pixels_half_black_half_white() -> None:
    grey = torch.full((64, 3, *SIZE), 0.5)
    seed_torch(0, "augment")
    images, _ = Augment(("pepper",), SIZE)(grey, grey[:, :1])
    assert torch.equal(images.amin(1), images.amax(1)), "all channels of a pixel alike"
    salt, pepper = float((images == 1).float().mean()), float((images == 0).float().mean())
    assert abs(salt - 0.00075) < 0.0002
    assert abs(pepper - 0.00075) < 0.0002


def test_brightness_stays_within_half_and_one_and_a_half() -> None:
    flat = torch.full((400, 3, 8, 8), 0.4)
    seed_torch(0, "augment")
    images, _ = Augment(("enhance",), SIZE)(flat, flat[:, :1])
    levels = images.mean((1, 2, 3))  # contrast, colour and sharpness leave a flat grey alone
    assert 0.2 - 1e-5 <= float(levels.min()) < 0.22
    assert 0.58 < float(levels.max()) <= 0.6 + 1e-5


def test_the_background_becomes_one_colour_and_the_object_stays() -> None:
    seed_torch(0, "augment")
    images, targets = batch(600)
    images[:, 1] *= 0.5
    found, _ = Augment(("background",), SIZE)(images, targets)
    ground, inside = targets[0, 0] == 0, targets[0, 0] == 1
    assert torch.equal(found[..., inside], images[..., inside])
    colours = found[..., ground]
    assert bool((colours == colours[..., :1]).all())
    colour = colours[..., 0]
    grey = (colour[:, 0] == colour[:, 1]) & (colour[:, 1] == colour[:, 2])
    assert abs(float(grey.float().mean()) - 0.4) < 0.08
    near = (colour[:, 0] == colour[:, 2]) & ~grey  # the object's own red and blue are the same
    assert abs(float(near.float().mean()) - 0.4) < 0.08
    empty, _ = Augment(("background",), SIZE)(images, torch.zeros_like(targets))
    assert bool(empty.isfinite().all())


def test_dynamic_sizes_are_multiples_of_32_up_to_nine_quarters_that_the_model_takes() -> None:
    shapes = [applied("dynamic", count=1, step=step)[1].shape[2:] for step in range(60)]
    for axis, side in enumerate(SIZE):
        sides = {shape[axis] for shape in shapes}
        assert all(s % 32 == 0 for s in sides)
        assert min(sides) == 64
        assert side * 9 // 4 - 32 < max(sides) <= side * 9 // 4
    assert len({shape[0] / shape[1] for shape in shapes}) > 3, "sides are drawn one by one"
