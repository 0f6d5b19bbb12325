"""What each erratum does, measured on discs: a sentence with the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..bound import Loss, build
from ..db import DB_FLAVOURS
from ..released import fine_tuning

SIDE, RADII = 352, (20, 50, 150)
RATIOS = (0.0, 1.0, 3.0, 30.0)


def disc(radius: float, side: int = SIDE) -> Tensor:
    """A disc in the middle, (1,1,side,side), float64."""
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    return ((at[:, None] ** 2 + at**2).sqrt() <= radius).double()[None, None]


def blurred(t: Tensor, seed: int = 0) -> Tensor:
    """Logits of a fair prediction of ``t``: right by 2, with noise of 2."""
    g = torch.Generator().manual_seed(seed)
    return 4 * t - 2 + 2 * torch.randn(t.shape, generator=g, dtype=torch.float64)


def perfect(t: Tensor) -> Tensor:
    """Logits that are right everywhere by 60."""
    return 120 * t - 60


def _join(values: Sequence[float], form: str = ".4g") -> str:
    return " / ".join(format(v, form) for v in values)


def _weighted_bce(z: Tensor, t: Tensor, gamma: float, weighting: str) -> float:
    loss = build("structure", gamma=gamma, weighting=weighting)
    return float(loss.components(z, t)["bce"])


def unweighted() -> str:
    """Erratum 1."""
    t = disc(50)
    z = blurred(t) - 4 * (t - t.roll(6, -1)).abs()  # worse at the sides
    gammas = (0.0, 5.0, 50.0)
    published = [_weighted_bce(z, t, g, "as_published") for g in gammas]
    meant = [_weighted_bce(z, t, g, "mean") for g in gammas]
    return f"weighted BCE at gamma 0 / 5 / 50: {_join(published)}, as meant {_join(meant)}"


def divided_by_less() -> str:
    """Erratum 2."""
    ratios = []
    for radius in RADII:
        t = disc(radius)
        z = blurred(t)
        ratios.append(_weighted_bce(z, t, 5.0, "paper") / _weighted_bce(z, t, 5.0, "mean"))
    return (
        f"the paper's form is {_join(ratios, '.1f')} times the code's on discs of radius "
        f"{_join(RADII, 'd')} in {SIDE} px, and 0 / 0 on an empty mask"
    )


def sigmoid_twice() -> str:
    """Erratum 3."""
    values = []
    for terms in ("as_published", "repaired"):
        loss = build("birefnet_pixel", bce=0.0, iou=0.0, ssim=0.0, structure=1.0, terms=terms)
        values.append([float(loss([perfect(disc(r))], disc(r))) for r in RADII])
    return (
        f"a perfect prediction of discs of radius {_join(RADII, 'd')} scores {_join(values[0])}, "
        f"repaired {_join(values[1], '.1g')}"
    )


def one_patch() -> str:
    """Erratum 4."""
    t = disc(220)
    wrong = perfect(1 - t)
    wrong[..., :64, :64] = perfect(t)[..., :64, :64]
    values = [float(build("patch_iou", as_published=how)(wrong, t)) for how in (True, False)]
    return (
        f"a prediction wrong everywhere but in the first patch scores {values[0]:.3g}, "
        f"repaired {values[1]:.3g}"
    )


def summed_over_the_batch() -> str:
    """Erratum 5."""
    t = disc(50)
    z = blurred(t)
    found = {}
    for how in ("sum", "mean"):
        loss = build("birefnet_pixel", bce=0.0, ssim=0.0, iou=0.5, iou_reduction=how)
        found[how] = [float(loss([z.repeat(n, 1, 1, 1)], t.repeat(n, 1, 1, 1))) for n in (1, 4)]
    return (
        f"the same image in batches of 1 / 4: {_join(found['sum'])}, "
        f"repaired {_join(found['mean'])}"
    )


def factors_again() -> str:
    """Erratum 6."""
    ends = []
    for how in (True, False):
        loss = build("birefnet_pixel", **fine_tuning("DIS5K", epochs=500, as_published=how))
        ends.append(loss.arguments(1.0)["iou"])
    resumed = loss.arguments(0.0)["iou"] * 0.5**20
    return (
        f"weight of iou in the last of 500 epochs: {ends[0]:.2g}, or {resumed:.2g} if resumed at "
        f"epoch 480; applied once {ends[1]:.2g}"
    )


def _share_into_the_label(loss: Loss) -> float:
    """Gradient on the coarse logits, over that on the predicted gradient."""
    t = disc(20, 64)
    image = blurred(t).repeat(1, 3, 1, 1)
    z, coarse = blurred(t, 2).requires_grad_(), blurred(t, 1).requires_grad_()
    value = loss([z], [coarse], image, t)
    own, other = torch.autograd.grad(value, [z, coarse], allow_unused=True)
    return 0.0 if other is None else float(other.norm() / own.norm())


def grey_label() -> str:
    """Erratum 7."""
    published = build("gradient_supervision", detach_target=False)
    repaired = build("gradient_supervision", gate="pred", squash="abs")
    flat, t = torch.zeros(1, 3, 64, 64, dtype=torch.float64), disc(20, 64)
    labels = [
        float(loss.truth([t], [blurred(t)], flat, t)[0].mean()) for loss in (published, repaired)
    ]
    shares = [_share_into_the_label(loss) for loss in (published, repaired)]
    return (
        f"label of a flat image: {labels[0]:.2g}, repaired {labels[1]:.2g}; gradient into the "
        f"mask head over that into the gradient head: {shares[0]:.2g}, repaired {shares[1]:.2g}"
    )


def leaning() -> str:
    """Erratum 8."""
    t = disc(6, 16)
    z = blurred(t)
    found = []
    for how in (True, False):
        loss = build("contour", as_published=how)
        found.append([float(loss(z, t)), float(loss(z.flip(-1), t.flip(-1)))])
    return (
        f"an image and its mirror image: {_join(found[0], '.5g')}, repaired "
        f"{_join(found[1], '.5g')}"
    )


def other_total() -> str:
    """Erratum 9."""
    t = disc(50)
    ring = (disc(58) - disc(42)).bool()
    level = torch.full_like(t, 0.3)
    inputs = (blurred(t), level, t, 0.3 + 0.4 * ring, ring)
    texts = []
    for flavour in ("MhLiao", "paper"):
        parts = build("db", **DB_FLAVOURS[flavour]).components(*inputs)
        total = sum(float(v) for v in parts.values())
        texts.append(_join([100 * float(v) / total for v in parts.values()], ".1f"))
    return (
        f"per cent of the total from P / T / B: {texts[0]} as released, {texts[1]} as in the paper"
    )


def dropped_pixels() -> str:
    """Erratum 10."""
    t = disc(50)
    z, empty = blurred(t), torch.zeros_like(t)
    published = build("balanced_bce", form="byte", level="batch", min_negatives=0)
    repaired = build("balanced_bce")
    soft = [float(loss(z, 0.999 * t + 0.0005)) for loss in (published, repaired)]
    none = [float(loss(z, empty)) for loss in (published, repaired)]
    return (
        f"a target of .9995 and .0005: {soft[0]:.3g}, repaired {soft[1]:.3g}; an image full of "
        f"false positives without text: {none[0]:.3g}, repaired {none[1]:.3g}"
    )


def nothing_by_nothing() -> str:
    """Erratum 11."""
    error = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    nothing = torch.zeros_like(error)
    published = float(build("balanced_l1", as_published=True)(error, nothing))
    masked = float(build("masked_l1")(error, nothing, mask=nothing))
    balanced = float(build("balanced_l1")(error, nothing))
    return (
        f"an empty region: {published} as published; here masked_l1 {masked:.3g} with a grad_fn, "
        f"balanced_l1 {balanced:.3g}, of all pixels"
    )


def mining_a_number() -> str:
    """Erratum 12."""
    t = disc(20)
    level = torch.full_like(t, 0.5)
    inputs = (blurred(t), level, t, level, torch.ones_like(t))
    found = {}
    for prob in ("dice", "balanced_bce"):
        losses = [build("db", prob=prob, ratio=r) for r in RATIOS]
        found[prob] = [float(loss.components(*inputs)["probability"]) for loss in losses]
    return (
        f"probability loss at ratio {_join(RATIOS, 'g')}: {_join(found['dice'])} with Dice, "
        f"{_join(found['balanced_bce'])} with balanced BCE"
    )


def balancing_a_number() -> str:
    """Erratum 13."""
    t = disc(20)
    z = blurred(t)
    found = {}
    for form in ("mean", "repaired"):
        losses = [build("balanced_bce", form=form, ratio=r) for r in RATIOS]
        found[form] = [float(loss(z, t)) for loss in losses]
    published, repaired = _join(found["mean"]), _join(found["repaired"])
    return f"value at ratio {_join(RATIOS, 'g')}: {published}, repaired {repaired}"
