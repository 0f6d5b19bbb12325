"""Which boundary weight makes F3Net's structure loss best?

The published 1 + 5 |box(t) - t| with a window of 31 px was chosen for 352 px images and one
network. Here the weight's height (gamma), its width (window), what it is divided by (weighting),
the padding at the image's border and the form of the overlap are chosen together. `half_window` is
the window's radius, on a log scale: the window has 2 half_window + 1 px. The first setting is the
loss as this project has it, the second as F3Net's code computes it.

40 settings of 2 seeds on laptop, without those that are pruned 80 runs: 2 cores, 40 minutes.

    python experiments/run.py --search structure
    python experiments/run.py --search structure --preset smoke          2 cores, half a minute
"""

from typing import Any

import optuna

from experiments.config import LossConfig
from experiments.grid import Arm
from experiments.search.search import Search


def suggest(trial: optuna.trial.BaseTrial) -> Arm:
    """The arm of one setting."""
    knobs: dict[str, Any] = {
        "gamma": trial.suggest_float("gamma", 0.5, 50.0, log=True),
        "window": 2 * trial.suggest_int("half_window", 2, 63, log=True) + 1,
        "weighting": trial.suggest_categorical("weighting", ("mean", "paper", "as_published")),
        "border": trial.suggest_categorical("border", ("zero", "exclude")),
        "overlap": trial.suggest_categorical("overlap", ("product", "l1")),
    }
    about = f"structure, gamma {knobs['gamma']:.3g}, window {knobs['window']}"
    return Arm(about, LossConfig(pixel={"name": "structure", **knobs}))


PUBLISHED = {"gamma": 5.0, "half_window": 15, "border": "zero", "overlap": "product"}

SEARCH = Search(
    name="structure",
    question="Which boundary weight makes F3Net's structure loss best?",
    grid="structure",
    suggest=suggest,
    first=({**PUBLISHED, "weighting": "mean"}, {**PUBLISHED, "weighting": "as_published"}),
    trials={"smoke": 3, "laptop": 40, "evening": 40, "bench": 60, "paper": 40},
)
