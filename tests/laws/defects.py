"""Losses with a planted defect, and the law that must reject each."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import losses
from losses import image_mean, prepare, probability, reduce

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


def drops_what_is_nearly_one(
    logits: Tensor, target: Tensor, *, mask=None, reduction="mean"
) -> Tensor:
    """A byte of .999 is 0: soft pixels are neither positive nor negative."""
    b = prepare(logits, target, mask)
    solid = (b.target.byte() + (1 - b.target).byte()).bool()
    values = torch.where(solid, cross_entropy(b.logits, b.target), 0.0)
    return reduce(image_mean(values, b.mask), reduction)


def weight_without_effect(
    logits: Tensor, target: Tensor, *, mask=None, gamma: float = 5.0, reduction="mean"
) -> Tensor:
    """F3Net's line: the mean is taken first, so that S(w c) / S(w) = c."""
    b = prepare(logits, target, mask)
    weight = 1 + gamma * (F.avg_pool2d(b.target, 3, 1, 1) - b.target).abs()
    mean = image_mean(cross_entropy(b.logits, b.target), b.mask).view(-1, 1, 1, 1)
    return reduce((weight * mean).sum((1, 2, 3)) / weight.sum((1, 2, 3)), reduction)


def ratio_without_effect(
    logits: Tensor, target: Tensor, *, mask=None, ratio: float = 3.0, reduction="mean"
) -> Tensor:
    """Negatives are mined of a loss that is one number for the image."""
    b = prepare(logits, target, mask)
    positives, negatives = b.target.sum((1, 2, 3)), (1 - b.target).sum((1, 2, 3))
    mined = torch.minimum(negatives, (ratio * positives).floor())
    dice = losses.dice(logits, target, mask=mask, reduction="none")
    return reduce((positives * dice + mined * dice) / (positives + mined + 1e-12), reduction)


def refuses_tiny_images(
    logits: Tensor, target: Tensor, *, mask=None, gamma: float = 2.0, reduction="mean"
) -> Tensor:
    """gamma does nothing, which is not seen where the image is refused."""
    if min(target.shape[2:]) < 5:
        raise ValueError(f"target has shape {tuple(target.shape)}, expected at least 5 x 5 px")
    return losses.bce(logits, target, mask=mask, reduction=reduction) + 0 * gamma


def refuses_every_other_value(
    logits: Tensor, target: Tensor, *, mask=None, gamma: float = 2.0, reduction="mean"
) -> Tensor:
    """gamma has one value alone."""
    if gamma != 2:
        raise ValueError(f"gamma={gamma}: expected 2")
    return losses.focal(logits, target, mask=mask, gamma=gamma, reduction=reduction)


def option_that_raises(
    logits: Tensor, target: Tensor, *, mask=None, sharpen: bool = False, reduction="mean"
) -> Tensor:
    """An option that nobody has ever set."""
    scale = torch.ones(1, 1, "2") if sharpen else 1.0  # type: ignore[arg-type]
    return losses.bce(logits * scale, target, mask=mask, reduction=reduction)


def mines_what_sorts_first(
    logits: Tensor, target: Tensor, *, mask=None, ratio: float = 3.0, reduction="mean"
) -> Tensor:
    """Equal negatives are taken in the order of their pixels."""
    b = prepare(logits, target, mask)
    images = []
    for z, t in zip(b.logits.flatten(1), b.target.flatten(1), strict=True):
        hard = cross_entropy(z, t)
        count = min(int((t == 0).sum()), int(ratio * t.sum()))
        worst = hard[t == 0].topk(count).values
        images.append((hard[t == 1].sum() + worst.sum()) / (t.sum() + count).clamp(min=1))
    return reduce(torch.stack(images), reduction)


def mines_from_the_whole_batch(
    logits: Tensor, target: Tensor, *, mask=None, reduction="mean"
) -> Tensor:
    """One image's hard negatives take the place of another's."""
    return losses.balanced_bce(logits, target, mask=mask, level="batch", reduction=reduction)


def squared_error(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Convex in p, but p bends in the logits."""
    return losses.mse(logits, target, mask=mask, reduction=reduction)


def smoothed_mean(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """One pixel too many in the denominator."""
    b = prepare(logits, target, mask)
    pixels = b.target[0].numel()
    values = cross_entropy(b.logits, b.target).sum((1, 2, 3)) / (pixels + 1)
    return reduce(values, reduction)


class CountsItsCalls:
    """A weight that falls with every call: a resumed run starts anew."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        mask: Tensor | None = None,
        progress: float | None = None,  # noqa: ARG002
        reduction: losses.Reduction = "mean",
    ) -> Tensor:
        """Weigh by the number of calls, whatever the progress."""
        self.calls += 1
        return 0.9**self.calls * losses.bce(logits, target, mask=mask, reduction=reduction)


def switches_objective(
    logits: Tensor, target: Tensor, *, mask=None, progress=None, reduction="mean"
) -> Tensor:
    """bce until .37, mae from there on."""
    loss = losses.bce if progress < 0.37 else losses.mae
    return loss(logits, target, mask=mask, reduction=reduction)


def noisy_labels(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Another draw of noise each time."""
    b = prepare(logits, target, mask)
    t = (b.target + 0.1 * torch.rand_like(b.target)).clamp(max=1)
    return reduce(image_mean(cross_entropy(b.logits, t), b.mask), reduction)


def hardens_the_target(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """The caller's target is rounded in place."""
    target.round_()
    return losses.bce(logits, target, mask=mask, reduction=reduction)


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
    (8, drops_what_is_nearly_one),
    (9, log_of_a_probability),
    (9, stays_half),
    (10, product_overlap),
    (11, weight_without_effect),
    (11, ratio_without_effect),
    (11, refuses_tiny_images),
    (11, refuses_every_other_value),
    (11, option_that_raises),
    (12, mines_what_sorts_first),
    (12, mines_from_the_whole_batch),
    (12, losses.bce),
    (13, squared_error),
    (14, smoothed_mean),
    (15, CountsItsCalls()),
    (15, switches_objective),
    (16, noisy_labels),
    (16, hardens_the_target),
]
