"""Which of the published losses of Differentiable Binarization finds words best?

The paper and four codes train the same head (DB, AAAI 2020) with four losses. They differ in the
loss of the probability map (mined BCE, Dice, focal), in that of the binary map, in the weights and
in sums or means over pixels; none of them has a gradient for a batch without text but docTR's.
10 arms, 8 paired seeds.

The baseline is the released weighting (5, 10, 1) with what is broken mended: negatives are mined
in each image, an image without positives mines 1000, Dice scores an image without text by its
ground. The flavours are as published (`losses.DB_FLAVOURS`), several things at once; mmocr's
differs from MhLiao's on soft labels alone, and there are none here. Each of the other arms changes
one thing: the loss of the probability map, or the threshold branch, without which neither T nor B
is trained. Mining and its ratio are the question of `ohem`.

H-mean is at the cut and the least score that the validation split chose, for each run: losses
scale their probabilities differently, and the published thresholds were found for one of them.
H_published is at those (.3, .6). P_textfree, the guard, is the share of the test images without a
word that counts in which nothing is found.

    python experiments/run.py --grid db_loss                         2 cores, 22 minutes
    python experiments/run.py --grid db_loss --preset smoke          2 cores, half a minute
"""

from typing import Any

from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.presets import TEXT_PRESETS
from losses import DB_FLAVOURS


def arm(about: str, **knobs: Any) -> Arm:
    """The loss `db` with some of its knobs set."""
    return Arm(about, LossConfig(pixel={"name": "db", **knobs}))


def without_threshold(about: str, **knobs: Any) -> Arm:
    """The probability map alone is trained, as before DB."""
    return arm(about, threshold_weight=0.0, binary_weight=0.0, **knobs)


ARMS = {
    "db": arm("mined BCE, L1, Dice by 5, 10, 1; mended"),
    "mhliao": arm("as released by MhLiao/DB, and in mmocr 1.x", **DB_FLAVOURS["MhLiao"]),
    "paper": arm("as in the paper: mined BCE for both maps, sums", **DB_FLAVOURS["paper"]),
    "paddleocr": arm("as PaddleOCR: Dice for both maps", **DB_FLAVOURS["PaddleOCR"]),
    "doctr": arm("as docTR: focal, 10, 1, 1", **DB_FLAVOURS["doctr"]),
    "bce": arm("plain BCE of the probability map", prob="bce"),
    "dice": arm("Dice of the probability map", prob="dice"),
    "dice_bce": arm("Dice and plain BCE of it", prob="dice_bce"),
    "focal": arm("focal loss of it, gamma 2, alpha .5", prob="focal"),
    "no_threshold": without_threshold("mined BCE of it alone: no threshold branch"),
}

GRID = Grid(
    name="db_loss",
    task="text",
    question="Which of the published losses of Differentiable Binarization finds words best?",
    baseline="db",
    arms=ARMS,
    contrasts=tuple(
        Contrast(name, "db", f"{chosen.about}, instead of the mended release")
        for name, chosen in ARMS.items()
        if name != "db"
    ),
    primary="H_mean",
    guards=("P_textfree", "precision", "recall"),
    margin=0.01,
    presets=TEXT_PRESETS,
)
