"""Derivatives by hand: of the sigmoid, and of values made without autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["probability", "with_slope"]


class _Probability(torch.autograd.Function):
    """sigmoid whose backward is made again from the logits, which are kept anyway."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return torch.sigmoid(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * (torch.sigmoid(z) * torch.sigmoid(-z))


def probability(z: Tensor) -> Tensor:
    """sigmoid(z) whose gradient does not vanish for large positive z.

    The usual backward y (1 - y) is 0 in float32 from z = 17 on, because y rounds to 1. Here it
    is sigmoid(z) sigmoid(-z), exact on both sides, and nothing is kept but z.
    """
    p: Tensor = _Probability.apply(z)  # type: ignore[no-untyped-call]
    return p


class _WithSlope(torch.autograd.Function):
    """A value whose derivative is known already."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, slope: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(slope)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad.view(-1, 1, 1, 1) * slope, None, None


def with_slope(z: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """Join values (B,) made without autograd to their derivative by z, ``slope`` (B,1,H,W).

    For losses whose derivative by hand is cheaper than autograd's and keeps one map alone.
    Differentiable once.
    """
    joined: Tensor = _WithSlope.apply(z, value, slope)  # type: ignore[no-untyped-call]
    return joined
