"""The contract every loss keeps: checking, casting, selecting, per-image means, reduction."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_batch, check_choice, check_logits, check_progress, check_target

Reduction = Literal["none", "mean", "sum"]
Level = Literal["image", "batch"]
LEVELS = ("image", "batch")
P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "LEVELS",
    "Batch",
    "Level",
    "Reduction",
    "check_batch",
    "check_choice",
    "check_progress",
    "full_precision",
    "image_mean",
    "image_sum",
    "over",
    "pooled",
    "prepare",
    "reduce",
    "upsample",
]


@dataclass(frozen=True)
class Batch:
    """Logits, target and mask after the door: float32 at least, ignored pixels replaced by 0.

    ``mask`` is boolean, or None where every pixel counts.
    """

    logits: Tensor
    target: Tensor
    mask: Tensor | None


def working_dtype(logits: Tensor) -> torch.dtype:
    """float64 for float64 logits, float32 for everything else."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def select(x: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Cast to ``dtype`` and put 0 at ignored pixels; the gradient there is exactly 0."""
    x = x.to(dtype)
    return x if mask is None else torch.where(mask, x, x.new_zeros(()))


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners aligned; the tensor itself where the size is already right."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def prepare(
    logits: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    names: tuple[str, str, str] = ("logits", "target", "mask"),
) -> Batch:
    """Check shapes and dtypes, cast to float32 at least, select the pixels that count.

    Shapes: all (B,1,H,W). Selection happens before any arithmetic, so NaN or Inf at ignored
    pixels reach neither value nor gradient. ``names`` is what errors call the three.

    Raises:
        ValueError: a shape, dtype or device that does not fit, with the likely fix.
    """
    what, of, by = names
    check_target(target, mask, (of, by))
    check_logits(logits, target, what)
    if logits.shape != target.shape:
        raise ValueError(
            f"{what} has shape {tuple(logits.shape)}, {of} has {tuple(target.shape)}: expected "
            f"equal; interpolate the {what} to the {of}'s size?"
        )
    dtype = working_dtype(logits)
    valid = None if mask is None else mask.bool()
    return Batch(select(logits, valid, dtype), select(target, valid, dtype), valid)


def image_sum(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum over the valid pixels of each image: (B,1,H,W) -> (B,)."""
    if mask is not None:
        x = torch.where(mask, x, x.new_zeros(()))
    return x.sum(dim=(1, 2, 3))


def pixel_count(like: Tensor, mask: Tensor | None) -> Tensor:
    """Number of valid pixels of each image, (B,), in the dtype of ``like``."""
    if mask is None:
        return like.new_full((like.shape[0],), float(like.shape[2] * like.shape[3]))
    return mask.sum(dim=(1, 2, 3)).to(like.dtype)


def image_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the valid pixels of each image, 0 where there is none: (B,1,H,W) -> (B,)."""
    if mask is None:
        return x.mean(dim=(1, 2, 3))
    return image_sum(x, mask) / pixel_count(x, mask).clamp(min=1)


def safe_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 with gradient 0 where the denominator is 0."""
    ok = denominator != 0
    top = torch.where(ok, numerator, torch.zeros_like(numerator))
    return top / torch.where(ok, denominator, torch.ones_like(denominator))


def over(level: Level, sums: Tensor) -> Tensor:
    """Sums per image (B,), or for "batch" their total, once for each image."""
    check_choice("level", level, LEVELS)
    return sums if level == "image" else sums.sum().expand_as(sums)


def pooled(value: Tensor, b: Batch, level: Level) -> Tensor:
    """Means per image (B,), or for "batch" the mean over all valid pixels, once for each image."""
    if level == "image":
        return value
    count = pixel_count(b.logits, b.mask)
    return safe_ratio(over(level, value * count), over(level, count))


def reduce(values: Tensor, reduction: Reduction = "mean") -> Tensor:
    """(B,) values per image -> the values ("none"), their mean or their sum."""
    check_choice("reduction", reduction, ("none", "mean", "sum"))
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()


def _first_tensor(args: Sequence[object]) -> Tensor | None:
    for a in args:
        if isinstance(a, Tensor):
            return a
        if isinstance(a, (list, tuple)) and a and isinstance(a[0], Tensor):
            return a[0]
    return None


def full_precision(fn: Callable[P, R]) -> Callable[P, R]:
    """Run ``fn`` with autocast off, so that its arithmetic keeps the dtype it chose."""

    @functools.wraps(fn)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        first = _first_tensor([*args, *kwargs.values()])
        if first is None:
            return fn(*args, **kwargs)
        with torch.autocast(device_type=first.device.type, enabled=False):
            return fn(*args, **kwargs)

    return wrapped
