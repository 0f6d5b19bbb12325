"""Gradient maps, gates, squashes and the labels that BiRefNet's outward reference learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_choice, check_image, check_levels, check_logits, check_target, is_number
from .contract import full_precision, select, upsample, working_dtype
from .extremes import dilate, image_quantile

Map = Literal["laplacian", "sobel"]
Source = Literal["image", "mask"]
Gate = Literal["logits", "pred", "gt", "none"]
Squash = Literal["sigmoid", "abs", "tanh"]
MAPS: tuple[Map, ...] = ("laplacian", "sobel")
SOURCES: tuple[Source, ...] = ("image", "mask")
GATES: tuple[Gate, ...] = ("logits", "pred", "gt", "none")
SQUASHES: tuple[Squash, ...] = ("sigmoid", "abs", "tanh")
SQUASH_QUANTILE = 0.99

__all__ = ["Gate", "GatedMap", "LabelRecipe", "Map", "Source", "Squash", "gated_maps"]
__all__ += ["gradient_labels", "gradient_map"]


@dataclass(frozen=True)
class LabelRecipe:
    """How a label is made: the knobs of ``gradient_labels`` in one value."""

    map: Map = "laplacian"
    source: Source = "image"
    gate: Gate = "logits"
    dilation: float = 0.02
    squash: Squash = "sigmoid"
    detach_target: bool = True

    def __post_init__(self) -> None:
        """Check every choice."""
        check_choice("map", self.map, MAPS)
        check_choice("source", self.source, SOURCES)
        check_choice("gate", self.gate, GATES)
        check_choice("squash", self.squash, SQUASHES)
        if not is_number(self.dilation) or not 0 <= self.dilation <= 1:
            raise ValueError(f"dilation={self.dilation!r}: expected a share of the diagonal, 0..1")


def _pad(x: Tensor, radius: int) -> Tensor:
    """As kornia: reflect for the Laplacian's 5 x 5, replicate for 3 x 3 and tiny maps."""
    mode = "reflect" if radius > 1 and min(x.shape[-2:]) > radius else "replicate"
    return F.pad(x, (radius, radius, radius, radius), mode=mode)


def _correlate(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    n = x.shape[dim] - len(taps) + 1
    parts = [(k, x.narrow(dim, i, n)) for i, k in enumerate(taps) if k]
    total, *rest = (part if k == 1 else k * part for k, part in parts)
    for part in rest:
        total = total + part
    return total


def _window(x: Tensor, rows: Sequence[float], columns: Sequence[float]) -> Tensor:
    """Separable correlation of a padded map, weights down the rows and along the columns."""
    return _correlate(_correlate(x, rows, -2), columns, -1)


def _centred(x: Tensor, m: Tensor | None, rows: Sequence[float], cols: Sequence[float]) -> Tensor:
    """Kernel over differences to the centre, sum k (x_n - x_c), ignored neighbours left out."""
    radius = len(rows) // 2
    total = _window(_pad(x, radius), rows, cols)
    if m is None:
        return total - sum(rows) * sum(cols) * x
    return total - _window(_pad(m.to(x.dtype), radius), rows, cols) * x


def _silence(g: Tensor, x: Tensor) -> Tensor:
    """0 where the map is rounding noise of a flat image."""
    floor = 16 * torch.finfo(x.dtype).eps * x.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    return torch.where(g.abs() > floor, g, torch.zeros_like(g))


def _operator(x: Tensor, m: Tensor | None, kind: Map) -> Tensor:
    if kind == "laplacian":
        ones = (1.0,) * 5
        return _silence(_centred(x, m, ones, ones) / 48, x)
    smooth, slope = (0.125, 0.25, 0.125), (-1.0, 0.0, 1.0)
    gx = _centred(x, m, smooth, slope)
    gy = _centred(x, m, slope, smooth)
    squared = gx.square() + gy.square()
    root = torch.where(squared > 0, squared, torch.ones_like(squared)).sqrt()
    return _silence(torch.where(squared > 0, root, torch.zeros_like(root)), x)


@full_precision
def gradient_map(image: Tensor, *, kind: Map = "laplacian", mask: Tensor | None = None) -> Tensor:
    r"""Gradient map of an image or a mask, from the mean of its channels.

    "laplacian": kornia's with kernel 5, sum over the 5 x 5 window of (x_n - x) / 48, signed.
    "sobel": magnitude of kornia's normalised Sobel gradient (no eps under the root).
    (B,C,H,W) -> (B,1,H,W), mask (B,1,H,W). Borders reflect (sobel, and maps of less than 3 px:
    repeat); ignored pixels are left out of windows and get 0; rounding noise of flat parts is set
    to 0. The operators are those BiRefNet and kornia have.

    Raises:
        ValueError: an unknown kind, an image that is not floating (B,C,H,W), a mask that is not
            (B,1,H,W) of its size.
    """
    check_choice("kind", kind, MAPS)
    if not isinstance(image, Tensor):
        raise ValueError(f"image is a {type(image).__name__}, expected a tensor (B,C,H,W)")
    if image.dim() != 4 or not image.is_floating_point() or image.shape[1] == 0:
        raise ValueError(
            f"image has shape {tuple(image.shape)} and dtype {image.dtype}: "
            "expected a floating (B,C,H,W); .float() / 255?"
        )
    dtype = working_dtype(image)
    grey = image.to(dtype).mean(dim=1, keepdim=True)
    check_target(grey, mask, ("image", "mask"))
    valid = None if mask is None else mask.bool()
    x = select(grey, valid, dtype)
    return select(_operator(x, valid, kind), valid, dtype)


def _squash_abs(gated: Tensor, scale_of: Tensor, mask: Tensor | None) -> Tensor:
    size = gated.abs()
    scale = image_quantile(scale_of.detach(), SQUASH_QUANTILE, mask)
    peak = size.detach().amax(dim=(2, 3), keepdim=True)
    scale = torch.where(scale > 0, scale, peak)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (size / scale).clamp(max=1)


@dataclass(frozen=True)
class GatedMap:
    """One stage's gradient map times its gate, and the same for the image's own map."""

    value: Tensor
    label: Tensor


def _gate(coarse: Tensor, t: Tensor, m: Tensor | None, recipe: LabelRecipe) -> Tensor | None:
    """Build the gate at the target's size, None where all passes."""
    if recipe.gate == "none":
        return None
    if recipe.gate == "gt":
        return dilate(t, recipe.dilation)
    z = select(upsample(coarse.to(t.dtype), (t.shape[2], t.shape[3])), m, t.dtype)
    if recipe.gate == "logits":
        return z
    p = torch.sigmoid(z) if m is None else select(torch.sigmoid(z), m, t.dtype)
    return dilate(p, recipe.dilation)


def _label(g: Tensor, gate: Tensor | None, m: Tensor | None, recipe: LabelRecipe) -> GatedMap:
    gated = g if gate is None else g * gate
    if recipe.squash == "sigmoid":
        label = torch.sigmoid(gated)
    elif recipe.squash == "tanh":
        label = torch.tanh(gated.abs())
    else:
        label = _squash_abs(gated, (gated if recipe.gate == "logits" else g).abs(), m)
    return GatedMap(gated, label)


def _stages(
    coarse_logits: Sequence[Tensor],
    image: Tensor,
    target: Tensor,
    mask: Tensor | None,
    recipe: LabelRecipe,
) -> list[GatedMap]:
    dtype = working_dtype(coarse_logits[0])
    t = select(target, mask, dtype)
    base = image.to(dtype) if recipe.source == "image" else t
    g = gradient_map(base, kind=recipe.map, mask=mask)
    if recipe.gate in ("gt", "none"):
        return [_label(g, _gate(t, t, mask, recipe), mask, recipe)] * len(coarse_logits)
    return [_label(g, _gate(z, t, mask, recipe), mask, recipe) for z in coarse_logits]


def gated_maps(
    coarse_logits: Sequence[Tensor],
    image: Tensor,
    target: Tensor,
    mask: Tensor | None,
    recipe: LabelRecipe,
) -> list[GatedMap]:
    """Map, gate and squash for every stage; without autograd where the label is detached.

    Raises:
        ValueError: an empty list, a shape or dtype that does not fit.
    """
    check_levels("coarse_logits", coarse_logits)
    check_target(target, mask)
    for i, z in enumerate(coarse_logits):
        check_logits(z, target, f"coarse_logits[{i}]")
    check_image(image, target)
    valid = None if mask is None else mask.bool()
    if not recipe.detach_target:
        return _stages(coarse_logits, image, target, valid, recipe)
    with torch.no_grad():
        return _stages(coarse_logits, image, target, valid, recipe)


@full_precision
def gradient_labels(
    coarse_logits: Sequence[Tensor],
    image: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    map: Map = "laplacian",  # noqa: A002
    source: Source = "image",
    gate: Gate = "logits",
    dilation: float = 0.02,
    squash: Squash = "sigmoid",
    detach_target: bool = True,
) -> list[Tensor]:
    r"""Labels in [0, 1] of the gradient prediction, one (B,1,H,W) per stage.

    label = squash(G gate), G the ``gradient_map`` of the image or of the target. ``gate``:
    "logits" the upsampled coarse logits (as released), "pred" their sigmoid, dilated, "gt" the
    dilated target, "none" 1; ``dilation`` is a share of the diagonal. ``squash``: "sigmoid" (as
    released: 0 becomes .5), "tanh" tanh|x|, "abs" |x| over the .99 quantile of the image's |G|
    (of |G z| under the "logits" gate; of its maximum where that is 0), clipped at 1, 0 where G
    is 0 everywhere. Ignored pixels are left out of windows, dilations and quantiles.

    Raises:
        ValueError: an unknown choice (the nearest is named), an empty list, a shape amiss, an
            image that is not floating (B,3,H,W).
    """
    recipe = LabelRecipe(map, source, gate, dilation, squash, detach_target)
    return [s.label for s in gated_maps(coarse_logits, image, target, mask, recipe)]
