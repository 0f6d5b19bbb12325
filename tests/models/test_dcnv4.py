"""DCNv4 against a loop over pixels, groups and taps."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import models
from models import BiRefNet
from models.dcnv4 import GROUP, DCNv4Conv2d


def layer(kernel: int = 3, groups: int = 2, out: int = 3, each: int = 2) -> DCNv4Conv2d:
    """In float64, its offsets and modulation away from zero."""
    torch.manual_seed(0)
    found = DCNv4Conv2d(groups * each, out, kernel, kernel // 2, group_channels=each).double()
    nn.init.normal_(found.offset_mask.weight)
    nn.init.normal_(found.offset_mask.bias)  # type: ignore[arg-type]
    return found


def image(channels: int = 4) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, channels, 4, 5, dtype=torch.float64)


def bilinear(plane: Tensor, y: float, x: float) -> Tensor:
    """The channels (C,) of (C, H, W) between its pixels, 0 outside."""
    total = plane.new_zeros(len(plane))
    for row, col in ((math.floor(y) + i, math.floor(x) + j) for i in (0, 1) for j in (0, 1)):
        if 0 <= row < plane.shape[1] and 0 <= col < plane.shape[2]:
            total += plane[:, row, col] * (1 - abs(y - row)) * (1 - abs(x - col))
    return total


def window(kernel: int) -> Iterator[tuple[int, int]]:
    half = kernel // 2
    return ((i, j) for i in range(-half, half + 1) for j in range(-half, half + 1))


@torch.no_grad()
def by_hand(conv: DCNv4Conv2d, x: Tensor, kernel: int) -> Tensor:
    """The formula, with every sum written out but those of the projections."""
    b, _, h, w = x.shape
    value = conv.value_proj(x).unflatten(1, (conv.groups, -1))
    moved = conv.offset_mask(x).unflatten(1, (conv.groups, 3 * kernel**2))
    y = torch.zeros_like(value)
    for n, g, i, j in ((n, g, i, j) for n in range(b) for g in range(conv.groups)
                       for i in range(h) for j in range(w)):  # fmt: skip
        for k, (dy, dx) in enumerate(window(kernel)):
            at = moved[n, g, :, i, j]
            place = float(i + dy + at[2 * k]), float(j + dx + at[2 * k + 1])
            y[n, g, :, i, j] += at[2 * kernel**2 + k] * bilinear(value[n, g], *place)
    out: Tensor = conv.output_proj(y.flatten(1, 2))
    return out


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_it_equals_a_loop_over_pixels_groups_and_taps(kernel: int, groups: int) -> None:
    conv, x = layer(kernel, groups), image(2 * groups)
    torch.testing.assert_close(conv(x).detach(), by_hand(conv, x, kernel), rtol=0, atol=1e-12)


def test_all_its_gradients_pass_gradcheck() -> None:
    conv = layer()
    names, values = zip(*conv.named_parameters(), strict=True)

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        out: Tensor = torch.func.functional_call(conv, state, (x,))
        return out

    assert torch.autograd.gradcheck(call, (image().requires_grad_(), *values))


def test_groups_do_not_touch_each_other() -> None:
    conv, x = layer(), image()
    nn.init.eye_(conv.value_proj.weight[:, :, 0, 0])
    nn.init.zeros_(conv.offset_mask.weight)  # else every channel moves every group
    conv.output_proj = nn.Identity()  # type: ignore[assignment]
    other = x.clone()
    other[:, 2:] += 1
    changed = (conv(x) - conv(other)).abs().amax(dim=(0, 2, 3)) > 0
    assert changed.tolist() == [False, False, True, True]


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_with_equal_modulation_and_no_offsets_it_is_a_mean_between_projections(
    kernel: int,
) -> None:
    conv, x = DCNv4Conv2d(16, 5, kernel, kernel // 2), torch.randn(1, 16, 9, 8)
    conv.offset_mask.bias.data[2 * kernel**2 :] = 1 / kernel**2  # type: ignore[union-attr]
    mean = nn.functional.avg_pool2d(conv.value_proj(x), kernel, 1, kernel // 2)
    torch.testing.assert_close(conv(x), conv.output_proj(mean), rtol=1e-4, atol=1e-5)


def test_under_autocast_it_stays_near_float32() -> None:
    torch.manual_seed(0)
    conv, x = DCNv4Conv2d(32, 8, 3, 1), torch.randn(2, 32, 12, 12)
    nn.init.normal_(conv.offset_mask.weight, std=0.05)
    exact = conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        near = conv(x)
    error = (near.float() - exact).abs().mean() / exact.abs().mean()
    assert float(error.detach()) < 0.05


def test_channels_that_do_not_divide_into_groups_are_refused() -> None:
    with pytest.raises(ValueError, match=f"in_channels is 40, expected a multiple of {GROUP}"):
        DCNv4Conv2d(40, 8, 3, 1)


def test_a_padding_that_changes_the_size_is_refused() -> None:
    with pytest.raises(ValueError, match="padding=1"):
        DCNv4Conv2d(16, 8, 3, 0)


def test_in_a_model_it_starts_as_the_mean_of_its_windows() -> None:
    model = BiRefNet.preset("lite", pretrained=False, deformable="DCNv4")
    models.initialise(model, 0)
    convs = [m for m in model.modules() if isinstance(m, DCNv4Conv2d)]
    assert len(convs) == 5 * 4
    conv = next(c for c in convs if c.taps == 9)
    x = torch.randn(1, 16, 6, 7)
    mean = nn.functional.avg_pool2d(conv.value_proj(x), 3, 1, 1)
    assert torch.allclose(conv(x), conv.output_proj(mean), atol=1e-5)
