"""What segmentation minimises: the pixel loss on every level, weighted gradient supervision."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

import losses
from experiments.config import LossConfig
from experiments.errors import UserError
from experiments.task import Terms, main_loss
from models.birefnet import BiRefNetOutput

LABEL_KNOBS = tuple(
    p.name
    for p in signature(losses.gradient_labels).parameters.values()
    if p.kind is p.KEYWORD_ONLY
)
KINDS: tuple[str, ...] = ("logits", "levels")  # of main losses


class Objective:
    """Losses by name from a run's configuration.

    Raises:
        UserError: an unknown loss or knob, or a knob out of range; the message names the nearest.
    """

    def __init__(self, config: LossConfig) -> None:
        knobs = dict(config.pixel)
        name = knobs.pop("name")
        gradient = dict(config.gradient)
        try:
            self.per_level = main_loss(name, "masks").kind == "logits"
            self._pixel = losses.build(name, **knobs)
            self._gradient: Callable[..., Tensor] = losses.build(
                "gradient_supervision", **gradient
            )
        except ValueError as error:
            raise UserError(f"loss of this arm: {error}") from error
        self.weight = config.gradient_weight
        self.label_knobs: dict[str, Any] = {k: v for k, v in gradient.items() if k in LABEL_KNOBS}

    def __call__(self, out: BiRefNetOutput, image: Tensor, target: Tensor, u: float) -> Terms:
        """Both terms, unweighted, at progress `u` in [0, 1]; `image` is ImageNet-normalised."""
        gradient = out.logits.new_zeros(())
        if out.gradient_logits:
            coarse = out.levels[: len(out.gradient_logits)]
            gradient = self._gradient(out.gradient_logits, coarse, image, target, progress=u)
        if not self.per_level:
            pixel = self._pixel(out.levels, target, progress=u)
            return {"pixel": pixel, "gradient": gradient}
        levels = grown(out.levels, target.shape[-2:])
        maps = self._pixel.maps(target, progress=u)  # once for all levels
        weight, region = maps.get("weight"), maps.get("region")
        values = [self._pixel(z, target, progress=u, weight=weight, region=region) for z in levels]
        return {"pixel": torch.stack(values).sum(), "gradient": gradient}

    def total(self, terms: Terms) -> Tensor:
        """The weighted sum."""
        return terms["pixel"] + self.weight * terms["gradient"]

    def labels(self, out: BiRefNetOutput, image: Tensor, target: Tensor) -> list[Tensor]:
        """The gradient labels of this arm, one a stage (B, 1, H, W), detached."""
        if not out.gradient_logits:
            return []
        coarse = out.levels[: len(out.gradient_logits)]
        with torch.no_grad():
            return losses.gradient_labels(coarse, image, target, **self.label_knobs)


def grown(maps: list[Tensor], size: tuple[int, ...]) -> list[Tensor]:
    """Maps (B, 1, h, w) brought to `size` as the official code does it."""
    return [
        torch.nn.functional.interpolate(m.float(), size, mode="bilinear", align_corners=True)
        for m in maps
    ]
