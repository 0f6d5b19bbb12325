"""Segmentation losses: pure functions of tensors, a registry, and the laws they keep.

``build(name, **knobs)`` makes a loss of its registered name; ``names()`` lists them; the
functions themselves are public too. A new loss needs one file in this folder and the decorator
``register``; every module here is imported.
"""

import importlib
import pkgutil

from . import laws, schedules
from .birefnet import birefnet_pixel
from .bound import Loss, build
from .checks import check_batch
from .contract import Batch, Reduction, image_mean, image_sum, prepare, probability, reduce
from .edges import gradient_labels, gradient_map
from .gradient import excess_bce, gradient_supervision
from .knobs import Knob, choice, flag, integer, number
from .overlap import dice, iou
from .pixel import bce, hybrid, mae, mse, progressive, region_adaptive
from .registry import Limit, Spec, names, register, register_sum, spec, unregister
from .ssim import ssim
from .structure import boundary_region, boundary_weight, structure, weighted_bce, weighted_iou
from .sums import Term, WeightedSum, weighted_sum

__all__ = [
    "Batch",
    "Knob",
    "Limit",
    "Loss",
    "Reduction",
    "Spec",
    "Term",
    "WeightedSum",
    "bce",
    "birefnet_pixel",
    "boundary_region",
    "boundary_weight",
    "build",
    "check_batch",
    "choice",
    "dice",
    "excess_bce",
    "flag",
    "gradient_labels",
    "gradient_map",
    "gradient_supervision",
    "hybrid",
    "image_mean",
    "image_sum",
    "integer",
    "iou",
    "laws",
    "mae",
    "mse",
    "names",
    "number",
    "prepare",
    "probability",
    "progressive",
    "reduce",
    "region_adaptive",
    "register",
    "register_sum",
    "schedules",
    "spec",
    "ssim",
    "structure",
    "unregister",
    "weighted_bce",
    "weighted_iou",
    "weighted_sum",
]

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "__main__":
        importlib.import_module(f"{__name__}.{_module.name}")
