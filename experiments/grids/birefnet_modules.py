"""What does each module of BiRefNet do?   10 arms, 8 paired seeds.

One component is left out at a time from the model and training as released: inward reference,
outward reference, context, multi-scale input, attention in the decoder (left out, and without its
deformation), multi-stage supervision, region-level fine-tuning. `reader` is a combination that a
reader of the paper proposes: the image resized instead of cut into patches, and the outward
reference at every stage, the finest too.

The outward reference's labels need the levels of the multi-stage supervision, so leaving the
latter out leaves out both; its contrast is with `no_outward`. Labels and weight of the gradient
supervision are the repaired ones of `grad_loss`. Fine-tuning takes the last 40 of 500 epochs'
share of the training, as released for DIS5K. Arms without a module have fewer parameters: that is
the comparison the paper makes, and not one at equal cost (`python -m models --summary` tells).

    python experiments/run.py --grid birefnet_modules                      2 cores, 50 minutes
    python experiments/run.py --grid birefnet_modules --preset smoke       2 cores, a minute
"""

from typing import Any

import losses
from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.grids.grad_loss import REPAIRED, WEIGHT
from experiments.presets import PRESETS

GRADIENT: dict[str, Any] = {**REPAIRED, "objective": "bce"}
PLAIN: dict[str, Any] = {"name": "birefnet_pixel"}
TUNED: dict[str, Any] = {**PLAIN, **losses.fine_tuning("DIS5K", epochs=500)}


def arm(about: str, pixel: dict[str, Any] = TUNED, **model: Any) -> Arm:
    """The released training with some of the model's switches set."""
    return Arm(about, LossConfig(pixel, gradient=GRADIENT, gradient_weight=WEIGHT), model)


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
        "no_fine_tuning": arm("the same loss to the end", PLAIN),
        "reader": arm(
            "image not split, outward reference at every stage", inward="image", outward=4
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
    presets=PRESETS,
)
