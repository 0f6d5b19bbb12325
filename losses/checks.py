"""Checks at the door: choices, shapes, dtypes, and the values of a batch when asked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import TypeGuard

import torch
from torch import Tensor

__all__ = ["check_batch", "check_beside", "check_choice", "check_image", "check_levels"]
__all__ += ["check_like", "check_logits", "check_progress", "check_target"]
__all__ += ["is_integer", "is_number"]


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError, naming the nearest choice, unless ``value`` is one of ``choices``."""
    if isinstance(value, str) and value in choices:
        return
    near = get_close_matches(str(value), choices, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}={value!r} is unknown: expected one of {list(choices)}{hint}")


def is_number(value: object) -> TypeGuard[float]:
    """Say whether ``value`` is a real number, Python's or numpy's; a bool or a tensor is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: object) -> TypeGuard[int]:
    """Say whether ``value`` is an integer, Python's or numpy's; a bool is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_progress(progress: object, who: str) -> float:
    """Return ``progress``; ValueError unless it is a number in [0, 1]."""
    if progress is None:
        raise ValueError(f"{who} is scheduled: pass progress= in [0, 1] (step / total steps)")
    if not is_number(progress):
        raise ValueError(
            f"progress={progress!r} is a {type(progress).__name__}: expected a number in [0, 1]; "
            "step / total steps?"
        )
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress={progress!r} is outside [0, 1]: pass step / total steps")
    return float(progress)


def _fix_shape(x: Tensor, channels: int) -> str:
    if x.dim() == 3:
        return "; unsqueeze(1)?" if channels == 1 else "; unsqueeze(0)?"
    return "; expand(-1, 3, -1, -1)?" if channels == 3 and x.shape[1:2] == (1,) else ""


def _check_map(name: str, x: object, channels: int = 1) -> Tensor:
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is a {type(x).__name__}, expected a tensor (B,{channels},H,W)")
    if x.dim() != 4 or x.shape[1] != channels:
        fix = _fix_shape(x, channels)
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected (B,{channels},H,W){fix}")
    if 0 in x.shape:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: there is no pixel in it")
    return x


def _check_float(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        fix = ".float() / 255" if x.dtype == torch.uint8 else ".float()"
        raise ValueError(f"{name} has dtype {x.dtype}, expected a floating one; {name}{fix}?")


def _check_equal(name: str, x: Tensor, of: str, like: Tensor, fix: str) -> None:
    if x.shape != like.shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}, {of} has {tuple(like.shape)}: expected equal; "
            f"{fix}?"
        )


def _check_device(name: str, x: Tensor, of: str, like: Tensor) -> None:
    if x.device != like.device:
        raise ValueError(f"{name} is on {x.device}, {of} on {like.device}: .to() one?")


def check_like(name: str, x: Tensor, of: str, like: Tensor, fix: str) -> None:
    """Raise ValueError unless two maps have one shape and one device; ``fix`` is for the shape."""
    _check_equal(name, x, of, like, fix)
    _check_device(name, x, of, like)


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
    check_like(of_mask, mask, of_target, target, f"interpolate the {of_mask} (nearest)")


def check_beside(name: str, x: object, target: Tensor) -> Tensor:
    """Return a map that a call was given, ``weight`` or ``region``.

    Raises:
        ValueError: no tensor, not of the target's shape and device, neither floating nor bool.
    """
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{name} is a {type(x).__name__}, expected a tensor of the target's shape "
            f"{tuple(target.shape)}"
        )
    fix = "unsqueeze(1)" if x.dim() == 3 else "make it from this target"
    _check_equal(name, x, "target", target, fix)
    if x.dtype != torch.bool:
        _check_float(name, x)
    _check_device(name, x, "target", target)
    return x


def check_image(image: object, target: Tensor) -> None:
    """Raise ValueError unless ``image`` is a floating (B,3,H,W) beside ``target``."""
    x = _check_map("image", image, 3)
    if not x.is_floating_point():
        raise ValueError(
            f"image has dtype {x.dtype}, expected a floating one; .float() / 255, then normalise?"
        )
    if x.shape[0] != target.shape[0] or x.shape[2:] != target.shape[2:]:
        raise ValueError(
            f"image has shape {tuple(x.shape)}, target has {tuple(target.shape)}: expected "
            "(B,3,H,W) of the same images and size; resize both alike?"
        )
    _check_device("image", x, "target", target)


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
    _check_device(name, logits, "target", target)


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

    ``logits`` is one map of the target's size or a list of levels of any size. This reads values
    back from the device, which is why no loss does it.

    Raises:
        ValueError: a shape or dtype that does not fit, no level, NaN or Inf at valid pixels,
            target outside [0, 1], mask not in {0, 1}.

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
    levels = _named(logits, target)
    seen = {}
    for name, z in levels.items():
        here = valid if z.shape == target.shape else torch.ones_like(z, dtype=torch.bool)
        _check_values(name, z, here)
        seen[name] = z[here]
    _warn_about_probabilities(seen)


def _named(logits: Tensor | Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
    """The levels by the names that errors call them, their shapes checked."""
    if isinstance(logits, Tensor):
        check_logits(logits, target)
        _check_equal("logits", logits, "target", target, "interpolate the logits, or [logits]")
        return {"logits": logits}
    check_levels("logits", logits)
    levels = {f"logits[{i}]": z for i, z in enumerate(logits)}
    for name, z in levels.items():
        check_logits(z, target, name)
    return levels


def _range_of_probabilities(values: Tensor) -> list[float]:
    """The least and greatest value where they look like probabilities, else nothing."""
    if values.numel() < 2:
        return []
    low, high = (float(v) for v in values.aminmax())
    return [low, high] if low >= 0 and high <= 1 and high - low > 0.05 else []


def _warn_about_probabilities(levels: Mapping[str, Tensor]) -> None:
    ranges = {name: _range_of_probabilities(values) for name, values in levels.items()}
    seen = [v for span in ranges.values() for v in span]
    if seen:
        suspects = ", ".join(name for name, span in ranges.items() if span)
        warnings.warn(
            f"{suspects} lie in [{min(seen):.3g}, {max(seen):.3g}] and look like probabilities; "
            "a loss wants raw scores: leave the sigmoid out",
            UserWarning,
            stacklevel=3,
        )
