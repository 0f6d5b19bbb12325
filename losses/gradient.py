"""Gradient supervision: BiRefNet's outward reference and the objectives compared on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .boundary import boundary_region
from .checks import check_choice, check_image, check_levels, check_logits, check_target
from .contract import (
    Reduction,
    full_precision,
    image_mean,
    reduce,
    select,
    upsample,
    working_dtype,
)
from .edges import (
    GATES,
    MAPS,
    SOURCES,
    SQUASHES,
    Gate,
    GatedMap,
    LabelRecipe,
    Map,
    Source,
    Squash,
    gated_maps,
    gradient_labels,
)
from .extremes import strong_region
from .knobs import choice, flag, number
from .pixel import (
    MODES,
    OBJECTIVES,
    Mode,
    Objective,
    bce_map,
    mae_map,
    mse_map,
    progressive_weights,
    regional_map,
    zero,
)
from .registry import register_sum

Region = Literal["quantile", "threshold", "soft"]
REGIONS: tuple[Region, ...] = ("quantile", "threshold", "soft")

__all__ = ["Region", "excess_bce", "gradient_supervision"]


@dataclass(frozen=True)
class _Objective:
    """The objective and its knobs."""

    name: Objective
    lam: float
    mode: Mode
    progress: float | None
    region: Region
    region_level: float

    def __post_init__(self) -> None:
        check_choice("objective", self.name, OBJECTIVES)
        check_choice("region_from", self.region, REGIONS)
        if not 0 <= self.lam <= 1:
            raise ValueError(f"lam={self.lam!r}: expected a share in [0, 1]")
        if self.region_level < 0 or (self.region == "quantile" and self.region_level > 1):
            raise ValueError(
                f"region_level={self.region_level!r}: expected a quantile in [0, 1], or a value "
                ">= 0 with region_from='threshold'"
            )


def _region(stage: GatedMap, t: Tensor, m: Tensor | None, how: _Objective) -> Tensor:
    if how.region == "soft":
        return boundary_region(t, mask=m)
    absolute = how.region == "threshold"
    return strong_region(stage.value, m, level=how.region_level, absolute=absolute)


def _per_pixel(how: _Objective) -> Callable[[Tensor, Tensor], Tensor]:
    """Objectives that need the prediction and the label only."""
    if how.name == "bce":
        return bce_map
    if how.name == "mae":
        return mae_map
    if how.name == "mse":
        return mse_map
    a, b = how.lam, 1 - how.lam
    if how.name == "progressive":
        a, b = progressive_weights(how.progress, how.mode)
    return lambda z, t: a * bce_map(z, t) + b * mae_map(z, t)


def _value(z: Tensor, stage: GatedMap, t: Tensor, m: Tensor | None, how: _Objective) -> Tensor:
    if how.name == "none":
        return zero(z)
    if how.name == "region_adaptive":
        return image_mean(regional_map(z, stage.label, _region(stage, t, m, how)), m)
    return image_mean(_per_pixel(how)(z, stage.label), m)


def _check_stages(
    predicted: Sequence[Tensor],
    coarse: Sequence[Tensor],
    image: Tensor,
    target: Tensor,
    mask: Tensor | None,
) -> None:
    check_levels("gradient_logits", predicted, "is the model's outward reference off?")
    check_levels("coarse_logits", coarse)
    if len(predicted) != len(coarse):
        raise ValueError(
            f"gradient_logits has {len(predicted)} stages, coarse_logits {len(coarse)}: expected "
            "one coarse level for each; levels[:3]?"
        )
    check_target(target, mask)
    check_image(image, target)
    for i, z in enumerate(predicted):
        check_logits(z, target, f"gradient_logits[{i}]")


@register_sum(
    kind="gradient",
    formula="scale sum over stages of objective(z, label), label = squash(laplacian(image) gate)",
    cite="zheng2024birefnet",
    knobs={
        "objective": choice(*OBJECTIVES),
        "lam": number(0, 1),
        "mode": choice(*MODES),
        "map": choice(*MAPS),
        "source": choice(*SOURCES),
        "gate": choice(*GATES),
        "dilation": number(0, 1),
        "squash": choice(*SQUASHES),
        "detach_target": flag(),
        "region_from": choice(*REGIONS),
        "region_level": number(0, 1e6),
        "scale": number(0, 1e6),
    },
    truth=gradient_labels,
)
def gradient_supervision(
    gradient_logits: Sequence[Tensor],
    coarse_logits: Sequence[Tensor],
    image: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    objective: Objective = "bce",
    lam: float = 0.5,
    mode: Mode = "add",
    map: Map = "laplacian",  # noqa: A002
    source: Source = "image",
    gate: Gate = "logits",
    dilation: float = 0.02,
    squash: Squash = "sigmoid",
    detach_target: bool = True,
    region_from: Region = "quantile",
    region_level: float = 0.9,
    scale: float = 1.0,
    progress: float | None = None,
    reduction: Reduction = "mean",
) -> dict[str, Tensor]:
    r"""Loss of the predicted gradient against its label, summed over the stages (BiRefNet).

    Labels as in ``gradient_labels``; every prediction is upsampled to (H, W) as released.
    ``objective``: bce, mae, mse; hybrid lam bce + (1 - lam) mae; region_adaptive
    R bce + (1 - R) mae; progressive as the loss of that name, with ``mode`` and ``progress``;
    none is 0 with a grad_fn. R comes from the gated |G| at or above ``region_level``, a quantile
    of the image ("quantile") or a value ("threshold"), or is ``boundary_region`` ("soft").
    ``scale`` multiplies the value. Released: detach_target False, all else default.

    gradient_logits, coarse_logits: lists of (B,1,h,w), coarse to fine; image (B,3,H,W),
    ImageNet-normalised; target (B,1,H,W). Range [0, inf); minimum where sigmoid = label.

    Raises:
        ValueError: lists empty or of different length, a shape, dtype or choice amiss, an image
            that is not floating (B,3,H,W), progress missing.
    """
    _check_stages(gradient_logits, coarse_logits, image, target, mask)
    how = _Objective(objective, lam, mode, progress, region_from, region_level)
    recipe = LabelRecipe(map, source, gate, dilation, squash, detach_target)
    dtype = working_dtype(gradient_logits[-1])
    size = (target.shape[2], target.shape[3])
    m = None if mask is None else mask.bool()
    t = select(target, m, dtype)
    z_all = [select(upsample(z.to(dtype), size), m, dtype) for z in gradient_logits]
    if objective == "none":
        return {f"stage{i}": reduce(zero(z), reduction) for i, z in enumerate(z_all, 1)}
    stages = gated_maps([c.to(dtype) for c in coarse_logits], image, target, m, recipe)
    pairs = enumerate(zip(z_all, stages, strict=True), 1)
    return {f"stage{i}": reduce(scale * _value(z, s, t, m, how), reduction) for i, (z, s) in pairs}


@full_precision
def excess_bce(
    gradient_logits: Tensor,
    label: Tensor,
    *,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""bce above its floor, bce(z, y) - H(y): the divergence KL(y || p), 0 iff p = y.

    Bare bce of a soft label cannot fall below the label's entropy (.667 to .693 with the
    released label); this is the part that can be learned. (B,1,h,w) logits are upsampled to the
    label's (B,1,H,W). Range [0, inf).

    Raises:
        ValueError: a shape or dtype that does not fit.
    """
    check_target(label, mask)
    check_logits(gradient_logits, label, "gradient_logits")
    dtype = working_dtype(gradient_logits)
    m = None if mask is None else mask.bool()
    size = (label.shape[2], label.shape[3])
    z = select(upsample(gradient_logits.to(dtype), size), m, dtype)
    y = select(label, m, dtype)
    kl = torch.xlogy(y, y) + torch.xlogy(1 - y, 1 - y) - y * F.logsigmoid(z)
    return reduce(image_mean(kl - (1 - y) * F.logsigmoid(-z), m), reduction)
