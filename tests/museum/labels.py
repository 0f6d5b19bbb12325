"""What hangs beside each exhibit: its erratum, the law that rejects it, the loss that is sound."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
from losses.registry import Kind
from tests.upstream import birefnet, f3net
from tests.upstream import text as upstream

from . import pixels, text
from .shown import BLANK, BLOBS, CASES, Case

__all__ = ["EXHIBITS", "OUT_OF_SIGHT", "Exhibit"]

Formula = Callable[..., Tensor]


@dataclass(frozen=True)
class Exhibit:
    """A broken loss, with the number of its erratum (0: a defect that has none).

    ``sound`` and ``knobs`` name the loss that passes the ``law``; ``part`` is the component of it
    that the exhibit stands for. ``published`` is the code the exhibit is taken from, called as a
    loss of the exhibit's kind: both do the same at ``shown``, where the defect is at work, and
    the sound loss does something else; at ``blind`` it is not, and the sound loss does the same.
    ``idle`` is a knob that the defect makes of no effect, with values of it.
    """

    erratum: int
    law: int
    broken: Callable[..., Tensor]
    sound: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "logits"
    part: str | None = None
    published: Formula | None = None
    shown: tuple[Case, ...] = ()
    blind: Case | None = None
    idle: tuple[str, tuple[float, ...]] | None = None

    def __str__(self) -> str:
        return str(getattr(self.broken, "__name__", type(self.broken).__name__))

    def piece(self) -> Callable[..., Tensor]:
        """The broken loss; one with state is made anew."""
        return type(self.broken)() if isinstance(self.broken, nn.Module) else self.broken

    def repaired(self, **knobs: Any) -> losses.Loss:
        """The sound loss."""
        return losses.build(self.sound, **{**self.knobs, **knobs})

    def meant(self, **knobs: Any) -> Callable[..., Tensor]:
        """The sound loss, or the part of it that is broken here."""
        loss = self.repaired(**knobs)
        if self.part is None:
            return loss
        parts: Any = loss.spec.parts
        return lambda *x: parts(*x, mask=None, reduction="mean", **loss.knobs)[self.part]


def _mean(formula: Formula) -> Formula:
    return lambda z, t, **knobs: formula(z, t, **knobs).mean()


def _of_probabilities(formula: Formula) -> Formula:
    return lambda z, t: formula(z.sigmoid(), t)


def _of_all_pixels(formula: Formula) -> Formula:
    """The same of logits, with a mask of ones."""
    return lambda z, t, **knobs: formula(z.sigmoid(), t, torch.ones_like(t), **knobs)


def _contour(z: Tensor, t: Tensor) -> Tensor:
    """BiRefNet's areas, and its length of the map with its border repeated, 0 where p is flat."""
    p = z.sigmoid()
    wide = [F.pad(x, (1, 1, 1, 1), mode="replicate") for x in (p, t)]
    length = birefnet.contour(*wide) - birefnet.contour(*wide, length=0.0)
    return length - 10 * 1e-4 + birefnet.contour(p, t, length=0.0)


def _with_the_published_step(
    z: Tensor, threshold: Tensor, t: Tensor, y: Tensor, area: Tensor
) -> Tensor:
    """MhLiao/DB's step and L1, with the mean error of both maps for its loss of them."""
    p = z.sigmoid()
    apart = (upstream.step(p, threshold, 100.0) - t).abs() + (p - t).abs()
    return apart.mean() + upstream.mask_l1(threshold, y, area)


_DB = _of_all_pixels(upstream.balanced_cross_entropy)
_MMOCR = _of_all_pixels(functools.partial(upstream.mmocr_balanced_bce, reduction="mean"))
_FINE_TUNED = losses.fine_tuning("General", epochs=100)
_IOU = _of_probabilities(birefnet.iou)
_RATIO = ("ratio", (0.5, 3.0, 30.0))
_BARE = {"smooth": 0.0}

EXHIBITS = (
    Exhibit(
        1,
        11,
        pixels.averages_before_weighting,
        "structure",
        part="bce",
        published=_mean(f3net.weighted_bce_as_published),
        shown=(BLOBS, CASES["three images"]),
        blind=BLANK,
        idle=("gamma", (0.0, 5.0, 50.0)),
    ),
    # That its values are 4.5 to 27.8 times as large is a weight, which no law judges.
    Exhibit(
        2,
        8,
        pixels.divides_by_the_excess_weight,
        "structure",
        part="bce",
        published=_mean(f3net.weighted_bce_of_the_paper),
        shown=(BLOBS, BLANK),
    ),
    Exhibit(
        3,
        1,
        pixels.applies_sigmoid_twice,
        "structure",
        published=_of_probabilities(birefnet.structure_of_probabilities),
        shown=(BLOBS, CASES["three images"]),
    ),
    Exhibit(
        4,
        1,
        pixels.sees_the_first_patch_alone,
        "patch_iou",
        _BARE,
        published=_of_probabilities(birefnet.patch_iou),
        shown=(CASES["80 px"],),
        blind=CASES["64 px"],
    ),
    Exhibit(
        5,
        3,
        pixels.sums_over_the_batch,
        "iou",
        _BARE,
        published=_IOU,
        shown=(CASES["three images"],),
        blind=BLOBS,
    ),
    Exhibit(
        5,
        8,
        pixels.divides_by_an_empty_union,
        "iou",
        _BARE,
        published=_IOU,
        shown=(CASES["nothing found"], BLANK),
        blind=BLOBS,
    ),
    Exhibit(6, 15, pixels.FineTunesInPlace(), "birefnet_pixel", _FINE_TUNED),
    Exhibit(
        7,
        5,
        pixels.learns_its_own_label,
        "gradient_supervision",
        kind="gradient",
        published=lambda z, coarse, image, _: birefnet.gradient_supervision(z, coarse, image),
        shown=(CASES["stages"],),
    ),
    Exhibit(
        8, 4, pixels.leans_to_one_side, "contour", published=_contour, shown=(CASES["80 px"],)
    ),
    Exhibit(
        10,
        8,
        text.drops_soft_pixels,
        "balanced_bce",
        published=_DB,
        shown=(CASES["soft"],),
        blind=BLOBS,
    ),
    Exhibit(
        10,
        8,
        text.mines_nothing_without_positives,
        "balanced_bce",
        published=_DB,
        shown=(BLANK,),
        blind=BLOBS,
    ),
    Exhibit(
        10,
        3,
        text.mines_over_the_batch,
        "balanced_bce",
        published=_DB,
        shown=(CASES["three images"],),
        blind=BLOBS,
    ),
    Exhibit(
        11,
        8,
        text.divides_by_an_empty_part,
        "balanced_l1",
        kind="map",
        published=lambda x, y: upstream.balance_l1(x, y, (y > 0).double()),
        shown=(CASES["no region"],),
        blind=CASES["a region"],
    ),
    Exhibit(
        11,
        2,
        text.loses_its_grad_fn,
        "masked_l1",
        kind="map",
        published=lambda x, y, mask: upstream.mask_l1(x, y, mask),
        shown=(CASES["no valid pixel"],),
        blind=CASES["some valid pixels"],
    ),
    Exhibit(
        12,
        11,
        text.mines_a_single_number,
        "balanced_bce",
        published=_of_all_pixels(upstream.paddle_balance),
        shown=(BLOBS,),
        idle=_RATIO,
    ),
    Exhibit(
        13,
        11,
        text.averages_before_mining,
        "balanced_bce",
        published=_MMOCR,
        shown=(BLOBS, CASES["three images"]),
        idle=_RATIO,
    ),
    Exhibit(
        0,
        8,
        text.binarises_by_exp,
        "db",
        {"k": 100.0},
        kind="db",
        published=_with_the_published_step,
        shown=(CASES["overflow"],),
    ),
)

# Errata that no law can reject, with the reason.
OUT_OF_SIGHT = {
    9: "a mean for a sum, Dice for BCE and a factor 5 are other sound losses, not broken ones",
}
