"""The refinement modules: shapes, iterations, gradients, and the published U-Net retyped."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import models
from models import BiRefNet
from models.blocks import Widths
from models.refinement import RefUNet

SMALL = {"inter_channels": 8, "aspp_channels": 8, "inward_channels": 8, "gradient_channels": 4}


def refined(kind: str, **switches: object) -> BiRefNet:
    model = BiRefNet.preset("lite", refine=kind, **{**SMALL, "refine_scale": 2, **switches})
    models.initialise(model, 0)
    return model


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


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
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


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
    model = refined(kind, batch_norm=False, refine_scale=1, freeze_backbone=True)
    model(noise(1, 3, 64, 64)).logits.sum().backward()


def test_an_image_too_small_for_the_first_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="H and W from 128"):
        refined("RefUNet")(noise(2, 3, 127, 200))


def test_without_refinement_its_switches_change_nothing() -> None:
    model = BiRefNet.preset("lite", **SMALL, refine_scale=2).eval()
    assert model(noise(1, 3, 64, 64)).logits.shape == (1, 1, 64, 64)


def layer(x: Tensor, state: dict[str, Tensor], name: str, conv: int) -> Tensor:
    """Convolution, batch norm by running statistics, ReLU; `conv` is its index in the block."""
    x = F.conv2d(x, state[f"{name}.{conv}.weight"], state[f"{name}.{conv}.bias"], padding=1)
    bn = f"{name}.{conv + 1}"
    moments = (state[f"{bn}.running_mean"], state[f"{bn}.running_var"])
    return F.batch_norm(x, *moments, state[f"{bn}.weight"], state[f"{bn}.bias"]).relu()


def published_unet(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The refinement U-Net retyped, its names those of the official code."""
    x = F.conv2d(x, state["encoder_1.0.weight"], state["encoder_1.0.bias"], padding=1)
    h1 = layer(x, state, "encoder_1", 1)
    h2 = layer(F.max_pool2d(h1, 2), state, "encoder_2", 1)
    h3 = layer(F.max_pool2d(h2, 2), state, "encoder_3", 1)
    h4 = layer(F.max_pool2d(h3, 2), state, "encoder_4", 1)
    x = layer(F.max_pool2d(h4, 2), state, "decoder_5", 0)
    for i, finer in ((4, h4), (3, h3), (2, h2), (1, h1)):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = layer(torch.cat((x, finer), dim=1), state, f"decoder_{i}", 0)
    return F.conv2d(x, state["conv_d0.weight"], state["conv_d0.bias"], padding=1)


def test_the_unet_is_the_published_one() -> None:
    net = RefUNet(Widths()).double().eval()
    for i, tensor in enumerate(net.state_dict().values()):
        if tensor.is_floating_point():
            tensor.copy_(0.1 * noise(*tensor.shape, seed=i).abs())
    image, logits = noise(2, 3, 32, 48).double(), noise(2, 1, 32, 48, seed=1).double()
    expected = published_unet(torch.cat((image, logits), dim=1), net.state_dict())
    assert torch.allclose(net(image, logits)[0], expected, rtol=1e-12, atol=1e-12)
