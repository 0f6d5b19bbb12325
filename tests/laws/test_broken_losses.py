"""Each law rejects a loss that breaks it: the laws are tried on planted defects."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losses import laws
from losses.contract import image_mean, prepare, probability, reduce
from losses.laws.cases import plain

Fn = Callable[..., Tensor]


def cross_entropy(z: Tensor, t: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, t, reduction="none")


def never_zero(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Its floor is .1: a constant was left in."""
    b = prepare(logits, target, mask)
    return reduce(image_mean(cross_entropy(b.logits, b.target) + 0.1, b.mask), reduction)


def negative(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """The overlap itself, where its distance from 1 was meant."""
    b = prepare(logits, target, mask)
    return reduce(-image_mean(b.logits.sigmoid() * b.target, b.mask), reduction)


def multiplies_by_the_mask(logits: Tensor, target: Tensor, *, mask=None, reduction="mean"):
    """0 x NaN is NaN."""
    m = torch.ones_like(target) if mask is None else mask.to(target)
    values = (m * cross_entropy(logits, target)).sum((1, 2, 3)) / m.sum((1, 2, 3)).clamp(min=1)
    return reduce(values, reduction)


def ignores_the_mask(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """The mask is accepted and forgotten."""
    b = prepare(logits, target, None if mask is None else torch.ones_like(mask))
    return reduce(image_mean(cross_entropy(b.logits, b.target)), reduction)


def over_the_batch(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Dice with sums over the whole batch."""
    b = prepare(logits, target, mask)
    p = b.logits.sigmoid()
    value = 1 - (2 * (p * b.target).sum() + 1) / (p.sum() + b.target.sum() + 1)
    return reduce(value.expand(target.shape[0]), reduction)


def leans_to_one_side(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Differences along the rows alone, as in a one-sided contour term."""
    b = prepare(logits, target, mask)
    gap = F.pad((b.logits.sigmoid() - b.target), (0, 1)).diff(dim=-1).square()
    return reduce(image_mean(cross_entropy(b.logits, b.target) + gap, b.mask), reduction)


def smooths_the_labels(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """A confident correct pixel is pushed back."""
    b = prepare(logits, target, mask)
    return reduce(image_mean(cross_entropy(b.logits, 0.8 * b.target + 0.1), b.mask), reduction)


def detaches_half(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """The square's gradient lacks its factor 2."""
    b = prepare(logits, target, mask)
    miss = probability(b.logits) - b.target
    return reduce(image_mean(miss * miss.detach(), b.mask), reduction)


def published_dice(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """No smoothing, no rule for empty targets."""
    b = prepare(logits, target, mask)
    p, t = b.logits.sigmoid(), b.target
    both = (p * t).sum((1, 2, 3))
    return reduce(1 - 2 * both / (p + t).sum((1, 2, 3)), reduction)


def log_of_a_probability(logits: Tensor, target: Tensor, *, mask=None, reduction="mean"):
    """sigmoid rounds to 0 or 1 and the logarithm is infinite."""
    b = prepare(logits, target, mask)
    p = b.logits.sigmoid()
    values = -(b.target * p.log() + (1 - b.target) * (1 - p).log())
    return reduce(image_mean(values, b.mask), reduction)


def stays_half(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Arithmetic in the dtype of the logits."""
    valid = torch.ones_like(target, dtype=torch.bool) if mask is None else mask.bool()
    z = torch.where(valid, logits, 0.0)
    t = torch.where(valid, target, 0.0)
    return reduce(image_mean(cross_entropy(z, t), valid), reduction)


def product_overlap(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """The product form asks a pixel of target .5 for p = 1."""
    b = prepare(logits, target, mask)
    p, t = b.logits.sigmoid(), b.target
    both = (p * t).sum((1, 2, 3))
    return reduce(1 - (both + 1) / ((p + t).sum((1, 2, 3)) - both + 1), reduction)


BROKEN: list[tuple[int, Fn]] = [
    (1, never_zero),
    (1, negative),
    (2, multiplies_by_the_mask),
    (2, ignores_the_mask),
    (3, over_the_batch),
    (4, leans_to_one_side),
    (5, smooths_the_labels),
    (6, smooths_the_labels),
    (7, detaches_half),
    (8, published_dice),
    (9, log_of_a_probability),
    (9, stays_half),
    (10, product_overlap),
]


@pytest.mark.parametrize(("number", "fn"), BROKEN, ids=lambda x: getattr(x, "__name__", str(x)))
def test_the_law_rejects_a_planted_defect(number: int, fn: Fn) -> None:
    with pytest.raises(AssertionError, match=f"breaks law {number}:"):
        laws.check(plain(fn), laws=[number], cases=40)


def test_every_law_has_a_defect_that_it_rejects() -> None:
    assert {number for number, _ in BROKEN} == set(laws.BY_NUMBER)


def test_a_sound_loss_of_ones_own_passes_the_public_check() -> None:
    def sound(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
        b = prepare(logits, target, mask)
        with torch.autocast("cpu", enabled=False):
            return reduce(image_mean(cross_entropy(b.logits, b.target), b.mask), reduction)

    assert all(laws.check(plain(sound), cases=20).values())
