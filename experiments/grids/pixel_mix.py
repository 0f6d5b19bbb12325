"""Which terms of BiRefNet's pixel loss does it need?   8 arms, 8 paired seeds.

Released weights: DIS 30 BCE + .5 IoU + 10 SSIM; General adds 100 MAE; Matting is General without
IoU. Each other arm leaves one term of DIS or General out. All in the released form, in which
IoU is summed over the batch (erratum 5), so that its .5 counts as 4 in batches of 8, and as 2 in
those of 4 (`smoke` and `evening`).
No gradient supervision. AdamW's step does not depend on the sum of the weights, but `evening` and
`bench` clip gradients, so there a term left out changes the clipping too.

    python experiments/run.py --grid pixel_mix                       2 cores, half an hour
"""

from typing import Any

import losses
from experiments.config import LossConfig
from experiments.grid import Arm, Contrast, Grid
from experiments.presets import PRESETS


def mix(about: str, task: str, **changed: Any) -> Arm:
    """BiRefNet's pixel loss with the weights of a task, some changed; no gradient supervision."""
    weights = {**losses.RELEASED[task], **changed}
    return Arm(
        about, LossConfig(pixel={"name": "birefnet_pixel", **weights, **losses.AS_RELEASED})
    )


GRID = Grid(
    name="pixel_mix",
    question="Which terms of BiRefNet's pixel loss does it need?",
    baseline="dis",
    arms={
        "dis": mix("30 BCE + .5 IoU + 10 SSIM", "DIS5K"),
        "dis_no_bce": mix("DIS without BCE", "DIS5K", bce=0.0),
        "dis_no_iou": mix("DIS without IoU", "DIS5K", iou=0.0),
        "dis_no_ssim": mix("DIS without SSIM", "DIS5K", ssim=0.0),
        "general": mix("DIS + 100 MAE", "General"),
        "general_no_bce": mix("General without BCE", "General", bce=0.0),
        "general_no_ssim": mix("General without SSIM", "General", ssim=0.0),
        "matting": mix("General without IoU", "Matting"),
    },
    contrasts=(
        Contrast("dis_no_bce", "dis", "DIS: BCE left out"),
        Contrast("dis_no_iou", "dis", "DIS: IoU left out"),
        Contrast("dis_no_ssim", "dis", "DIS: SSIM left out"),
        Contrast("general", "dis", "MAE added, as for General"),
        Contrast("general_no_bce", "general", "General: BCE left out"),
        Contrast("general_no_ssim", "general", "General: SSIM left out"),
        Contrast("matting", "general", "General: IoU left out, which is Matting"),
    ),
    primary="F_weighted",
    guards=("MAE", "BIoU", "IoU"),
    margin=0.005,
    presets=PRESETS,
)
