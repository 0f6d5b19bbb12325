"""The operator below the deformable convolution: its rules, its counts, its memory."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from models import sampled
from models.deform import DeformableConv2d, deform_conv2d


def case() -> list[Tensor]:
    """Image, offset, modulator and weight of a 3 x 3 convolution."""
    torch.manual_seed(0)
    shapes = (2, 2, 5, 4), (2, 18, 5, 4), (2, 9, 5, 4), (3, 2, 3, 3)
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def rows_case(dtype: torch.dtype = torch.float64) -> tuple[object, ...]:
    """Two reads of one image, 3 x 3 and 1 x 1, as `sampled_products` takes them."""
    torch.manual_seed(0)
    table = torch.zeros(2, 5, 6, 2, dtype=dtype)
    table[:, 1:-1, 1:-1] = torch.randn(2, 3, 4, 2, dtype=dtype)
    tensors = [table.flatten(0, 2), *(torch.randn(24, 10, *n, dtype=dtype) for n in ((2,), ()))]
    matrices = [torch.randn(3, n, dtype=dtype) for n in (18, 2)]
    for z in (*tensors, *matrices):
        z.requires_grad_()
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    reach = [side for tap in (*around, (0, 0)) for side in tap]
    return (*tensors, matrices, [3, 4, 3, 4, 1], reach)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # opcheck's own, newer torch
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_operator_keeps_the_rules_of_custom_operators(dtype: torch.dtype) -> None:
    torch.library.opcheck(sampled.sampled_products, rows_case(dtype))


def test_its_second_derivative_is_refused() -> None:
    x, offset, modulator, weight = case()
    out = deform_conv2d(x, offset, modulator, weight, None, 1)
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        grad.sum().backward()


def test_its_products_are_counted_as_those_of_a_convolution() -> None:
    x, offset, modulator, weight = case()
    with FlopCounterMode(display=False) as found:
        deform_conv2d(x, offset, modulator, weight, None, 1).sum().backward()
    with FlopCounterMode(display=False) as plain:
        nn.functional.conv2d(x, weight, padding=1).sum().backward()
    assert found.get_total_flops() == plain.get_total_flops()


def test_nothing_as_large_as_all_samples_is_kept_for_backward() -> None:
    layer, x = DeformableConv2d(8, 4, 7, 3), torch.randn(1, 8, 32, 32, requires_grad=True)
    kept: list[int] = []
    with saved_tensors_hooks(lambda z: kept.append(z.numel()) or z, lambda z: z):  # type: ignore[func-returns-value]
        layer(x)
    assert max(kept) <= 32 * 32 * 49 * 3  # offsets and modulation; samples would be 49 x 8


def test_memory_at_1024_px_stays_far_below_that_of_all_samples() -> None:
    code = """
import resource, torch
from models.deform import DeformableConv2d
torch.set_num_threads(1)
layer, x = DeformableConv2d(64, 8, 7, 3), torch.randn(1, 64, 256, 256, requires_grad=True)
offset, modulator, weight, padding = layer.predict(x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layer(x).sum().backward()
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 256 * 256 * 49 * 64 * 4 / 2
