"""What text detection minimises: the loss of a DB head's maps."""

from typing import Any

import torch
from torch import Tensor

import losses
from experiments.config import LossConfig
from experiments.errors import UserError
from experiments.task import Terms, main_loss
from models.dbnet import DBOutput

KINDS: tuple[str, ...] = (
    "db",
    "logits",
)  # of main losses; the latter of the probability map
TERMS: tuple[str, ...] = ("probability", "threshold", "binary")


class Objective:
    """A loss by name from a run's configuration; its target holds the four maps of the labels.

    Raises:
        UserError: an unknown loss or knob, or a knob out of range; the message names the nearest.
    """

    def __init__(self, config: LossConfig) -> None:
        knobs: dict[str, Any] = dict(config.pixel)
        name = knobs.pop("name")
        try:
            spec = main_loss(name, "text")
            self.whole, self._parts = spec.kind == "db", spec.parts
            self._loss = losses.build(name, **knobs)
        except ValueError as error:
            raise UserError(f"loss of this arm: {error}") from error

    @property
    def of_threshold(self) -> bool:
        """Whether the threshold branch learns anything."""
        weights = ("threshold_weight", "binary_weight")
        return self.whole and any(self._loss.knobs.get(name, 1.0) != 0 for name in weights)

    def __call__(self, out: DBOutput, image: Tensor, target: Tensor, u: float) -> Terms:  # noqa: ARG002
        """The weighted terms at progress `u` in [0, 1]; `target` (B, 4, H, W)."""
        shrunk, mask, threshold, threshold_mask = target.split(1, dim=1)
        if not self.whole:
            value = self._loss(out.logits, shrunk, mask=mask, progress=u)
            nothing = value.new_zeros(())
            return {"probability": value, "threshold": nothing, "binary": nothing}
        assert out.threshold is not None, "the model is in training"
        assert self._parts is not None, "a loss of kind db is a sum"
        maps = (out.logits, out.threshold, shrunk, threshold, threshold_mask)
        return dict(self._parts(*maps, mask=mask, **self._loss.arguments(u)))

    def total(self, terms: Terms) -> Tensor:
        """Their sum."""
        return torch.stack([terms[name] for name in TERMS]).sum()
