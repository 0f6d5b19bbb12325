"""Modulated deformable convolution in plain PyTorch (DCNv2: Zhu et al., CVPR 2019).

Samples are rows (`models.sampling`), the convolution is a matrix product. Samples are computed
chunk by chunk, and once more in the backward pass, so that memory stays bounded.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.sampling import Layout, add_of_table, locate, of_weights, read_back, read_rows, shares

CHUNK = 1 << 20  # numbers sampled at once: what is written is still in the cache when it is read


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
    wide = torch.promote_types(x.dtype, torch.float32)
    table = F.pad(x.permute(0, 2, 3, 1).to(wide), (0, 0, 1, 1, 1, 1)).flatten(0, 2)
    places = torch.cat([_rows(r.offset).unflatten(1, (-1, 2)) for r in reads], dim=1).to(wide)
    factors = torch.cat([_rows(r.modulator) for r in reads], dim=1).to(wide)
    weights = [r.weight for r in reads]
    if torch.is_autocast_enabled(x.device.type):
        weights = [w.to(torch.get_autocast_dtype(x.device.type)) for w in weights]
    matrices = [w.permute(2, 3, 1, 0).flatten(0, 2) for w in weights]
    reach = tuple(tap for r in reads for tap in _reach(r))
    layout = Layout(x.shape[2], x.shape[3], out, stride, reach)
    results: tuple[Tensor, ...] = _Deform.apply(table, places, factors, layout, *matrices)  # type: ignore[no-untyped-call]
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


class _Deform(torch.autograd.Function):
    """The sampled products, from rows to rows."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, places: Tensor, factors: Tensor, layout: Layout, *matrices: Tensor
    ) -> tuple[Tensor, ...]:
        """(B (H+2) (W+2), C), (P, K, 2), (P, K), matrices (K' C, O) to (P, O), P = B H' W'."""
        ctx.save_for_backward(table, places, factors, *matrices)
        ctx.layout = layout
        outs: list[list[Tensor]] = [[] for _ in matrices]
        for part in _chunks(places, table):
            taps = locate(places[part], part, layout)
            weights = torch.stack(shares(taps, factors[part]), dim=1)
            read = read_rows(table, taps, weights, layout).view(len(places[part]), -1)
            for out, cols, matrix in zip(outs, _columns(matrices), matrices, strict=True):
                out.append(read[:, cols].to(matrix.dtype) @ matrix)
        return tuple(torch.cat(out) if len(out) > 1 else out[0] for out in outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the tensors."""
        table, places, factors, *matrices = ctx.saved_tensors
        d_table, d_places = torch.zeros_like(table), torch.empty_like(places)
        d_factors = torch.empty_like(factors)
        d_matrices = [torch.zeros_like(m, dtype=table.dtype) for m in matrices]
        for part in _chunks(places, table):
            taps, factor = locate(places[part], part, ctx.layout), factors[part]
            weights, g = shares(taps, factor), [grad[part] for grad in grads]
            d_read = _product(g, matrices).to(table.dtype).view(-1, table.shape[1])
            read, d_weights = read_back(table, taps, weights, d_read, ctx.layout)
            read = read.view(len(factor), -1)
            for d, cols, a in zip(d_matrices, _columns(matrices), g, strict=True):
                d += read[:, cols].to(a.dtype).t() @ a
            moved = of_weights(d_weights, taps, factor.reshape(-1))
            torch.stack([z.view_as(factor) for z in moved[:2]], dim=-1, out=d_places[part])
            d_factors[part] = moved[2].view_as(factor)
            add_of_table(d_table, d_read, taps, weights, ctx.layout)
        cast = (d.to(m.dtype) for d, m in zip(d_matrices, matrices, strict=True))
        return d_table, d_places, d_factors, None, *cast


def _product(grads: Sequence[Tensor], matrices: Sequence[Tensor]) -> Tensor:
    """The gradient of the samples (P, K C), each matrix's part written in its place."""
    out = grads[0].new_empty(len(grads[0]), sum(map(len, matrices)))
    for cols, grad, matrix in zip(_columns(matrices), grads, matrices, strict=True):
        torch.mm(grad, matrix.t(), out=out[:, cols])
    return out


def _columns(matrices: Sequence[Tensor]) -> Iterator[slice]:
    """Which columns of the samples each matrix takes."""
    start = 0
    for matrix in matrices:
        yield slice(start, start + len(matrix))
        start += len(matrix)


def _chunks(places: Tensor, table: Tensor) -> Iterator[slice]:
    """Slices of the output's rows, each of which samples CHUNK numbers at most."""
    step = max(1, CHUNK // (places.shape[1] * table.shape[1]))
    return (slice(i, min(i + step, len(places))) for i in range(0, len(places), step))


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
