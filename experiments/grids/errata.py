"""What do the published defects of loss code cost?   15 arms, 8 paired seeds.

Each contrast is a loss as published minus the same loss repaired; `python -m losses.errata` tells
what is wrong with each. The numbers are those of that list. Patch IoU and the contour term have a
released weight of 0; here they weigh enough to matter (15 and 5). Fine-tuning begins at half of
the training (40 of 80 epochs), not in its last twelfth. The gradient label (7) is in `grad_loss`;
9, 11 and 12 concern text detectors' three maps.

    python experiments/run.py --grid errata                          2 cores, an hour and more
"""

from typing import Any

import losses
from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.presets import PRESETS

PUBLISHED_MINING = {"form": "byte", "level": "batch", "min_negatives": 0}


def arm(about: str, name: str, **knobs: Any) -> Arm:
    """A loss on every level, and no gradient supervision."""
    return Arm(about, LossConfig(pixel={"name": name, **knobs}))


def composite(about: str, **knobs: Any) -> Arm:
    """BiRefNet's pixel loss with some of its knobs set."""
    return arm(about, "birefnet_pixel", **knobs)


def tuned(about: str, *, again: bool) -> Arm:
    """The composite with its fine-tuning."""
    return composite(about, **losses.fine_tuning("DIS5K", epochs=80, as_published=again))


def structure_twice() -> Arm:
    """F3Net's loss as BiRefNet's pixel loss calls it."""
    only = {"bce": 0.0, "iou": 0.0, "ssim": 0.0, "structure": 1.0}
    return composite("sigmoid applied twice", **only, terms="as_published")


PATCH = {"iou": 0.0, "patch_iou": 15.0}

GRID = Grid(
    name="errata",
    question="What do the published defects of loss code cost?",
    baseline="structure",
    arms={
        "structure": arm("boundary-weighted BCE + IoU, as meant", "structure"),
        "structure_unweighted": arm(
            "its weighted BCE is plain BCE (1)", "structure", weighting="as_published"
        ),
        "structure_paper": arm("divided by S(gamma alpha) (2)", "structure", weighting="paper"),
        "structure_twice": structure_twice(),
        "composite": composite("30 BCE + 10 SSIM + .5 IoU, a mean over images"),
        "iou_summed": composite("its IoU summed over the batch (5)", iou_reduction="sum"),
        "patch": composite("30 BCE + 10 SSIM + 15 patch IoU", **PATCH),
        "patch_first": composite(
            "its patch IoU sees one patch, summed (4)", **PATCH, terms="as_published"
        ),
        "contour": composite("composite + 5 contour", contour=5.0),
        "contour_leaning": composite(
            "its contour term leans to one side (8)", contour=5.0, terms="as_published"
        ),
        "tuned": tuned("composite, region-level in the second half", again=False),
        "tuned_again": tuned("its factors applied at every epoch (6)", again=True),
        "balanced": arm("BCE, 3 hard negatives for a positive", "balanced_bce"),
        "balanced_byte": arm(
            "soft pixels dropped, mined over the batch (10)", "balanced_bce", **PUBLISHED_MINING
        ),
        "balanced_mean": arm("mining a number (13)", "balanced_bce", form="mean"),
    },
    contrasts=(
        Contrast("structure_unweighted", "structure", "F3Net's code: gamma without effect (1)"),
        Contrast("structure_paper", "structure", "F3Net's paper: another divisor (2)"),
        Contrast("structure_twice", "structure", "BiRefNet: sigmoid twice (3)"),
        Contrast("patch_first", "patch", "BiRefNet: one patch counts (4)"),
        Contrast("iou_summed", "composite", "BiRefNet: IoU summed over the batch (5)"),
        Contrast("tuned_again", "tuned", "BiRefNet: factors at every epoch (6)"),
        Contrast("contour_leaning", "contour", "BiRefNet: asymmetric contour (8)"),
        Contrast(
            "balanced_byte", "balanced", "DB: soft pixels dropped, batch mining, no fallback (10)"
        ),
        Contrast("balanced_mean", "balanced", "mmocr: mining without effect (13)"),
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets=PRESETS,
)
