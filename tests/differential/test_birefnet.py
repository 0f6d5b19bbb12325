"""BiRefNet's losses: each term, their sum, the fine-tuning and the gradient supervision."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losses
from losses import AS_RELEASED, RELEASED, schedules
from tests.upstream import birefnet

from .agree import SIZES, agree, draw, normal

# (our loss, its knobs, their term of probabilities)
TERMS: list[tuple[str, dict[str, Any], str]] = [
    ("bce", {}, "bce"),
    ("mae", {}, "mae"),
    ("mse", {}, "mse"),
    ("ssim", {}, "ssim"),
    ("contour", {"as_published": True}, "contour"),
]
# Terms that the whole sum has in their published forms: (knobs of the sum, their name)
SUMMED = ["bce", "iou", "ssim", "mae", "mse", "structure", "threshold", "patch_iou", "contour"]

each_size = pytest.mark.parametrize("size", SIZES)
hard_and_soft = pytest.mark.parametrize("soft", [False, True])


@pytest.mark.parametrize(("name", "knobs", "term"), TERMS, ids=[n for n, _, _ in TERMS])
@each_size
@hard_and_soft
def test_a_term_equals_birefnets(
    name: str, knobs: dict[str, Any], term: str, size: tuple[int, int, int], soft: bool
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build(name, **knobs)
    agree(lambda z: loss(z, t), lambda z: birefnet.TERMS[term](z.sigmoid(), t), [z])


@each_size
@hard_and_soft
def test_iou_in_its_published_form_sums_to_birefnets(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build("iou", smooth=0.0, denominator="linear", empty="published")
    agree(lambda z: loss(z, t, reduction="sum"), lambda z: birefnet.iou(z.sigmoid(), t), [z])


@pytest.mark.parametrize("size", [(2, 40, 33), (1, 70, 80), (3, 64, 64)])
@hard_and_soft
def test_patch_iou_as_published_sees_the_first_patch_alone(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build("patch_iou", as_published=True)
    agree(lambda z: loss(z, t), lambda z: birefnet.patch_iou(z.sigmoid(), t), [z])


@hard_and_soft
def test_patch_iou_is_the_mean_of_all_patches(soft: bool) -> None:
    z, t = draw((2, 10, 8), soft=soft)
    loss = losses.build("patch_iou", window=4, smooth=0.0, denominator="linear", empty="published")

    def one_by_one(z: Tensor) -> Tensor:
        corners = [(i, j) for i in range(0, 10, 4) for j in range(0, 8, 4)]
        cut = [(slice(None), slice(None), slice(i, i + 4), slice(j, j + 4)) for i, j in corners]
        return torch.stack([birefnet.iou(z.sigmoid()[c], t[c]) for c in cut]).mean() / 2

    agree(lambda z: loss(z, t), one_by_one, [z])


def drawn_levels(size: tuple[int, int, int]) -> list[Tensor]:
    b, h, w = size
    return [normal(b, 1, h // s, w // s, seed=s, scale=2.0) for s in (8, 4, 1)]


@pytest.mark.parametrize("task", ["DIS5K", "General", "Matting"])
def test_the_released_pixel_loss_is_reproduced(task: str) -> None:
    size = (4, 32, 48)
    _, t = draw(size, soft=task == "Matting")
    loss = losses.build("birefnet_pixel", **RELEASED[task], **AS_RELEASED)
    weights = birefnet.RELEASED[task]
    agree(
        lambda *zs: loss(list(zs), t),
        lambda *zs: birefnet.pixel(list(zs), t, weights),
        drawn_levels(size),
    )


@pytest.mark.parametrize("term", SUMMED)
def test_each_term_of_the_sum_has_its_released_form(term: str) -> None:
    size = (2, 72, 80)
    _, t = draw(size)
    off = dict.fromkeys(["bce", "iou", "ssim"], 0.0)
    knobs: dict[str, Any] = {**AS_RELEASED, "terms": "as_published"}
    loss = losses.build("birefnet_pixel", **{**off, term: 5.0}, **knobs)
    agree(
        lambda *zs: loss(list(zs), t),
        lambda *zs: birefnet.pixel(list(zs), t, {term: 5.0}),
        drawn_levels(size),
    )


LAST = {"DIS5K": -40, "General": -20, "Matting": -10}


def fine_tuned(task: str, epochs: int) -> list[dict[str, float]]:
    """The weights that every epoch of the released loop trains with."""
    weights, seen = dict(birefnet.RELEASED[task]), []
    for epoch in range(1, epochs + 1):
        birefnet.fine_tune(weights, epoch, epochs, LAST[task], task)
        seen.append(dict(weights))
    return seen


def at(weights: Mapping[str, Any], progress: float) -> dict[str, float]:
    """The weights at one moment of the training."""
    made = {k: schedules.from_config(w) for k, w in weights.items() if schedules.is_schedule(w)}
    return {**weights, **{k: schedule(progress) for k, schedule in made.items()}}


@pytest.mark.parametrize("task", LAST)
def test_the_released_fine_tuning_is_a_schedule_that_needs_no_state(task: str) -> None:
    epochs = 60
    weights = losses.fine_tuning(task, epochs=epochs, as_published=True)
    for epoch, wanted in enumerate(fine_tuned(task, epochs)):
        found = {k: w for k, w in at(weights, epoch / epochs).items() if k in wanted}
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize(("epoch", "iou", "mae", "bce"), [(39, 0.5, 100, 30), (40, 0.25, 90, 0)])
def test_the_repaired_fine_tuning_applies_its_factors_once(
    epoch: int, iou: float, mae: float, bce: float
) -> None:
    weights = losses.fine_tuning("General", epochs=60)
    for later in range(epoch, 40 if epoch < 40 else 61):
        found = at(weights, later / 60)
        assert (found["iou"], found["mae"], found["bce"]) == pytest.approx((iou, mae, bce))


def test_the_class_loss_adds_the_cross_entropies_of_its_heads() -> None:
    heads, label = [normal(4, 7, seed=k) for k in range(3)], torch.tensor([0, 6, 2, 2])
    agree(
        lambda *x: losses.class_ce(x, label),
        lambda *x: torch.stack([F.cross_entropy(z, label) for z in x]).sum(),
        heads,
    )


def stages() -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    image, (_, t) = normal(2, 3, 32, 40, seed=3), draw((2, 32, 40))
    predicted = [normal(2, 1, 32 // s, 40 // s, seed=s) for s in (8, 4, 2)]
    coarse = [normal(2, 1, 32 // s, 40 // s, seed=s, scale=4.0) for s in (16, 8, 4)]
    return predicted, coarse, image, t


def test_the_released_gradient_supervision_is_reproduced_with_its_gradients() -> None:
    predicted, coarse, image, t = stages()
    loss = losses.build("gradient_supervision", detach_target=False)
    agree(
        lambda *x: loss(x[:3], x[3:], image, t),
        lambda *x: birefnet.gradient_supervision(list(x[:3]), list(x[3:]), image),
        [*predicted, *coarse],
    )


def test_the_repaired_gradient_supervision_differs_in_the_label_s_gradient_alone() -> None:
    predicted, coarse, image, t = stages()
    labels = birefnet.gradient_labels(coarse, image)
    wanted = birefnet.gradient_supervision(predicted, coarse, image)
    ours = losses.gradient_supervision(predicted, [z.requires_grad_() for z in coarse], image, t)
    torch.testing.assert_close(ours, wanted)
    assert not ours.requires_grad
    for a, b in zip(losses.gradient_labels(coarse, image, t), labels, strict=True):
        torch.testing.assert_close(a, b)
