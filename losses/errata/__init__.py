"""Published loss code that departs from its paper: where, and what it costs.

Each erratum names the setting of a registered loss that computes what was published, and the one
that computes what was meant; ``python -m losses.errata`` prints them with measured consequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..bound import Loss, build
from ..db import DB_FLAVOURS
from ..released import AS_RELEASED
from . import measured

__all__ = ["ERRATA", "Erratum", "Setting"]


@dataclass(frozen=True)
class Setting:
    """A registered loss with knobs."""

    loss: str
    knobs: Mapping[str, object]

    def build(self) -> Loss:
        """The loss itself."""
        return build(self.loss, **self.knobs)

    def __str__(self) -> str:
        knobs = "".join(f", {key}={value!r}" for key, value in self.knobs.items())
        return f"losses.build({self.loss!r}{knobs})"


@dataclass(frozen=True)
class Erratum:
    """One departure: who published it, what is wrong, both settings, and a measurement."""

    number: int
    source: str
    defect: str
    published: Setting
    repaired: Setting
    consequence: Callable[[], str]


_ONLY: dict[str, object] = {"bce": 0.0, "iou": 0.0, "ssim": 0.0}
_BATCH: dict[str, object] = {"level": "batch", "min_negatives": 0}

ERRATA: tuple[Erratum, ...] = (
    Erratum(
        1,
        "F3Net's train.py; copied by PraNet, SAM2-UNet and others",
        "reduce='none' is a true value, so the per-pixel loss arrives averaged over the batch and "
        "S(w c) / S(w) = c: the weighted BCE is plain BCE",
        Setting("structure", {"weighting": "as_published"}),
        Setting("structure", {}),
        measured.unweighted,
    ),
    Erratum(
        2,
        "F3Net, AAAI 2020, eq. 4, against its code",
        "the paper divides the weighted BCE by S(gamma alpha), the code by S(1 + gamma alpha)",
        Setting("structure", {"weighting": "paper"}),
        Setting("structure", {}),
        measured.divided_by_less,
    ),
    Erratum(
        3,
        "BiRefNet's loss.py, StructureLoss in PixLoss",
        "sigmoid is applied to probabilities: a perfect prediction is not 0",
        Setting("birefnet_pixel", {**_ONLY, "structure": 1.0, "terms": "as_published"}),
        Setting("birefnet_pixel", {**_ONLY, "structure": 1.0}),
        measured.sigmoid_twice,
    ),
    Erratum(
        4,
        "BiRefNet's loss.py, PatchIoULoss",
        "loops over the batch and channel axes: only the top left 64 x 64 px count; 0 / 0 "
        "where they are empty and met exactly (0 here, NaN there)",
        Setting("patch_iou", {"as_published": True}),
        Setting("patch_iou", {}),
        measured.one_patch,
    ),
    Erratum(
        5,
        "BiRefNet's loss.py, IoULoss",
        "sums over the batch, without smoothing: 0 / 0 for an empty target met exactly (0 here, "
        "NaN there)",
        Setting("birefnet_pixel", {**_ONLY, "iou": 0.5, **AS_RELEASED}),
        Setting("birefnet_pixel", {**_ONLY, "iou": 0.5}),
        measured.summed_over_the_batch,
    ),
    Erratum(
        6,
        "BiRefNet's train.py, fine-tuning in the last epochs",
        "the factors multiply the weights in place, again at every epoch; a resume resets them",
        Setting("birefnet_pixel", {"bce": 0.0, "iou": 0.5 * 0.5**40}),
        Setting("birefnet_pixel", {"bce": 0.0, "iou": 0.25}),
        measured.factors_again,
    ),
    Erratum(
        7,
        "BiRefNet's birefnet.py, label of the gradient supervision",
        "not detached, so BCE moves the label (the mask head); gated by unbounded logits; sigmoid "
        "makes a flat region .5",
        Setting("gradient_supervision", {"detach_target": False}),
        Setting("gradient_supervision", {"gate": "pred", "squash": "abs"}),
        measured.grey_label,
    ),
    Erratum(
        8,
        "BiRefNet's loss.py, ContourLoss",
        "its slices pair different pixels, so a flipped image has another loss",
        Setting("contour", {"as_published": True}),
        Setting("contour", {}),
        measured.leaning,
    ),
    Erratum(
        9,
        "MhLiao/DB, seg_detector_loss.py, against AAAI 2020, eq. 5",
        "means over pixels for the paper's sums, Dice for its BCE on the binary map, a factor 5 "
        "on the probability loss",
        Setting("db", DB_FLAVOURS["MhLiao"]),
        Setting("db", DB_FLAVOURS["paper"]),
        measured.other_total,
    ),
    Erratum(
        10,
        "MhLiao/DB, balance_cross_entropy_loss.py",
        ".byte() drops soft pixels from both classes; no positives, no loss; mined over the batch",
        Setting("balanced_bce", {**_BATCH, "form": "byte"}),
        Setting("balanced_bce", {}),
        measured.dropped_pixels,
    ),
    Erratum(
        11,
        "MhLiao/DB, l1_loss.py",
        "BalanceL1Loss divides by counts that may be 0: NaN; MaskL1Loss has no grad_fn on an "
        "empty mask",
        Setting("balanced_l1", {"as_published": True}),
        Setting("balanced_l1", {}),
        measured.nothing_by_nothing,
    ),
    Erratum(
        12,
        "PaddleOCR, det_basic_loss.py, BalanceLoss with DiceLoss",
        "Dice is one number for the batch: mining it selects nothing, whatever the ratio",
        Setting("db", DB_FLAVOURS["PaddleOCR"]),
        Setting("db", {}),
        measured.mining_a_number,
    ),
    Erratum(
        13,
        "mmocr 1.x, MaskedBalancedBCEWithLogitsLoss with reduction='mean'",
        "as erratum 1: the loss arrives averaged, and balancing a number gives that number",
        Setting("balanced_bce", {**_BATCH, "form": "mean"}),
        Setting("balanced_bce", {}),
        measured.balancing_a_number,
    ),
)
