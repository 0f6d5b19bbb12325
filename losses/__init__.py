"""Segmentation losses: pure functions of tensors, a registry, and the laws they keep.

``build(name, **knobs)`` makes a loss of its registered name; ``names()`` lists them; the
functions themselves are public too. A new loss needs one file in this folder and the decorator
``register``; every module here is imported.
"""

import importlib
import pkgutil

from . import laws, schedules
from .balanced import balanced_bce
from .birefnet import birefnet_pixel, class_ce
from .bound import Loss, build
from .boundary import boundary_region, boundary_weight
from .checks import check_batch
from .contour import contour
from .contract import Batch, Reduction, image_mean, image_sum, prepare, reduce
from .db import DB_FLAVOURS, db, step
from .edges import gradient_labels, gradient_map
from .gradient import excess_bce, gradient_supervision
from .imbalance import class_balanced_bce, focal
from .knobs import Knob, choice, flag, integer, number
from .lovasz import lovasz_hinge
from .maps import balanced_l1, masked_l1
from .overlap import dice, dice_bce, iou, tversky
from .patches import patch_iou
from .pixel import bce, hybrid, mae, mse, progressive, region_adaptive
from .registry import Limit, Spec, names, register, register_sum, spec, unregister
from .released import AS_RELEASED, RELEASED, fine_tuning
from .slopes import probability
from .ssim import ssim
from .structure import structure, weighted_bce, weighted_iou
from .sums import Term, WeightedSum, weighted_sum
from .unet import unet_bce, unet_weight

__all__ = [
    "AS_RELEASED",
    "DB_FLAVOURS",
    "RELEASED",
    "Batch",
    "Knob",
    "Limit",
    "Loss",
    "Reduction",
    "Spec",
    "Term",
    "WeightedSum",
    "balanced_bce",
    "balanced_l1",
    "bce",
    "birefnet_pixel",
    "boundary_region",
    "boundary_weight",
    "build",
    "check_batch",
    "choice",
    "class_balanced_bce",
    "class_ce",
    "contour",
    "db",
    "dice",
    "dice_bce",
    "excess_bce",
    "fine_tuning",
    "flag",
    "focal",
    "gradient_labels",
    "gradient_map",
    "gradient_supervision",
    "hybrid",
    "image_mean",
    "image_sum",
    "integer",
    "iou",
    "laws",
    "lovasz_hinge",
    "mae",
    "masked_l1",
    "mse",
    "names",
    "number",
    "patch_iou",
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
    "step",
    "structure",
    "tversky",
    "unet_bce",
    "unet_weight",
    "unregister",
    "weighted_bce",
    "weighted_iou",
    "weighted_sum",
]

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "__main__":
        importlib.import_module(f"{__name__}.{_module.name}")
