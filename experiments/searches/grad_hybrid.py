"""How should gradient supervision be weighed, on which objective and label?

`grad_loss` compares objectives at one weight and on one repaired label. Here weight, objective and
the label's gate and squash are chosen together, with the knobs that only some objectives have:
`lam` of hybrid, `mode` of progressive, `region_level` of region_adaptive. `scale` is left out: it
multiplies the same term as the weight. The first two settings are the grid's `bce` arm and the
supervision dropped, so the search tells what tuning gains over either. The pixel loss is
`birefnet_pixel` throughout.

40 settings of 2 seeds on laptop, without those that are pruned 80 runs: 2 cores, 40 minutes.

    python experiments/run.py --search grad_hybrid
    python experiments/run.py --search grad_hybrid --preset smoke        2 cores, half a minute
"""

from typing import Any

import optuna

from experiments.config import LossConfig
from experiments.grid import Arm
from experiments.search.search import Search


def suggest(trial: optuna.trial.BaseTrial) -> Arm:
    """The arm of one setting."""
    objectives = ("none", "bce", "mae", "mse", "hybrid", "region_adaptive", "progressive")
    objective = trial.suggest_categorical("objective", objectives)
    if objective == "none":
        return Arm("supervision dropped", LossConfig(gradient={"objective": "none"}))
    gradient: dict[str, Any] = {
        "objective": objective,
        "detach_target": True,
        "gate": trial.suggest_categorical("gate", ("pred", "gt", "logits", "none")),
        "squash": trial.suggest_categorical("squash", ("abs", "tanh", "sigmoid")),
    }
    if objective == "hybrid":
        gradient["lam"] = trial.suggest_float("lam", 0.05, 0.95)
    if objective == "progressive":
        gradient["mode"] = trial.suggest_categorical("mode", ("add", "replace", "reverse"))
    if objective == "region_adaptive":
        gradient["region_level"] = trial.suggest_float("region_level", 0.5, 0.99)
    weight = trial.suggest_float("weight", 0.5, 200.0, log=True)
    about = f"{objective} on the gradient, weight {weight:.3g}"
    return Arm(about, LossConfig(gradient=gradient, gradient_weight=weight))


SEARCH = Search(
    name="grad_hybrid",
    question="How should gradient supervision be weighed, on which objective and label?",
    grid="grad_loss",
    suggest=suggest,
    first=(
        {"objective": "bce", "gate": "pred", "squash": "abs", "weight": 7.0},
        {"objective": "none"},
    ),
    trials={"smoke": 3, "laptop": 40, "evening": 40, "bench": 60, "paper": 40},
)
