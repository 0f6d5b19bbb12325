"""What does each module of BiRefNet do?   10 arms, 8 paired seeds.

One component is left out at a time: inward reference, outward reference, context, multi-scale
input, attention in the decoder (left out, and without its deformation), multi-stage supervision,
region-level fine-tuning. `reader` is a combination that a reader of the paper proposes: the image
resized instead of cut into patches, and the outward reference at every stage, the finest too; two
things at once, its gradient term scaled to the weight that three stages have.

The baseline is the released model and pixel loss, with three departures: the gradient
supervision has the repaired label and the weight of `grad_loss`, fine-tuning sets its weights once
instead of multiplying them at every epoch, and the learning rate is constant at every scale (as
released, but unlike the other grids' laptop preset: with a cosine the fine-tuning, which takes the
last 8 % of the steps as 40 of 500 epochs do, would come when nothing moves any more).

What a contrast holds beside its component: the outward reference's labels need the levels of the
multi-stage supervision, so `no_multi_stage` lacks both and is set against `no_outward`; it has one
pixel term where others have four. `no_multi_scale` halves the channels of every encoder map that
the decoder takes. Arms without a module have fewer parameters: that is the comparison the paper
makes, and not one at equal cost, which `python -m models --summary` tells.

    python experiments/run.py --grid birefnet_modules                      2 cores, 42 minutes
    python experiments/run.py --grid birefnet_modules --preset smoke       2 cores, a minute
"""

from dataclasses import replace
from typing import Any

import losses
from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.grids.grad_loss import REPAIRED, WEIGHT
from experiments.presets import PRESETS

GRADIENT: dict[str, Any] = {**REPAIRED, "objective": "bce"}
PLAIN: dict[str, Any] = {"name": "birefnet_pixel"}
TUNED: dict[str, Any] = {**PLAIN, **losses.fine_tuning("DIS5K", epochs=500)}


def arm(about: str, *, pixel: Any = TUNED, stages: int = 3, **model: Any) -> Arm:
    """The baseline's training with some of the model's switches set."""
    gradient = {**GRADIENT, "scale": 3 / stages}
    return Arm(about, LossConfig(pixel, gradient=gradient, gradient_weight=WEIGHT), model)


GRID = Grid(
    name="birefnet_modules",
    question="What does each module of BiRefNet do?",
    baseline="full",
    arms={
        "full": arm("every module, region-level fine-tuning at the end"),
        "no_inward": arm("no image in the decoder", inward="none"),
        "no_outward": arm("no gradient prediction, no attention from it", outward=False),
        "no_context": arm("no finer maps beside the coarsest", context=0),
        "no_multi_scale": arm("the image at full size only", multi_scale_input="none"),
        "no_attention": arm("no ASPP in the decoder's blocks", decoder_attention="none"),
        "no_deformation": arm("ASPP, not deformable", decoder_attention="ASPP"),
        "no_multi_stage": arm(
            "the finest level only, no outward reference", outward=False, multi_stage=False
        ),
        "no_fine_tuning": arm("the same loss to the end", pixel=PLAIN),
        "reader": arm(
            "image not split, outward reference at every stage",
            stages=4,
            inward="image",
            outward=4,
        ),
    },
    contrasts=(
        Contrast("no_inward", "full", "without inward reference"),
        Contrast("no_outward", "full", "without outward reference (issue 183)"),
        Contrast("no_context", "full", "without context connections"),
        Contrast("no_multi_scale", "full", "without multi-scale input"),
        Contrast("no_attention", "full", "without attention in the decoder"),
        Contrast("no_deformation", "full", "with ASPP that is not deformable"),
        Contrast("no_multi_stage", "no_outward", "without multi-stage supervision"),
        Contrast("no_fine_tuning", "full", "without region-level fine-tuning"),
        Contrast("reader", "full", "a reader's combination"),
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets={
        name: replace(preset, train=replace(preset.train, schedule="constant"))
        for name, preset in PRESETS.items()
    },
)
