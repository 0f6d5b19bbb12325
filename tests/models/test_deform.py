"""Deformable convolution: against a loop over pixels, plain convolution, and torchvision's."""

import math
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from models import deform, sampled
from models.deform import (
    DeformableConv2d,
    Read,
    deform_conv2d,
    deform_convs2d,
    torchvision_works,
)

TOLERANCE = {  # of the largest number
    torch.float64: 1e-10,
    torch.float32: 1e-6,
    torch.float16: 2e-3,
    torch.bfloat16: 2e-2,
}
CASES = [(1, 0, 1), (3, 1, 1), (7, 3, 1), (3, 0, 1), (3, 2, 2), (3, 0, 2)]


def bilinear(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The channels (C,) of an image (C, H, W) between its pixels, 0 outside."""
    total = image.new_zeros(len(image))
    top, left = (math.floor(float(z.detach())) for z in (y, x))
    for row in (top, top + 1):
        for col in (left, left + 1):
            if 0 <= row < image.shape[1] and 0 <= col < image.shape[2]:
                total = total + image[:, row, col] * (1 - abs(y - row)) * (1 - abs(x - col))
    return total


def by_hand(
    x: Tensor, offset: Tensor, modulator: Tensor, weight: Tensor, padding: int, stride: int = 1
) -> Tensor:
    k = weight.shape[-1]
    out = [
        sum(
            weight[:, :, tap // k, tap % k]
            @ bilinear(
                x[b],
                i * stride + tap // k - padding + offset[b, 2 * tap, i, j],
                j * stride + tap % k - padding + offset[b, 2 * tap + 1, i, j],
            )
            * modulator[b, tap, i, j]
            for tap in range(k * k)
        )
        for b in range(len(x))
        for i in range(offset.shape[2])
        for j in range(offset.shape[3])
    ]
    return torch.stack(out).view(len(x), *offset.shape[-2:], -1).permute(0, 3, 1, 2)


def case(k: int, padding: int, stride: int = 1) -> list[Tensor]:
    torch.manual_seed(k + 10 * padding)
    b, c, o, h, w = 2, 2, 3, 5, 4
    out = [(side + 2 * padding - k) // stride + 1 for side in (h, w)]
    x, weight = torch.randn(b, c, h, w).double(), torch.randn(o, c, k, k).double()
    offset = 1.5 * torch.randn(b, 2 * k * k, *out).double()
    tensors = [x, offset, torch.rand(b, k * k, *out).double(), weight]
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("chunk", [sampled.CHUNK, 40])
@pytest.mark.parametrize(("k", "padding", "stride"), CASES)
def test_value_and_gradients_equal_a_loop_over_pixels_and_taps(
    k: int, padding: int, stride: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "CHUNK", chunk)
    x, offset, modulator, weight = inputs = case(k, padding, stride)
    found = deform_conv2d(x, offset, modulator, weight, None, padding, stride)
    expected = by_hand(x, offset, modulator, weight, padding, stride)
    assert torch.allclose(found, expected, atol=1e-12)
    way = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, inputs, way),
        torch.autograd.grad(expected, inputs, way),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(("k", "padding"), [(1, 0), (3, 1)])
def test_all_its_gradients_pass_gradcheck(k: int, padding: int) -> None:
    assert torch.autograd.gradcheck(
        lambda x, o, m, w: deform_conv2d(x, o, m, w, None, padding), case(k, padding)
    )


def test_several_at_once_equal_each_alone() -> None:
    x = case(1, 0)[0]
    reads = [Read(*case(k, k // 2)[1:], k // 2) for k in (1, 3, 7)]
    for found, read in zip(deform_convs2d(x, reads), reads, strict=True):
        assert torch.allclose(found, deform_conv2d(x, *read[:3], None, read.padding), atol=1e-12)


def test_a_sample_far_outside_is_zero_and_moves_nothing() -> None:
    x, offset, modulator, weight = case(3, 1)
    far = torch.full_like(offset, 1e6).requires_grad_()
    out = deform_conv2d(x, far, modulator, weight, None, 1)
    assert float(out.detach().abs().max()) == 0
    grads = torch.autograd.grad(out.sum(), (x, far, modulator, weight))
    assert all(float(grad.abs().max()) == 0 for grad in grads)


def test_where_the_next_pixel_would_lie_outside_a_sample_cannot_be_moved() -> None:
    x, offset, modulator, weight = case(1, 0)
    offset = torch.zeros_like(offset)
    offset[:, 0, -1] = 1  # the last row reads the first one below the image
    offset.requires_grad_()
    out = deform_conv2d(x, offset, modulator, weight)
    (grad,) = torch.autograd.grad(out.sum(), offset)
    assert not bool(grad[:, 0, -1].any())  # as torchvision's; towards the image it would be


@pytest.mark.parametrize("width", [3, 7, 24])
def test_whole_pixels_are_read_exactly_in_float32(width: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 4, width)
    offset = torch.zeros(1, 2, 4, width).requires_grad_()
    offset.data[:, 1] = 1
    out = deform_conv2d(x, offset, torch.ones(1, 1, 4, width), torch.ones(1, 1, 1, 1))
    moved = torch.nn.functional.pad(x, (0, 2))
    assert torch.equal(out.detach(), moved[..., 1:-1])
    (grad,) = torch.autograd.grad(out.sum(), offset)  # towards the next pixel, as torchvision's
    assert torch.equal(grad[0, 1, :, :-1], (moved[..., 2:] - moved[..., 1:-1])[0, 0, :, :-1])


def test_nan_offsets_give_nan_and_no_crash() -> None:
    x, offset, modulator, weight = case(3, 1)
    offset = torch.full_like(offset, math.nan).requires_grad_()
    out = deform_conv2d(x, offset, modulator, weight, None, 1)
    out.sum().backward()
    assert bool(out.isnan().all())


def test_shapes_that_do_not_belong_together_are_named() -> None:
    x, offset, modulator, weight = case(3, 1)
    with pytest.raises(ValueError, match=r"offset is \(2, 9, 5, 4\), expected \(2, 18, 5, 4\)"):
        deform_conv2d(x, modulator, modulator, weight, None, 1)
    with pytest.raises(ValueError, match="padding 0 and stride 1"):
        deform_conv2d(x, offset, modulator, weight)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_at_its_start_it_is_a_plain_convolution(kernel: int) -> None:
    torch.manual_seed(0)
    layer, x = DeformableConv2d(4, 5, kernel, kernel // 2), torch.randn(2, 4, 9, 12)
    plain = nn.functional.conv2d(x, layer.regular_conv.weight, padding=kernel // 2)
    assert torch.allclose(layer(x), plain, atol=1e-5)


def test_bfloat16_autocast_stays_near_float32() -> None:
    torch.manual_seed(0)
    layer, x = DeformableConv2d(8, 8, 3, 1), torch.randn(2, 8, 16, 16)
    nn.init.normal_(layer.offset_conv.weight, std=0.05)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        near = layer(x)
    error = (near.float() - exact).abs().mean() / exact.abs().mean()
    assert float(error.detach()) < 0.05


def wide_case(b: int = 2, c: int = 16, side: int = 20, k: int = 3, o: int = 8) -> list[Tensor]:
    torch.manual_seed(0)
    weight = torch.randn(o, c, k, k, dtype=torch.float64) / math.sqrt(c * k * k)
    shapes = (b, c, side, side), (b, 2 * k * k, side, side), (b, k * k, side, side)
    return [*(torch.randn(*shape, dtype=torch.float64) for shape in shapes), weight]


def value_and_gradients(inputs: list[Tensor], by: str = "rows") -> list[Tensor]:
    """Of the sum of the result times fixed numbers, in the dtype of the inputs."""
    leaves = [z.detach().requires_grad_() for z in inputs]
    read = Read(*leaves[1:], padding=leaves[3].shape[-1] // 2)
    if by == "torchvision":
        out = deform._by_torchvision(leaves[0], read, 1)
    else:
        (out,) = deform_convs2d(leaves[0], [read])
    torch.manual_seed(1)
    way = torch.randn(out.shape, dtype=torch.float64).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, way)]


def assert_near(found: list[Tensor], expected: list[Tensor], share: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert float((a.double() - b.double()).abs().max() / b.double().abs().max()) <= share


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_low_precision_equals_float32_on_the_rounded_inputs(dtype: torch.dtype) -> None:
    inputs = [z.to(dtype) for z in wide_case()]
    exact = value_and_gradients([z.float() for z in inputs])
    found = value_and_gradients(inputs)
    assert {z.dtype for z in found} == {dtype}
    assert_near(found, exact, TOLERANCE[dtype])


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_it_equals_torchvision_in_value_and_all_gradients(dtype: torch.dtype, k: int) -> None:
    pytest.importorskip("torchvision")
    inputs = [z.to(dtype) for z in wide_case(k=k)]
    theirs = value_and_gradients(inputs, by="torchvision")
    assert_near(value_and_gradients(inputs), theirs, TOLERANCE[dtype])


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What was found out about torchvision is forgotten, before and after."""
    torchvision_works.cache_clear()
    yield
    torchvision_works.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_torchvision_that_is_absent_or_does_not_fit_this_torch_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert not torchvision_works("cpu")

    def broken(_: str) -> ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(deform, "import_module", broken)
    torchvision_works.cache_clear()
    assert not torchvision_works("cpu")


@pytest.mark.usefixtures("forgetful")
def test_whether_torchvision_works_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(deform, "import_module", calls.append)
    monkeypatch.setattr(deform, "_by_torchvision", lambda *_: None)
    assert torchvision_works("cpu")
    assert torchvision_works("cpu")
    assert calls == ["torchvision"]


def test_torchvision_is_not_imported_with_the_models_nor_used_on_cpu() -> None:
    code = (
        "import sys, torch, models; from models.deform import DeformableConv2d\n"
        "DeformableConv2d(2, 2, 3, 1)(torch.zeros(1, 2, 5, 5))\n"
        "sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
