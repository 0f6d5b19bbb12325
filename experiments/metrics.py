"""Metrics of one predicted map against one mask, by PySODMetrics; boundary metrics beside them.

In the plain variant predictions are floats in [0, 1] and are taken as they are; metrics that need
a binary mask cut it at .5, MAE and MSE use it soft. In the published one they are what papers
report: 8-bit predictions, each stretched to its own range, and masks cut above 128 for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.config import Variant
from experiments.data.decode import Pixels

METRICS = ("F_weighted", "S", "E_mean", "F_mean", "IoU", "BIoU", "mBA", "HCE", "MAE", "MSE")
MAXIMA = {"F_max": "F_mean", "E_max": "E_mean"}  # of a split, with the mean of the same curve
GRADIENT = ("G_MAE", "G_corr")  # of models that predict gradients
LOWER_IS_BETTER = ("HCE", "MAE", "MSE", "G_MAE")
BOUNDARY = 0.02  # width of boundary IoU's band as a share of the diagonal (Cheng et al. 2021)
BANDS = 5  # radii of mean boundary accuracy (Cheng et al. 2020)
BETA = 0.3  # beta^2 of the F-measure (Achanta et al. 2009)
RELAX = 5  # pixels of tolerance in HCE (Qin et al. 2022)
EPS = float(np.spacing(1))  # what PySODMetrics adds to divisors

Map = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ImageScores:
    """Metrics of an image, and the curves over 256 thresholds that some are the means of."""

    values: dict[str, float]
    curves: dict[str, Map]  # by the metric, from the highest threshold down


@dataclass(frozen=True)
class _Pair:
    """A prediction and its mask, with what several metrics need."""

    prediction: Map  # (H, W), in [0, 1]
    soft: Map  # the mask, in [0, 1]
    truth: Mask

    @cached_property
    def found(self) -> Mask:
        """The predicted object."""
        return self.prediction > 0.5

    @cached_property
    def error(self) -> Map:
        """Prediction less mask."""
        return self.prediction - self.soft

    @cached_property
    def above(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels of the object, and of the ground, at or above 255/255, 254/255, ... 0."""
        levels = (self.prediction * 255).astype(np.uint8)
        inside = np.bincount(levels[self.truth], minlength=256)
        everywhere = np.bincount(levels.ravel(), minlength=256)
        return np.cumsum(inside[::-1]), np.cumsum((everywhere - inside)[::-1])


def image_metrics(
    prediction: Map,
    mask: Pixels,
    names: tuple[str, ...] = METRICS,
    variant: Variant = "plain",
) -> ImageScores:
    """The named metrics of one image; each is finite, on empty and full masks too.

    Args:
        prediction: (H, W), in [0, 1].
        mask: (H, W), uint8, soft edges allowed.
        names: which of METRICS to compute.
        variant: "published" stretches the prediction and cuts the mask above 128.
    """
    pair = _prepare(prediction, mask, variant)
    curves = {name: CURVES[name](pair) for name in names if name in CURVES}
    values = {
        name: curves[name].mean() if name in curves else COMPUTE[name](pair) for name in names
    }
    return ImageScores({name: float(value) for name, value in values.items()}, curves)


def mask_shape(mask: Pixels) -> dict[str, float]:
    """What a mask (H, W), uint8, is like: it does not depend on any prediction.

    area: share of the image that is object, in [0, 1]. outline: length of its contours, outer and
    inner, over the image's diagonal. components: number of its 8-connected parts, an int.
    """
    truth = _cut(mask).astype(np.uint8)
    contours, _ = cv2.findContours(truth, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    length = sum(cv2.arcLength(contour, closed=True) for contour in contours)
    return {
        "area": float(truth.mean()),
        "outline": float(length / np.hypot(*truth.shape)),
        "components": cv2.connectedComponents(truth, connectivity=8)[0] - 1,
    }


def iou(found: Mask, truth: Mask) -> float:
    """Intersection over union of two masks (H, W), bool; 1 where both are empty."""
    union = np.count_nonzero(found | truth)
    return np.count_nonzero(found & truth) / union if union else 1.0


def boundary(mask: Mask) -> Mask:
    """A mask's pixels within 2 % of the diagonal from its outline (boundary IoU, CVPR 2021)."""
    width = max(1, round(BOUNDARY * float(np.hypot(*mask.shape))))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    outline: Mask = mask & (core == 0)
    return outline


def boundary_accuracy(found: Mask, truth: Mask) -> float:
    r"""Mean boundary accuracy (mBA) of two masks (H, W), bool; in [0, 1].

    Mean over k = 0..4 of the share of right pixels in the band of truth's morphological gradient
    by a disc of radius r_k = 1 + trunc(k ((H + W) / 300 - 1) / 5), cut toward 0, so that all are 1
    where H + W < 675; as the official code has it (CascadePSP, CVPR 2020; the paper's largest
    radius is (H + W) / 300). The image's edge is no outline. A mask without one, empty or full,
    has all the image for its band.
    """
    widest = sum(truth.shape) / 300
    radii = [1 + int((widest - 1) / BANDS * k) for k in range(BANDS)]
    right = found == truth
    accuracy = {radius: _accuracy(right, truth, radius) for radius in sorted({*radii})}
    return sum(accuracy[radius] for radius in radii) / BANDS


def _accuracy(right: Mask, truth: Mask, radius: int) -> float:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.morphologyEx(truth.astype(np.uint8), cv2.MORPH_GRADIENT, disc) > 0
    return float(right[band].mean() if band.any() else right.mean())


def _cut(mask: Pixels) -> Mask:
    truth: Mask = mask > 127
    return truth


def _prepare(prediction: Map, mask: Pixels, variant: Variant) -> _Pair:
    if variant == "plain":
        return _Pair(prediction, mask.astype(np.float64) / 255, _cut(mask))
    from py_sod_metrics.utils import prepare_data

    stretched, truth = prepare_data(np.rint(255 * prediction).astype(np.uint8), mask)
    return _Pair(stretched, truth.astype(np.float64), truth)


def _f_curve(pair: _Pair) -> Map:
    """F-measure at 256 thresholds: FmeasureV2's, from counts that the E-measure shares."""
    import py_sod_metrics as sod

    hits, alarms = pair.above
    objects = np.count_nonzero(pair.truth)
    handler = sod.FmeasureHandler(with_dynamic=False, with_adaptive=False, beta=BETA)
    curve: Map = handler(hits, alarms, pair.truth.size - objects - alarms, objects - hits)
    return curve


def _e_curve(pair: _Pair) -> Map:
    """E-measure at 256 thresholds (Fan et al., IJCAI 2018), as PySODMetrics' Emeasure has it."""
    hits, alarms = pair.above
    size, objects, predicted = pair.truth.size, np.count_nonzero(pair.truth), hits + alarms
    if objects in (0, size):
        right: Map = (predicted if objects else size - predicted) / (size - 1 + EPS)
        return right
    p, t = predicted / size, objects / size
    misses = objects - hits
    total = np.zeros(256)
    for count, a, b in (
        (hits, 1 - p, 1 - t),
        (alarms, 1 - p, -t),
        (misses, -p, 1 - t),
        (size - predicted - misses, -p, -t),
    ):
        aligned = 2 * a * b / (a**2 + b**2 + EPS)
        total += count * (aligned + 1) ** 2 / 4
    return total / (size - 1 + EPS)


def _f_weighted(pair: _Pair) -> float:
    import py_sod_metrics as sod

    if not pair.truth.any():
        return 0.0
    return float(sod.WeightedFmeasure().cal_wfm(pair.prediction, pair.truth))


def _s(pair: _Pair) -> float:
    import py_sod_metrics as sod

    return float(sod.Smeasure().cal_sm(pair.prediction, pair.truth))


def _hce(pair: _Pair) -> float:
    """HCE of the part that has an object: thinning, most of its time, goes over every pixel."""
    import py_sod_metrics as sod

    found, truth = pair.found, pair.truth
    x, y, width, height = cv2.boundingRect((found | truth).astype(np.uint8))
    if not width:
        return 0.0
    margin = 2 * RELAX
    part = np.s_[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]
    measure = sod.HumanCorrectionEffortMeasure(relax=RELAX)
    return float(measure.cal_hce(found[part], truth[part]))


CURVES: dict[str, Callable[[_Pair], Map]] = {"E_mean": _e_curve, "F_mean": _f_curve}
COMPUTE: dict[str, Callable[[_Pair], float]] = {
    "F_weighted": _f_weighted,
    "S": _s,
    "IoU": lambda pair: iou(pair.found, pair.truth),
    "BIoU": lambda pair: iou(boundary(pair.found), boundary(pair.truth)),
    "mBA": lambda pair: boundary_accuracy(pair.found, pair.truth),
    "HCE": _hce,
    "MAE": lambda pair: float(np.abs(pair.error).mean()),
    "MSE": lambda pair: float(np.square(pair.error).mean()),
}
