"""Does the analysis find a winner where there is none?   2 arms, 16 paired seeds.

An A/A test: `copy` is `bce` of `grad_loss` with every initial parameter, those of the frozen
encoder too, multiplied by 1 + 1e-6 n, n standard normal. Its runs are others, step by step further
from those of `bce`, but by chance alone: the true difference is 0. A p below .05, or the verdict
better or worse, is a false alarm; by design one such grid in 20 has one. Half-splits of one arm's
16 seeds ask the same of seeds that are not paired.

Decided beforehand: arms, seeds, contrast, primary metric and margin as in `grad_loss`.

    python experiments/run.py --grid aa                              2 cores, 20 minutes
    python experiments/run.py --grid aa --preset smoke               2 cores, a few seconds
"""

from dataclasses import replace

from experiments.grid import Contrast, Grid
from experiments.grids.grad_loss import GRID as GRAD_LOSS
from experiments.presets import PRESETS

BCE = GRAD_LOSS.arms["bce"]
PERTURBATION = 1e-6

GRID = Grid(
    name="aa",
    question="Does the analysis find a winner where there is none?",
    baseline="bce",
    arms={
        "bce": BCE,
        "copy": replace(
            BCE,
            about="the same, its initial weights off by a millionth",
            model={**BCE.model, "perturb": PERTURBATION},
        ),
    },
    contrasts=(Contrast("copy", "bce", "the same arm again"),),
    primary=GRAD_LOSS.primary,
    guards=GRAD_LOSS.guards,
    margin=GRAD_LOSS.margin,
    presets={
        name: preset if name == "smoke" else replace(preset, seeds=16)
        for name, preset in PRESETS.items()
    },
)
