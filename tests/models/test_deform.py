"""Deformable convolution: against a loop over pixels, and against plain convolution."""

import math

import pytest
import torch
from torch import Tensor, nn

from models import deform
from models.deform import DeformableConv2d, Read, deform_conv2d, deform_convs2d

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


@pytest.mark.parametrize("chunk", [deform.CHUNK, 40])
@pytest.mark.parametrize(("k", "padding", "stride"), CASES)
def test_value_and_gradients_equal_a_loop_over_pixels_and_taps(
    k: int, padding: int, stride: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deform, "CHUNK", chunk)
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
