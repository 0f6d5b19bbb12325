"""In which proportion should BiRefNet mix the terms of its pixel loss?

Released are 30 BCE, 10 SSIM and .5 IoU, by hand. AdamW's step does not depend on a loss's scale,
so only proportions matter: BCE stays at 30 and the others move against it. One further term of the
official code (structure, mae, patch_iou, contour) may join, with a weight that exists only then.
The first setting is the released one in its per-image form.

40 settings of 2 seeds on laptop, without those that are pruned 80 runs: 2 cores, 40 minutes.

    python experiments/run.py --search pixel_mix
    python experiments/run.py --search pixel_mix --preset smoke          2 cores, half a minute
"""

import optuna

from experiments.config import LossConfig
from experiments.grid import Arm
from experiments.search.search import Search


def suggest(trial: optuna.trial.BaseTrial) -> Arm:
    """The arm of one setting."""
    weights = {
        "bce": 30.0,
        "ssim": trial.suggest_float("ssim", 0.3, 300.0, log=True),
        "iou": trial.suggest_float("iou", 0.05, 50.0, log=True),
    }
    terms = ("none", "structure", "mae", "patch_iou", "contour")
    extra = trial.suggest_categorical("extra", terms)
    if extra != "none":
        weights[extra] = trial.suggest_float(extra, 0.1, 100.0, log=True)
    about = " + ".join(f"{weight:.3g} {name}" for name, weight in weights.items())
    return Arm(about, LossConfig(pixel={"name": "birefnet_pixel", **weights}))


SEARCH = Search(
    name="pixel_mix",
    question="In which proportion should BiRefNet mix the terms of its pixel loss?",
    grid="pixel_mix",
    suggest=suggest,
    first=({"ssim": 10.0, "iou": 0.5, "extra": "none"},),
    trials={"smoke": 3, "laptop": 40, "evening": 40, "bench": 60, "paper": 40},
)
