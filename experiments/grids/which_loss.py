"""Which main loss suits BiRefNet?   10 arms, 8 paired seeds.

One loss on every supervised level, without gradient supervision, so that arms differ in it alone.
BCE is the baseline. AdamW's step does not depend on the scale of a loss, so no weights are matched
between arms; inside a sum they are the published ones. `tversky` has the .3 / .7 that its paper
prefers, as .5 / .5 is Dice. `birefnet_pixel` is the released composite (30 BCE, 10 SSIM, .5 IoU
summed over the batch).

    python experiments/run.py --grid which_loss                      2 cores, 42 minutes
    python experiments/run.py --grid which_loss --loss my_loss       with a loss of your own
"""

from typing import Any

import losses
from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.presets import PRESETS


def arm(about: str, name: str, **knobs: Any) -> Arm:
    """A loss on every level, and no gradient supervision."""
    return Arm(about, LossConfig(pixel={"name": name, **knobs}))


ARMS = {
    "bce": arm("binary cross entropy", "bce"),
    "class_balanced_bce": arm("BCE, classes weighed by their frequency", "class_balanced_bce"),
    "focal": arm("BCE that fades where it is right, gamma 2", "focal"),
    "dice": arm("soft Dice", "dice"),
    "dice_bce": arm("Dice + BCE", "dice_bce"),
    "tversky": arm("false positives .3, misses .7", "tversky", alpha=0.3, beta=0.7),
    "lovasz_hinge": arm("convex surrogate of the Jaccard index", "lovasz_hinge"),
    "structure": arm("boundary-weighted BCE + IoU (F3Net, repaired)", "structure"),
    "ssim": arm("structural similarity", "ssim"),
    "birefnet_pixel": arm(
        "BiRefNet's composite as released", "birefnet_pixel", **losses.AS_RELEASED
    ),
}

GRID = Grid(
    name="which_loss",
    question="Which main loss suits BiRefNet?",
    baseline="bce",
    arms=ARMS,
    contrasts=tuple(
        Contrast(name, "bce", f"{chosen.about} instead of BCE")
        for name, chosen in ARMS.items()
        if name != "bce"
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets=PRESETS,
)
