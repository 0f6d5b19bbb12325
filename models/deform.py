"""Modulated deformable convolution (DCNv2: Zhu et al., CVPR 2019).

In plain PyTorch: samples are rows of a table, the convolution is a matrix product
(`models.sampled`). On a GPU torchvision's operator is taken where there is one.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.deform_export import deform_convs2d_exportable
from models.sampled import sampled_products


class Read(NamedTuple):
    """What one deformable convolution takes beside the image (see `deform_conv2d`)."""

    offset: Tensor
    modulator: Tensor
    weight: Tensor
    padding: int


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    modulator: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    stride: int = 1,
) -> Tensor:
    r"""Convolution whose taps are read at learned places and weighted.

    y(p) = sum_k w_k m_k(p) x(s p + p_k + d_k(p)), x read bilinearly and 0 outside the image.
    Sampling is done in float32 at least (bfloat16 cannot tell pixels apart beyond 256), the
    product with the weight in the dtype of the weight, or of autocast.

    Args:
        x: (B, C, H, W); channels-last saves a copy.
        offset: (B, 2K, H', W'), d_k as (dy, dx) pairs, in pixels.
        modulator: (B, K, H', W'), m_k.
        weight: (O, C, kh, kw), K = kh kw.
        bias: (O,) or None.
        padding: zeros assumed around the image; H' = (H + 2 padding - kh) // stride + 1.
        stride: s.

    Returns:
        (B, O, H', W'), channels-last. Its gradient cannot be differentiated again.

    Raises:
        ValueError: shapes that do not belong together.
    """
    (out,) = deform_convs2d(x, [Read(offset, modulator, weight, padding)], stride)
    return out if bias is None else out + bias.view(-1, 1, 1).to(out.dtype)


def deform_convs2d(x: Tensor, reads: Sequence[Read], stride: int = 1) -> list[Tensor]:
    """Several deformable convolutions of one image with equal output sizes, sampled together.

    Raises:
        ValueError: shapes that do not belong together.
    """
    out = _out_size(x, reads[0], stride)
    for read in reads:
        _check(x, read, out, stride)
    if torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export():
        return [deform_convs2d_exportable(x, *read, stride) for read in reads]
    if x.is_cuda and torchvision_works(x.device.type):
        return [_by_torchvision(x, read, stride) for read in reads]
    return _by_rows(x, reads, out, stride)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
@cache
def torchvision_works(device: str) -> bool:
    """Whether torchvision is there and its operator runs on that type of device.

    It is tried once: builds that do not fit this torch import and fail, or lack some devices.
    """
    try:
        import_module("torchvision")  # here, as most runs never need it
        x = torch.ones(1, 1, 1, 1, device=device)
        _by_torchvision(x, Read(x.new_zeros(1, 2, 1, 1), x, x, 0), 1)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return False
    return True


def _by_torchvision(x: Tensor, read: Read, stride: int) -> Tensor:
    """Sampled and multiplied in float32 at least: it knows no bfloat16."""
    wide = torch.promote_types(x.dtype, torch.float32)
    image, weight, offset, modulator = (
        z.to(wide) for z in (x, read.weight, read.offset, read.modulator)
    )
    steps = (stride, stride, read.padding, read.padding, 1, 1, 1, 1)  # last: dilation and groups
    out: Tensor = torch.ops.torchvision.deform_conv2d(
        image, weight, offset, modulator, weight.new_zeros(len(weight)), *steps, True
    )
    return out.to(_product_dtype(read.weight))


def _product_dtype(weight: Tensor) -> torch.dtype:
    """The weight's, or that of autocast."""
    device = weight.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype


def _by_rows(x: Tensor, reads: Sequence[Read], out: tuple[int, int], stride: int) -> list[Tensor]:
    wide = torch.promote_types(x.dtype, torch.float32)
    table = F.pad(x.permute(0, 2, 3, 1).to(wide), (0, 0, 1, 1, 1, 1)).flatten(0, 2)
    places = torch.cat([_rows(r.offset).unflatten(1, (-1, 2)) for r in reads], dim=1).to(wide)
    factors = torch.cat([_rows(r.modulator) for r in reads], dim=1).to(wide)
    weights = [r.weight.to(_product_dtype(r.weight)) for r in reads]
    matrices = [w.permute(0, 2, 3, 1).flatten(1) for w in weights]  # no copy if channels-last
    reach = [side for r in reads for tap in _reach(r) for side in tap]
    sizes = [x.shape[2], x.shape[3], *out, stride]
    results = sampled_products(table, places, factors, matrices, sizes, reach)
    return [z.view(len(x), *out, -1).permute(0, 3, 1, 2) for z in results]


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) as (B H W, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _reach(read: Read) -> list[tuple[int, int]]:
    kh, kw = read.weight.shape[-2:]
    return [(i - read.padding, j - read.padding) for i in range(kh) for j in range(kw)]


def _out_size(x: Tensor, read: Read, stride: int) -> tuple[int, int]:
    h, w = (
        (side + 2 * read.padding - kernel) // stride + 1
        for side, kernel in zip(x.shape[-2:], read.weight.shape[-2:], strict=True)
    )
    return h, w


def _check(x: Tensor, read: Read, out: tuple[int, int], stride: int) -> None:
    kernel = read.weight.shape[-2:]
    expected = {
        "offset": (read.offset, (len(x), 2 * kernel.numel(), *out)),
        "modulator": (read.modulator, (len(x), kernel.numel(), *out)),
        "weight": (read.weight, (len(read.weight), x.shape[1], *kernel)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape or _out_size(x, read, stride) != out:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)}, expected {shape} for an image "
                f"{tuple(x.shape)}, padding {read.padding} and stride {stride}"
            )


class ZeroConv2d(nn.Conv2d):
    """A convolution that starts at zero: offsets of nothing, modulation of one."""

    def reset_parameters(self) -> None:
        """Fill weight and bias with zeros."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class DeformableConv2d(nn.Module):
    """Deformable convolution that predicts its own offsets and modulation (2 sigmoid)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, padding: int
    ) -> None:
        super().__init__()
        taps = kernel_size * kernel_size
        self.padding = padding
        self.offset_conv = ZeroConv2d(in_channels, 2 * taps, kernel_size, padding=padding)
        self.modulator_conv = ZeroConv2d(in_channels, taps, kernel_size, padding=padding)
        self.regular_conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=padding, bias=False
        )

    def predict(self, x: Tensor) -> Read:
        """Where and how strongly to read (B, C, H, W)."""
        weight = torch.cat((self.offset_conv.weight, self.modulator_conv.weight))
        bias = torch.cat((self.offset_conv.bias, self.modulator_conv.bias))  # type: ignore[arg-type]
        both = F.conv2d(x, weight, bias, padding=self.padding)  # one pass over x for the two
        rows = both.permute(0, 2, 3, 1)  # split there, so that the gradient is channels-last too
        offset, modulator = rows.split((2 * len(weight) // 3, len(weight) // 3), dim=-1)
        offset, modulator = (z.permute(0, 3, 1, 2) for z in (offset, 2 * modulator.sigmoid()))
        return Read(offset, modulator, self.regular_conv.weight, self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, H, W)."""
        (out,) = deform_convs2d(x, [self.predict(x)])
        return out
