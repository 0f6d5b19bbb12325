"""Law 16 for compiled losses: one graph, and eager's values and gradients."""

import shutil

import pytest
import torch

import losses
from losses.laws import Case, evaluate, make_case
from losses.laws.tools import gradients

from .strategies import keeping

# Inductor is dear: a pixel loss, sums, windows, a composite and mining stand for the rest.
INDUCTOR = ("bce", "dice", "structure", "ssim", "birefnet_pixel", "balanced_bce")
# Losses with windows and tiles are compiled on a side longer than these too.
WINDOWED = ("patch_iou", "ssim", "structure")


def compiled_case(kind: losses.registry.Kind, size: tuple[int, int, int]) -> Case:
    return make_case(kind, 3, size=size, mask="some", dtype=torch.float32).leaves()


def compiled_equals_eager(name: str, backend: str, size: tuple[int, int, int]) -> None:
    loss = losses.build(name)
    case = compiled_case(loss.kind, size)
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda: evaluate(loss, case), fullgraph=True, backend=backend, dynamic=False
    )
    value, leaves = compiled(), [*case.predictions, *case.beside]
    slopes = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    expected, expected_slopes = gradients(loss, case)
    torch.testing.assert_close(value, expected)
    for slope, wanted in zip(slopes, expected_slopes, strict=True):
        found = torch.zeros_like(wanted) if slope is None else slope
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", keeping(16))
def test_a_loss_compiles_to_one_graph_with_eagers_value_and_gradient(name: str) -> None:
    compiled_equals_eager(name, "aot_eager", (2, 16, 16))


@pytest.mark.parametrize("name", WINDOWED)
def test_an_image_longer_than_every_window_compiles_too(name: str) -> None:
    compiled_equals_eager(name, "aot_eager", (1, 72, 5))


@pytest.mark.skipif(shutil.which("c++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inductor's own imports
@pytest.mark.parametrize("name", INDUCTOR)
def test_inductor_gives_eagers_value_and_gradient(name: str) -> None:
    compiled_equals_eager(name, "inductor", (2, 16, 16))
