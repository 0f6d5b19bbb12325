"""The structure loss: F3Net's as meant, as published and as in the paper (float64, 1e-6)."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losses
from tests.upstream import f3net

from .agree import SIZES, agree, draw

each_size = pytest.mark.parametrize("size", SIZES)
hard_and_soft = pytest.mark.parametrize("soft", [False, True])


@each_size
@hard_and_soft
def test_structure_equals_f3nets_with_its_weights_at_work(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build("structure", overlap="product", empty="published")
    agree(lambda z: loss(z, t), lambda z: f3net.structure(z, t), [z])


@each_size
@hard_and_soft
def test_structure_as_published_equals_the_released_line(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build(
        "structure", overlap="product", empty="published", weighting="as_published"
    )
    agree(lambda z: loss(z, t), lambda z: f3net.structure_as_published(z, t), [z])


@each_size
@hard_and_soft
def test_structure_of_the_paper_divides_by_the_excess_weight(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = draw(size, soft=soft)
    loss = losses.build("structure", overlap="product", empty="published", weighting="paper")
    agree(lambda z: loss(z, t), lambda z: f3net.structure_of_the_paper(z, t), [z])


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("window", [1, 5])
def test_other_weights_agree_too(gamma: float, window: int) -> None:
    z, t = draw((2, 12, 9))
    loss = losses.build(
        "structure", gamma=gamma, window=window, overlap="product", empty="published"
    )
    agree(lambda z: loss(z, t), lambda z: f3net.structure(z, t, gamma, window), [z])


@pytest.mark.parametrize("window", [1, 3, 31])
def test_the_boundary_weight_equals_average_pooling(window: int) -> None:
    _, t = draw((2, 40, 33), soft=True)
    ours = losses.boundary_weight(t, window=window)
    torch.testing.assert_close(ours, f3net.boundary_weight(t, 5, window), rtol=0, atol=1e-12)


def test_both_parts_of_the_structure_loss_agree_on_their_own() -> None:
    z, t = draw((2, 12, 9))
    w = losses.boundary_weight(t)
    torch.testing.assert_close(
        losses.weighted_bce(z, t, weight=w, reduction="none"), f3net.weighted_bce(z, t).flatten()
    )
    torch.testing.assert_close(
        losses.weighted_iou(
            z, t, weight=w, overlap="product", empty="published", reduction="none"
        ),
        f3net.weighted_iou(z, t).flatten(),
    )


def torchs_own_reading(z: Tensor, t: Tensor) -> Tensor:
    """What torch makes of the released line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return F.binary_cross_entropy_with_logits(z, t, reduce="none")  # type: ignore[arg-type]


def test_the_retyped_line_reads_the_wrong_argument_as_torch_does() -> None:
    z, t = draw((3, 10, 8))
    w = f3net.boundary_weight(t)
    c = torchs_own_reading(z, t)
    assert c.dim() == 0
    torch.testing.assert_close(
        f3net.weighted_bce_as_published(z, t), (w * c).sum((2, 3)) / w.sum((2, 3))
    )
