"""Does gradient supervision do more with another weight, or by other mixtures?

The further arms of `grad_loss`: mean squared error (BiRefNet's issue 112), other shares of BCE and
MAE, MAE first and dropped later (the control of `progressive`), and the weight: a tenth of the
pixel loss's gradient on the decoder at 7, about a hundredth at 1, about as much as the pixel loss
at 70. 8 arms, 8 paired seeds; label, pixel loss and WEIGHT as there.

`scale` comes from `python -m experiments.pilot --grid grad_loss_wide --no-train`: equal initial
gradient rms. The weights differ on purpose, and `reversed` has, like `progressive`, BCE in full.

    python experiments/run.py --grid grad_loss_wide                  2 cores, half an hour
"""

from dataclasses import replace

from experiments.grid import Arm, Contrast, Grid
from experiments.grids.grad_loss import GRID as GRAD_LOSS
from experiments.grids.grad_loss import WEIGHT, arm
from experiments.presets import PRESETS

BCE = GRAD_LOSS.arms["bce"]


def weighing(weight: float, about: str) -> Arm:
    """BCE on the repaired label at another weight."""
    return replace(BCE, about=about, loss=replace(BCE.loss, gradient_weight=weight))


GRID = Grid(
    name="grad_loss_wide",
    question="Does gradient supervision do more with another weight, or by other mixtures?",
    baseline="bce",
    arms={
        "none": GRAD_LOSS.arms["none"],
        "bce": BCE,
        "weight_1": weighing(1.0, "BCE at weight 1"),
        "weight_70": weighing(10 * WEIGHT, "BCE at weight 70"),
        "mse": arm("mean squared error", objective="mse", scale=2.07),
        "hybrid_25": arm("a quarter BCE, the rest MAE", objective="hybrid", lam=0.25, scale=1.52),
        "hybrid_75": arm("three quarters BCE", objective="hybrid", lam=0.75, scale=1.13),
        "reversed": arm(
            "BCE and MAE, MAE dropped over the second half",
            objective="progressive",
            mode="reverse_add",
        ),
    },
    contrasts=(
        Contrast("bce", "none", "does it do anything, repaired (issue 183)"),
        Contrast("weight_1", "none", "does it at weight 1 (issue 183)"),
        Contrast("weight_70", "none", "does it at weight 70 (issue 183)"),
        Contrast("mse", "bce", "MSE instead of BCE (issue 112)"),
        Contrast("hybrid_25", "bce", "a quarter BCE (issue 181)"),
        Contrast("hybrid_75", "bce", "three quarters BCE (issue 181)"),
        Contrast("reversed", "bce", "MAE added early, then dropped"),
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets=PRESETS,
)
