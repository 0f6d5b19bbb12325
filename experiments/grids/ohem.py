"""What does mining hard negatives do for a text detector, and when does it do nothing?

Users of DB's codes ask what the ratio of 3 is good for, whether mining belongs to the image or to
the batch, why changing the ratio changes nothing (PaddleOCR), and why images without text teach
nothing. 8 arms, 8 paired seeds; the baseline and the thresholds are those of `db_loss`.

`dice_1` and `dice_10` differ in the ratio alone, as in PaddleOCR, where Dice is the loss of both
maps: it is one number for an image, so there is nothing to mine, and the two arms must come out
the same to the last bit. `none_free` has no gradient for an image without text, as published: it
mines none there, and Dice with an empty target is 1 whatever is predicted.

    python experiments/run.py --grid ohem                            2 cores, 18 minutes
    python experiments/run.py --grid ohem --preset smoke             2 cores, half a minute
"""

from experiments.grid import Contrast, Grid
from experiments.grids.db_loss import arm
from experiments.presets import TEXT_PRESETS

GRID = Grid(
    name="ohem",
    task="text",
    question="What does mining hard negatives do for a text detector?",
    baseline="ratio_3",
    arms={
        "ratio_3": arm("3 negatives for each positive, of each image"),
        "batch": arm("of the whole batch", mining="batch"),
        "ratio_1": arm("1 for each positive", ratio=1.0),
        "ratio_10": arm("10 for each positive", ratio=10.0),
        "off": arm("all negatives: plain BCE", prob="bce"),
        "none_free": arm(
            "an image without text mines none, and Dice has no gradient for it, as published",
            min_negatives=0,
            empty="published",
        ),
        "dice_1": arm("Dice, ratio 1 (PaddleOCR)", prob="dice", ratio=1.0),
        "dice_10": arm("Dice, ratio 10", prob="dice", ratio=10.0),
    },
    contrasts=(
        Contrast("batch", "ratio_3", "mined in the batch instead of in each image"),
        Contrast("ratio_1", "ratio_3", "fewer negatives"),
        Contrast("ratio_10", "ratio_3", "more negatives"),
        Contrast("off", "ratio_3", "no mining"),
        Contrast("none_free", "ratio_3", "images without text teach nothing"),
        Contrast("dice_10", "dice_1", "the ratio where the loss is Dice"),
    ),
    primary="H_mean",
    guards=("P_textfree", "precision", "recall"),
    margin=0.01,
    presets=TEXT_PRESETS,
)
