"""Compilation of the training step: one graph, the deformable convolution one node of it."""

import pytest
import torch
from torch import Tensor

import losses
import models
from models import BiRefNet
from models.deform import DeformableConv2d

BREAKS = 0


def training_step(model: BiRefNet, image: Tensor, target: Tensor) -> Tensor:
    """Forward and losses, as released."""
    out = model(image)
    stages = out.levels[: len(out.gradient_logits)]
    edges = losses.gradient_supervision(out.gradient_logits, stages, image, target)
    return losses.birefnet_pixel(out.levels, target) + edges


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """Offsets and modulation away from where nothing is sampled between pixels."""
    for name, parameter in model.named_parameters():
        if "offset_conv" in name or "modulator_conv" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model


@pytest.mark.parametrize("backbone", ["pvt_v2_b0", "swin_v1_t"])  # that of lite is below
def test_a_training_step_compiles_into_one_graph(backbone: str) -> None:
    torch._dynamo.reset()
    model = BiRefNet(backbone, aspp_channels=16, inter_channels=16, inward_channels=8)
    image, target = torch.randn(2, 3, 64, 64), (torch.rand(2, 1, 64, 64) > 0.5).float()
    found = torch._dynamo.explain(training_step)(model, image, target)
    assert found.graph_break_count == BREAKS, found.break_reasons


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_gradients_of_the_deformable_convolution_equal_eager_ones(precision: str) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer, x = moved(DeformableConv2d(8, 6, 3, 1)), torch.randn(2, 8, 12, 12, requires_grad=True)
    inputs = [x, *layer.parameters()]

    def value(call: torch.nn.Module) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            out = call(x)
        return out.float().square().sum()

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    eager = torch.autograd.grad(value(layer), inputs)
    share = 1e-5 if precision == "float32" else 3e-2
    for a, b in zip(torch.autograd.grad(value(compiled), inputs), eager, strict=True):
        assert float((a - b).abs().max() / b.abs().max()) <= share


def test_a_compiled_training_step_has_the_loss_and_the_gradients_of_the_eager_one() -> None:
    torch._dynamo.reset()
    model = BiRefNet.preset("lite", inter_channels=8, aspp_channels=8, dropout=0.0)
    models.initialise(model, 0)
    moved(model).double()
    drawn = torch.Generator().manual_seed(0)
    image = torch.randn(3, 3, 64, 64, generator=drawn).double()
    target = (torch.rand(3, 1, 64, 64, generator=drawn) > 0.5).double()
    found = []
    for step in (training_step, torch.compile(training_step, fullgraph=True, backend="aot_eager")):
        model.zero_grad()
        loss = step(model, image, target)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        # of the largest in a tensor: cancellation leaves some of its elements few digits, and a
        # bias before a batch norm has no gradient but that
        assert float((a - b).abs().max()) <= 1e-8 * float(b.abs().max()) + 1e-9
