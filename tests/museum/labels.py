"""What hangs beside each exhibit: its erratum, the law that rejects it, the loss that is sound."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import losses
from losses.registry import Kind
from tests.upstream import birefnet, f3net
from tests.upstream import text as upstream

from . import pixels, text

__all__ = ["EXHIBITS", "OUT_OF_SIGHT", "Exhibit"]

Formula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Exhibit:
    """A broken loss, with the number of its erratum (0: a defect that has none).

    ``sound`` and ``knobs`` name the loss that passes the ``law``. ``published`` is the code it is
    taken from, as a function of logits and a binary target of one image.
    """

    erratum: int
    law: int
    broken: Callable[..., Tensor]
    sound: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "logits"
    published: Formula | None = None

    def __str__(self) -> str:
        return str(getattr(self.broken, "__name__", type(self.broken).__name__))

    def piece(self) -> Callable[..., Tensor]:
        """The broken loss; one with state is made anew."""
        return type(self.broken)() if isinstance(self.broken, nn.Module) else self.broken

    def repaired(self) -> losses.Loss:
        """The sound loss."""
        return losses.build(self.sound, **self.knobs)


def _of_probabilities(formula: Callable[..., Tensor]) -> Formula:
    """The same with sigmoid before and, where it is asked for, a mask of ones."""
    masked = formula.__module__ == upstream.__name__

    def fn(z: Tensor, t: Tensor) -> Tensor:
        return formula(z.sigmoid(), t, torch.ones_like(t)) if masked else formula(z.sigmoid(), t)

    return fn


def _mmocr_mean(z: Tensor, t: Tensor) -> Tensor:
    return upstream.mmocr_balanced_bce(z.sigmoid(), t, torch.ones_like(t), reduction="mean")


_DB = _of_probabilities(upstream.balanced_cross_entropy)
_FINE_TUNED = losses.fine_tuning("General", epochs=100)
_PATCH = _of_probabilities(birefnet.patch_iou)
_IOU = _of_probabilities(birefnet.iou)

EXHIBITS = (
    Exhibit(
        1,
        11,
        pixels.averages_before_weighting,
        "structure",
        published=lambda z, t: f3net.weighted_bce_as_published(z, t).mean(),
    ),
    # That its values are 4.5 to 27.8 times as large is a weight, which no law judges.
    Exhibit(
        2,
        8,
        pixels.divides_by_the_excess_weight,
        "structure",
        published=lambda z, t: f3net.weighted_bce_of_the_paper(z, t).mean(),
    ),
    Exhibit(
        3,
        1,
        pixels.applies_sigmoid_twice,
        "structure",
        published=_of_probabilities(birefnet.structure_of_probabilities),
    ),
    Exhibit(4, 1, pixels.sees_the_first_patch_alone, "patch_iou", published=_PATCH),
    Exhibit(5, 3, pixels.sums_over_the_batch, "iou", published=_IOU),
    Exhibit(5, 8, pixels.divides_by_an_empty_union, "iou", published=_IOU),
    Exhibit(6, 15, pixels.FineTunesInPlace(), "birefnet_pixel", _FINE_TUNED),
    Exhibit(7, 5, pixels.learns_its_own_label, "gradient_supervision", kind="gradient"),
    Exhibit(8, 4, pixels.leans_to_one_side, "contour"),
    Exhibit(10, 8, text.drops_soft_pixels, "balanced_bce", published=_DB),
    Exhibit(10, 8, text.mines_nothing_without_positives, "balanced_bce", published=_DB),
    Exhibit(10, 3, text.mines_over_the_batch, "balanced_bce", published=_DB),
    Exhibit(11, 8, text.divides_by_an_empty_part, "balanced_l1", kind="map"),
    Exhibit(11, 2, text.loses_its_grad_fn, "masked_l1", kind="map"),
    Exhibit(
        12,
        11,
        text.mines_a_single_number,
        "balanced_bce",
        published=_of_probabilities(upstream.paddle_balance),
    ),
    Exhibit(13, 11, text.averages_before_mining, "balanced_bce", published=_mmocr_mean),
    Exhibit(0, 8, text.binarises_by_exp, "db", kind="db"),
)

# Errata that no law can reject, with the reason.
OUT_OF_SIGHT = {
    9: "a mean for a sum, Dice for BCE and a factor 5 are other sound losses, not broken ones",
}
