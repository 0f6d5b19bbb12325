"""The refinement modules: shapes, iterations, gradients, what checkpointing keeps."""

import pytest
import torch
from torch import Tensor

import models
from models import BiRefNet
from tests.models.small import SMALL, noise


def refined(kind: str, **switches: object) -> BiRefNet:
    model = BiRefNet.preset("lite", refine=kind, **{**SMALL, "refine_scale": 2, **switches})
    models.initialise(model, 0)
    return model


@pytest.mark.parametrize(("kind", "added"), [("RefUNet", 1), ("Refiner", 4)])
def test_the_second_stage_adds_its_levels_and_learns(kind: str, added: int) -> None:
    model = refined(kind)
    out = model(noise(2, 3, 128, 128))
    assert len(out.levels) == 4 + added
    assert out.levels[3].shape[-2:] == (64, 64)  # the first stage saw the image at half size
    assert out.logits.shape == (2, 1, 128, 128)
    assert out.logits is out.levels[-1]
    assert len(out.gradient_logits) == 3
    sum(z.square().mean() for z in (*out.levels, *out.gradient_logits)).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_each_iteration_sees_the_result_of_the_one_before() -> None:
    model = refined("RefUNet", refine_iterations=3).eval()
    x = noise(1, 3, 128, 128)
    out = model(x)
    assert len(out.levels) == 4 + 3
    again = model.refiner(x, out.levels[-2])[0]
    assert torch.allclose(again, out.logits, atol=1e-5)


@pytest.mark.parametrize("kind", ["RefUNet", "Refiner"])
def test_any_size_and_scale_is_padded_and_cut(kind: str) -> None:
    out = refined(kind, refine_scale=3).eval()(noise(1, 3, 200, 210))
    assert out.logits.shape == (1, 1, 200, 210)
    assert bool(out.logits.isfinite().all())


@pytest.mark.parametrize("kind", ["RefUNet", "Refiner"])
def test_a_single_image_trains_without_batch_norm(kind: str) -> None:
    plain = {"backbone": "pvt_v2_b0", "pretrained": False}  # an encoder without batch norms
    model = refined(kind, batch_norm=False, refine_scale=1, **plain)
    model(noise(1, 3, 64, 64)).logits.sum().backward()


def test_an_image_too_small_for_the_first_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="H and W from 128"):
        refined("RefUNet")(noise(2, 3, 127, 200))


def test_without_refinement_its_switches_change_nothing() -> None:
    model = BiRefNet.preset("lite", **SMALL, refine_scale=2).eval()
    assert model(noise(1, 3, 64, 64)).logits.shape == (1, 1, 64, 64)


@pytest.mark.parametrize("kind", ["RefUNet", "Refiner"])
def test_checkpointing_keeps_less_of_the_second_stage_and_gives_the_same(kind: str) -> None:
    kept, found = [], []
    for checkpoint in (False, True):
        model = refined(kind, checkpoint=checkpoint, dropout=0.0, freeze_backbone=True).double()
        size = 0

        def pack(x: Tensor) -> Tensor:
            nonlocal size
            size += x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            out = model(noise(2, 3, 128, 128).double())
        sum(z.square().mean() for z in out.levels).backward()
        kept.append(size)
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    assert kept[1] < 0.5 * kept[0]
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*found, strict=True))
