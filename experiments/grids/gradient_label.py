"""Which part of BiRefNet's gradient label matters: gate, squash, or whether it is detached?

The label is the image's Laplacian, gated by the object and squashed to [0, 1]. Each arm departs
from the repaired label (gate by the predicted mask, |G| over its .99 quantile, detached) in one
part; `released` in all three. BCE in all arms. 8 arms, 8 paired seeds.

A label near .5 asks less of a prediction that starts near .5, so at equal weight the sigmoid's
arms would be supervised less as well as otherwise: `scale` gives all arms the same initial
gradient rms (`python -m experiments.pilot --grid gradient_label --no-train`). `attached` has none
of its own: detaching changes no value.

    python experiments/run.py --grid gradient_label                  2 cores, half an hour
"""

from typing import Any

from experiments.grid import Arm, Contrast, Grid
from experiments.grids.grad_loss import RELEASED
from experiments.grids.grad_loss import arm as repaired
from experiments.presets import PRESETS


def arm(about: str, **label: Any) -> Arm:
    """BCE at the piloted weight, on a label with some parts changed."""
    return repaired(about, objective="bce", **label)


GRID = Grid(
    name="gradient_label",
    question="Which part of BiRefNet's gradient label matters: gate, squash, or detaching it?",
    baseline="repaired",
    arms={
        "repaired": arm("gate by the predicted mask, |G| over its .99 quantile, detached"),
        "gate_logits": arm("gated by the coarse logits, as released", gate="logits", scale=1.08),
        "gate_gt": arm("gated by the true mask", gate="gt", scale=0.96),
        "gate_none": arm("not gated", gate="none", scale=1.21),
        "squash_sigmoid": arm("sigmoid of G, as released", squash="sigmoid", scale=5.39),
        "squash_tanh": arm("tanh of |G|", squash="tanh", scale=0.90),
        "attached": arm("not detached, as released", detach_target=False),
        "released": arm("all three as released", **RELEASED, scale=5.39),
    },
    contrasts=(
        Contrast("gate_logits", "repaired", "gated by coarse logits, as released"),
        Contrast("gate_gt", "repaired", "gated by the true mask"),
        Contrast("gate_none", "repaired", "not gated"),
        Contrast("squash_sigmoid", "repaired", "sigmoid of G, as released"),
        Contrast("squash_tanh", "repaired", "tanh of |G|"),
        Contrast("attached", "repaired", "not detached, as released"),
        Contrast("released", "repaired", "the released label at equal strength"),
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets=PRESETS,
)
