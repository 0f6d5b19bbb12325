"""Checks at the door: choices, shapes, dtypes, and the values of a batch when asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from typing import cast

import torch
from torch import Tensor

__all__ = ["check_batch", "check_choice", "check_levels", "check_logits", "check_progress"]
__all__ += ["check_target"]


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError, naming the nearest choice, unless ``value`` is one of ``choices``."""
    if isinstance(value, str) and value in choices:
        return
    near = get_close_matches(str(value), choices, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}={value!r} is unknown: expected one of {list(choices)}{hint}")


def check_progress(progress: float | None, who: str) -> float:
    """Return ``progress``; ValueError unless it is a number in [0, 1]."""
    if progress is None:
        raise ValueError(f"{who} is scheduled: pass progress= in [0, 1] (step / total steps)")
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress={progress!r} is outside [0, 1]: pass step / total steps")
    return progress


def _check_map(name: str, x: object, channels: int = 1) -> Tensor:
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is a {type(x).__name__}, expected a tensor (B,{channels},H,W)")
    if x.dim() != 4 or x.shape[1] != channels:
        fix = "; unsqueeze(1)?" if x.dim() == 3 else ""
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected (B,{channels},H,W){fix}")
    if 0 in x.shape:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: there is no pixel in it")
    return x


def _check_float(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        fix = ".float() / 255" if x.dtype == torch.uint8 else ".float()"
        raise ValueError(f"{name} has dtype {x.dtype}, expected a floating one; {name}{fix}?")


def check_target(
    target: Tensor, mask: Tensor | None, names: tuple[str, str] = ("target", "mask")
) -> None:
    """Raise ValueError unless target and mask are (B,1,H,W) maps of one shape and device."""
    of_target, of_mask = names
    _check_map(of_target, target)
    _check_float(of_target, target)
    if mask is None:
        return
    _check_map(of_mask, mask)
    if mask.shape != target.shape:
        raise ValueError(
            f"{of_mask} has shape {tuple(mask.shape)}, {of_target} has {tuple(target.shape)}: "
            f"expected equal; interpolate the {of_mask} (nearest)?"
        )
    if mask.device != target.device:
        raise ValueError(
            f"{of_mask} is on {mask.device}, {of_target} on {target.device}: .to() one?"
        )


def check_levels(name: str, levels: object, fix: str = "the model gave no level") -> None:
    """Raise ValueError unless ``levels`` is a list of at least one map; ``fix`` is for none."""
    if isinstance(levels, Tensor):
        raise ValueError(f"{name} is one tensor, expected a list of (B,1,h,w); [{name}]?")
    if not isinstance(levels, Sequence) or len(levels) == 0:
        seen = "empty" if isinstance(levels, Sequence) else f"a {type(levels).__name__}"
        raise ValueError(f"{name} is {seen}, expected a list of (B,1,h,w), coarse to fine; {fix}")


def check_logits(logits: Tensor, target: Tensor, name: str = "logits") -> None:
    """Raise ValueError unless ``logits`` is a floating (B,1,h,w) map beside ``target``."""
    _check_map(name, logits)
    _check_float(name, logits)
    if logits.shape[0] != target.shape[0]:
        raise ValueError(
            f"{name} has {logits.shape[0]} images, target has {target.shape[0]}: expected equal"
        )
    if logits.device != target.device:
        raise ValueError(f"{name} is on {logits.device}, target on {target.device}: .to() one?")


def _count(x: Tensor) -> int:
    return int(x.sum())


def _check_values(name: str, x: Tensor, valid: Tensor) -> None:
    bad = _count(~torch.isfinite(x) & valid)
    if bad:
        nan = _count(torch.isnan(x) & valid)
        raise ValueError(f"{name} has {nan} NaN and {bad - nan} infinite values at valid pixels")


def check_batch(
    logits: Tensor | Sequence[Tensor], target: Tensor, mask: Tensor | None = None
) -> None:
    """Check the values of a batch; for the first batch and after a loss that is not finite.

    ``logits`` is one map or a list of levels. This reads values back from the device, which is
    why no loss does it.

    Raises:
        ValueError: NaN or Inf at valid pixels, target outside [0, 1], mask not in {0, 1}.

    Warns:
        UserWarning: logits that look like probabilities.
    """
    check_target(target, mask)
    if mask is not None and mask.dtype != torch.bool:
        odd = _count((mask != 0) & (mask != 1))
        if odd:
            raise ValueError(f"mask has {odd} values other than 0 and 1; mask > 0.5?")
    valid = torch.ones_like(target, dtype=torch.bool) if mask is None else mask.bool()
    _check_values("target", target, valid)
    outside = _count(((target < 0) | (target > 1)) & valid)
    if outside:
        fix = "divide by 255?" if float(target[valid].max()) > 1.5 else "clamp(0, 1)?"
        raise ValueError(f"target has {outside} values outside [0, 1]; {fix}")
    levels = [logits] if isinstance(logits, Tensor) else list(logits)
    for i, z in enumerate(levels):
        name = "logits" if isinstance(logits, Tensor) else f"logits[{i}]"
        check_logits(z, target, name)
        here = valid if z.shape == target.shape else torch.ones_like(z, dtype=torch.bool)
        _check_values(name, z, here)
        _warn_about_probabilities(name, z[here])


def _warn_about_probabilities(name: str, values: Tensor) -> None:
    if values.numel() < 2:
        return
    low, high = cast(tuple[float, float], tuple(float(v) for v in values.aminmax()))
    if low >= 0 and high <= 1 and high - low > 0.05:
        warnings.warn(
            f"{name} lie in [{low:.3g}, {high:.3g}] and look like probabilities; a loss wants "
            "raw scores: leave the sigmoid out",
            UserWarning,
            stacklevel=3,
        )
