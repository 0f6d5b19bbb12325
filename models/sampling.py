"""Rows of a table read at fractional places, and the gradients of that, for `models.deform`.

An image is a table with a row of channels for each pixel and a border of zeros; a sample is a
weighted sum of four neighbouring rows, which is what `embedding_bag` computes. The gradient of the
table would be a scatter; the samples are sorted by their upper left pixel instead, which turns it
into `embedding_bag` once more (5 times faster than grid_sample's backward at 64 channels).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_SUM = 0  # embedding_bag's mode, as its operators number them


class Taps(NamedTuple):
    """Where a chunk's N samples read: between four rows of the table."""

    corner: Tensor  # (N,) row of the upper left pixel, int32
    y: Tensor  # (N,) share of the lower two
    x: Tensor  # (N,) share of the right two
    free_y: Tensor  # (N,) 1 where moving the sample can change it; outside the image it cannot
    free_x: Tensor


class Layout(NamedTuple):
    """Sizes of one call; `reach` is where each tap lies from the upper left of its window."""

    height: int
    width: int
    out: tuple[int, int]
    stride: int
    reach: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, sizes: Sequence[int], reach: Sequence[int]) -> "Layout":
        """From plain numbers: H, W, H', W', stride; y and x of each tap in turn."""
        height, width, out_h, out_w, stride = sizes
        taps = tuple(zip(reach[::2], reach[1::2], strict=True))
        return cls(height, width, (out_h, out_w), stride, taps)

    @property
    def steps(self) -> tuple[int, ...]:
        """From a pixel's row of the table to itself, the right, the lower, the lower right."""
        return 0, 1, self.width + 2, self.width + 3


def locate(places: Tensor, part: slice, layout: Layout) -> Taps:
    """The four rows that each sample lies between; those outside the image are zeros."""
    height, width, (oh, ow), stride, _ = layout
    pixel = torch.arange(part.start, part.stop, device=places.device)[:, None]
    reach = torch.tensor(layout.reach, device=places.device)
    y = places[..., 0] + (pixel // ow % oh * stride + reach[:, 0])  # whole numbers first: exact
    x = places[..., 1] + (pixel % ow * stride + reach[:, 1])
    held_y, held_x = y.clamp(-1, height), x.clamp(-1, width)
    top, left = held_y.floor().clamp_(max=height - 1), held_x.floor().clamp_(max=width - 1)
    corner = left.int().clamp_(min=-1)  # where NaN goes
    corner.add_(top.int().clamp_(min=-1), alpha=width + 2)
    corner.add_(((pixel // (oh * ow) * (height + 2) + 1) * (width + 2) + 1).int())
    shares = held_y - top, held_x - left
    free = _within(y, height), _within(x, width)
    return Taps(corner.reshape(-1), *(z.reshape(-1) for z in (*shares, *free)))


def _within(place: Tensor, side: int) -> Tensor:
    """1 from -1 on and below the side, where the next pixel's row would be read."""
    return place.ge(-1).logical_and_(place.lt(side)).to(place.dtype)


def shares(taps: Taps, factor: Tensor) -> tuple[Tensor, ...]:
    """What each of the four rows counts, (N,) each."""
    right = taps.x * factor.reshape(-1)
    left = factor.reshape(-1) - right
    low_left, low_right = taps.y * left, taps.y * right
    return left - low_left, right - low_right, low_left, low_right


def read_rows(
    table: Tensor, taps: Taps, weights: Tensor, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, C): the samples; weights (N, 4). And what `read_back` takes to go back."""
    steps = torch.tensor(layout.steps, dtype=torch.int32, device=table.device)
    index = (taps.corner[:, None] + steps).flatten()
    starts = torch.arange(0, len(index), 4, dtype=torch.int32, device=table.device)
    read, bags, *_ = torch.ops.aten._embedding_bag(
        table, index, starts, mode=_SUM, per_sample_weights=weights.flatten()
    )
    return read, index, bags


def read_back(
    table: Tensor, taps: Taps, weights: tuple[Tensor, ...], d_read: Tensor, layout: Layout
) -> tuple[Tensor, Tensor]:
    """The samples again, and the gradient (N, 4) of their weights.

    By the operators that autograd would call: inside an operator there is no autograd.
    """
    read, index, bags = read_rows(table, taps, torch.stack(weights, dim=1), layout)
    starts = torch.arange(0, len(index), 4, dtype=torch.int32, device=table.device)
    d_weights: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        d_read, table, index, starts, bags, _SUM
    )
    return read, d_weights.view(-1, 4)


def of_weights(d: Tensor, taps: Taps, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of y, x and factor (N,) from that of the weights (N, 4)."""
    top_left, top_right, low_left, low_right = d.unbind(1)
    top_step, low_step = top_right - top_left, low_right - low_left
    top = top_left + top_step * taps.x
    d_y = low_left + low_step * taps.x - top
    d_x = top_step + (low_step - top_step) * taps.y
    d_factor = top + taps.y * d_y
    return d_y.mul_(factor).mul_(taps.free_y), d_x.mul_(factor).mul_(taps.free_x), d_factor


def add_of_table(
    d_table: Tensor, d_read: Tensor, taps: Taps, weights: tuple[Tensor, ...], layout: Layout
) -> None:
    """Add the gradient of the table: the samples of each upper left pixel, four times shifted."""
    first, last = int(taps.corner.min()), int(taps.corner.max())
    key = taps.corner - first
    small = last - first <= torch.iinfo(torch.int16).max
    order = torch.sort(key.short() if small else key, stable=True).indices
    count = torch.bincount(key, minlength=last - first + 1)
    starts = count.cumsum(0) - count
    for weight, step in zip(weights, layout.steps, strict=True):
        d_table[first + step : last + step + 1] += F.embedding_bag(
            order, d_read, starts, mode="sum", per_sample_weights=weight[order]
        )
