"""Which part of F3Net's structure loss does the work?   11 arms, 8 paired seeds.

The structure loss is weighted BCE + weighted IoU with w = 1 + gamma |box(t) - t|. Its published
code computes plain BCE in place of the weighted one (erratum 1), counts the padding of the box at
the image's border, and has a window of 31 px whatever the image's size. One thing is changed at a
time: `bce_iou` is gamma 0, and without it the ladder is BCE or IoU alone. At 128 px "relative"
is a window of 11 px, at 192 px one of 17: the share of 352 px that 31 px are.

One loss on every supervised level, without gradient supervision. IoU is in the product form with
smooth 1 everywhere, as in the structure loss; its value differs between arms, which does not
matter to AdamW (`evening` and `bench` clip gradients, so there it may).

    python experiments/run.py --grid structure                       2 cores, 46 minutes
"""

from typing import Any

from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.presets import PRESETS


def arm(about: str, name: str = "structure", **knobs: Any) -> Arm:
    """A loss on every level, and no gradient supervision."""
    return Arm(about, LossConfig(pixel={"name": name, **knobs}))


PRODUCT = {"denominator": "linear", "empty": "published"}  # the IoU inside the structure loss

GRID = Grid(
    name="structure",
    question="Which part of F3Net's structure loss does the work?",
    baseline="repaired",
    arms={
        "bce": arm("binary cross entropy", "bce"),
        "iou": arm("soft IoU", "iou", **PRODUCT),
        "bce_iou": arm("BCE + IoU, not weighted (gamma 0)", gamma=0.0),
        "published": arm("F3Net's code: plain BCE + weighted IoU", weighting="as_published"),
        "repaired": arm("weighted BCE + weighted IoU: gamma 5, window 31 px"),
        "border": arm("padding left out of the box", border="exclude"),
        "gamma_1": arm("gamma 1", gamma=1.0),
        "gamma_20": arm("gamma 20", gamma=20.0),
        "window_7": arm("window 7 px", window=7),
        "window_15": arm("window 15 px", window=15),
        "relative": arm("window 31 px of 352", window="relative"),
    },
    contrasts=(
        Contrast("bce_iou", "bce", "IoU added"),
        Contrast("bce_iou", "iou", "BCE added"),
        Contrast("repaired", "bce_iou", "what the weights do (gamma 5 instead of 0)"),
        Contrast("published", "repaired", "F3Net's code: the BCE is not weighted (issue 218)"),
        Contrast("border", "repaired", "padding left out"),
        Contrast("gamma_1", "repaired", "gamma 1 instead of 5"),
        Contrast("gamma_20", "repaired", "gamma 20 instead of 5"),
        Contrast("window_7", "repaired", "window 7 px instead of 31"),
        Contrast("window_15", "repaired", "window 15 px instead of 31"),
        Contrast("relative", "repaired", "a window that scales with the image"),
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets=PRESETS,
)
