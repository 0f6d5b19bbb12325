"""Samples of an image times matrices, as one operator with its own gradient.

The compiler sees one opaque node where the function would break its graph, and counters of
operations see its products. Samples are computed chunk by chunk, and once more in the backward
pass, so that no more than a chunk of them is ever held.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from models.sampling import Layout, add_of_table, locate, of_weights, read_back, read_rows, shares

CHUNK = 1 << 20  # numbers sampled at once: what is written is still in the cache when it is read
CHUNK_CUDA = 1 << 26  # there a chunk has to fill the device; 256 MB


@torch.library.custom_op("seglossary::sampled_products", mutates_args=())
def sampled_products(
    table: Tensor,
    places: Tensor,
    factors: Tensor,
    matrices: Sequence[Tensor],
    sizes: Sequence[int],
    reach: Sequence[int],
) -> list[Tensor]:
    """Samples (P, K, C) of a table, read side by side as (P, K C), times each matrix.

    Args:
        table: (B (H+2) (W+2), C), an image's rows with a border of zeros.
        places: (P, K, 2), by how much each tap is moved, (y, x) in pixels; P = B H' W'.
        factors: (P, K), what each sample is multiplied with.
        matrices: (O, K' C) each, of one dtype; together they take all K C columns, in turn.
        sizes: H, W, H', W', stride.
        reach: y, x of each of the K taps from the upper left of its window.

    Returns:
        (P, O) for each matrix, in its dtype, which is that of the products.
    """
    layout = Layout.of(sizes, reach)
    outs = [m.new_empty(len(places), len(m)) for m in matrices]
    for part in _chunks(places, table):
        taps = locate(places[part], part, layout)
        weights = torch.stack(shares(taps, factors[part]), dim=1)
        read, *_ = read_rows(table, taps, weights, layout)
        read = read.view(len(places[part]), -1).to(matrices[0].dtype)
        for out, cols, matrix in zip(outs, _columns(matrices), matrices, strict=True):
            torch.mm(read[:, cols], matrix.t(), out=out[part])
    return outs


@torch.library.custom_op("seglossary::sampled_products_backward", mutates_args=())
def sampled_products_backward(
    grads: Sequence[Tensor],
    table: Tensor,
    places: Tensor,
    factors: Tensor,
    matrices: Sequence[Tensor],
    sizes: Sequence[int],
    reach: Sequence[int],
) -> list[Tensor]:
    """The gradients of table, places, factors and each matrix."""
    layout = Layout.of(sizes, reach)
    d_table, d_places, d_factors, *d_matrices = _like(table, places, factors, matrices)
    sums = [torch.zeros_like(d, dtype=table.dtype) for d in d_matrices]
    d_table.zero_()
    for part in _chunks(places, table):
        taps, factor = locate(places[part], part, layout), factors[part]
        weights, g = shares(taps, factor), [grad[part] for grad in grads]
        d_read = _product(g, matrices).to(table.dtype).view(-1, table.shape[1])
        read, d_weights = read_back(table, taps, weights, d_read, layout)
        read = read.view(len(factor), -1).to(g[0].dtype)
        for d, cols, a in zip(sums, _columns(matrices), g, strict=True):
            _add_product(d, a.t(), read[:, cols])
        moved = of_weights(d_weights, taps, factor.reshape(-1))
        torch.stack([z.view_as(factor) for z in moved[:2]], dim=-1, out=d_places[part])
        d_factors[part] = moved[2].view_as(factor)
        add_of_table(d_table, d_read, taps, weights, layout)
    for d, total in zip(d_matrices, sums, strict=True):
        d.copy_(total)
    return [d_table, d_places, d_factors, *d_matrices]


@sampled_products.register_fake
def _(*inputs: Any) -> list[Tensor]:
    _, places, _, matrices, *_ = inputs
    return [m.new_empty(len(places), len(m)) for m in matrices]


@sampled_products_backward.register_fake
def _(*inputs: Any) -> list[Tensor]:
    return _like(*inputs[1:5])


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ARG001
    table, places, factors, matrices, ctx.sizes, ctx.reach = inputs
    ctx.save_for_backward(table, places, factors, *matrices)


def _backward(ctx: Any, grads: list[Tensor]) -> tuple[Any, ...]:
    table, places, factors, *matrices = ctx.saved_tensors
    grads = [g.to(m.dtype) for g, m in zip(grads, matrices, strict=True)]
    first, second, third, *rest = sampled_products_backward(
        grads, table, places, factors, matrices, ctx.sizes, ctx.reach
    )
    return first, second, third, rest, None, None


sampled_products.register_autograd(_backward, setup_context=_save)


def _flops(places: Sequence[int], matrices: Sequence[Sequence[int]]) -> int:
    """Of the products alone, as a convolution is counted; from shapes."""
    return sum(2 * places[0] * rows * columns for rows, columns in matrices)


@register_flop_formula(torch.ops.seglossary.sampled_products)
def _(*shapes: Any, out_shape: Any = None) -> int:  # noqa: ARG001
    return _flops(shapes[1], shapes[3])


@register_flop_formula(torch.ops.seglossary.sampled_products_backward)
def _(*shapes: Any, out_shape: Any = None) -> int:  # noqa: ARG001
    return 2 * _flops(shapes[2], shapes[4])  # towards the samples and towards the matrices


def _like(
    table: Tensor, places: Tensor, factors: Tensor, matrices: Sequence[Tensor]
) -> list[Tensor]:
    """Room for the gradients, contiguous whatever the inputs are."""
    return [x.new_empty(x.shape) for x in (table, places, factors, *matrices)]


def _product(grads: Sequence[Tensor], matrices: Sequence[Tensor]) -> Tensor:
    """The gradient of the samples (P, K C), each matrix's part written in its place."""
    out = grads[0].new_empty(len(grads[0]), sum(m.shape[1] for m in matrices))
    for cols, grad, matrix in zip(_columns(matrices), grads, matrices, strict=True):
        torch.mm(grad, matrix, out=out[:, cols])
    return out


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a b to the total, which may be of a wider dtype."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def _columns(matrices: Sequence[Tensor]) -> Iterator[slice]:
    """Which columns of the samples each matrix takes."""
    start = 0
    for matrix in matrices:
        yield slice(start, start + matrix.shape[1])
        start += matrix.shape[1]


def _chunks(places: Tensor, table: Tensor) -> Iterator[slice]:
    """Slices of the output's rows, each of which samples a chunk of numbers at most."""
    most = CHUNK_CUDA if table.is_cuda else CHUNK
    step = max(1, most // (places.shape[1] * table.shape[1]))
    return (slice(i, min(i + step, len(places))) for i in range(0, len(places), step))
