"""Deformable convolution: against a loop over pixels, and against plain convolution."""

import math

import pytest
import torch
from torch import Tensor, nn

from models import deform
from models.deform import DeformableConv2d, deform_conv2d

CASES = [(1, 0), (3, 1), (7, 3), (3, 0), (3, 2)]


def bilinear(plane: Tensor, y: float, x: float) -> Tensor:
    """One plane (H, W) read between its pixels, 0 outside."""
    total = plane.new_zeros(())
    for row in (math.floor(y), math.floor(y) + 1):
        for col in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < plane.shape[0] and 0 <= col < plane.shape[1]:
                total = total + plane[row, col] * (1 - abs(y - row)) * (1 - abs(x - col))
    return total


def by_hand(x: Tensor, offset: Tensor, modulator: Tensor, weight: Tensor, padding: int) -> Tensor:
    k = weight.shape[-1]
    out = x.new_zeros(len(x), len(weight), *offset.shape[-2:])
    for b in range(len(x)):
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                for tap in range(k * k):
                    y = i + tap // k - padding + float(offset[b, 2 * tap, i, j])
                    z = j + tap % k - padding + float(offset[b, 2 * tap + 1, i, j])
                    for c in range(x.shape[1]):
                        read = bilinear(x[b, c], y, z) * modulator[b, tap, i, j]
                        out[b, :, i, j] += weight[:, c, tap // k, tap % k] * read
    return out


def case(k: int, padding: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    torch.manual_seed(k + 10 * padding)
    b, c, o, h, w = 2, 2, 3, 5, 4
    out = h + 2 * padding - k + 1, w + 2 * padding - k + 1
    x, weight = torch.randn(b, c, h, w, dtype=dtype), torch.randn(o, c, k, k, dtype=dtype)
    offset = 1.5 * torch.randn(b, 2 * k * k, *out, dtype=dtype)
    return x, offset, torch.rand(b, k * k, *out, dtype=dtype), weight


@pytest.mark.parametrize(("k", "padding"), CASES)
def test_it_equals_a_loop_over_pixels_and_taps(k: int, padding: int) -> None:
    x, offset, modulator, weight = case(k, padding)
    found = deform_conv2d(x, offset, modulator, weight, None, padding)
    assert torch.allclose(found, by_hand(x, offset, modulator, weight, padding), atol=1e-10)


@pytest.mark.parametrize(("k", "padding"), CASES[:2])
def test_all_its_gradients_pass_gradcheck(k: int, padding: int) -> None:
    inputs = [tensor.requires_grad_() for tensor in case(k, padding)]
    assert torch.autograd.gradcheck(
        lambda x, o, m, w: deform_conv2d(x, o, m, w, None, padding), inputs
    )


def test_chunks_of_the_batch_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, offset, modulator, weight = case(3, 1)
    whole = deform_conv2d(x, offset, modulator, weight, torch.ones(3, dtype=x.dtype), 1)
    monkeypatch.setattr(deform, "CHUNK", 1)
    parts = deform_conv2d(x, offset, modulator, weight, torch.ones(3, dtype=x.dtype), 1)
    assert torch.equal(whole, parts)


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
