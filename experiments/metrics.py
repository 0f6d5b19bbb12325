"""Metrics of one predicted map against one mask, by PySODMetrics, boundary IoU beside them.

Predictions are floats in [0, 1] and are taken as they are: PySODMetrics would by default stretch
each one to its own range. Metrics that need a binary mask cut it at .5; MAE and MSE use it soft.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.data.decode import Pixels

if TYPE_CHECKING:  # imported where it computes: it takes a second, and --help needs names alone
    import py_sod_metrics as sod

METRICS = ("F_weighted", "S", "E_mean", "F_mean", "IoU", "BIoU", "HCE", "MAE", "MSE")
LOWER_IS_BETTER = ("HCE", "MAE", "MSE")
BOUNDARY = 0.02  # width of boundary IoU's band as a share of the diagonal (Cheng et al. 2021)
RELAX = 5  # pixels of tolerance in HCE (Qin et al. 2022)


def image_metrics(
    prediction: NDArray[np.float64], mask: Pixels, names: tuple[str, ...] = METRICS
) -> dict[str, float]:
    """The named metrics of one image.

    Args:
        prediction: (H, W), in [0, 1].
        mask: (H, W), uint8, soft edges allowed.
        names: which of METRICS to compute.
    """
    import py_sod_metrics as sod

    soft = mask.astype(np.float64) / 255
    truth = soft > 0.5
    found = prediction > 0.5
    error = prediction - soft
    compute: dict[str, Callable[[], float]] = {
        "F_weighted": lambda: (
            sod.WeightedFmeasure().cal_wfm(prediction, truth) if truth.any() else 0.0
        ),
        "S": lambda: sod.Smeasure().cal_sm(prediction, truth),
        "E_mean": lambda: _step(sod.Emeasure(), prediction, truth).changeable_ems[-1].mean(),
        "F_mean": lambda: _f_mean(prediction, truth),
        "IoU": lambda: iou(found, truth),
        "BIoU": lambda: iou(boundary(found), boundary(truth)),
        "HCE": lambda: sod.HumanCorrectionEffortMeasure(relax=RELAX).cal_hce(found, truth),
        "MAE": lambda: np.abs(error).mean(),
        "MSE": lambda: np.square(error).mean(),
    }
    return {name: float(compute[name]()) for name in names}


def iou(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W), bool; 1 where both are empty."""
    union = np.count_nonzero(found | truth)
    return np.count_nonzero(found & truth) / union if union else 1.0


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask's pixels within 2 % of the diagonal from its outline (boundary IoU, CVPR 2021)."""
    width = max(1, round(BOUNDARY * float(np.hypot(*mask.shape))))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    outline: NDArray[np.bool_] = mask & (core == 0)
    return outline


def _f_mean(prediction: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    import py_sod_metrics as sod

    handler = sod.FmeasureHandler(beta=0.3, with_dynamic=True, with_adaptive=False)
    measure = sod.FmeasureV2(metric_handlers={"fm": handler})
    measure.step(prediction, truth, normalize=False)
    return float(measure.get_results()["fm"]["dynamic"].mean())


def _step(
    measure: "sod.Emeasure", prediction: NDArray[np.float64], truth: NDArray[np.bool_]
) -> "sod.Emeasure":
    measure.step(prediction, truth, normalize=False)
    return measure
