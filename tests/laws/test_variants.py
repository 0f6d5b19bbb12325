"""Knobs that change the formula keep the laws, but for those they are documented to break."""

from collections.abc import Mapping

import pytest
import torch

import losses
from losses.db import DB_FLAVOURS as FLAVOURS
from losses.laws import check, make_case
from losses.laws.table import laws_of
from losses.laws.tools import gradients

from .strategies import GRADCHECK_CASES, VARIANT_CASES, obey

Variant = tuple[str, Mapping[str, object], set[int]]
REPAIRED = {"gate": "pred", "squash": "abs"}
# Over the batch an image is not alone, and one without valid pixels has the others' value.
BATCH = {2, 3}
PIXEL: list[Variant] = [
    ("class_balanced_bce", {"pos_weight": 5.0}, {10}),
    ("focal", {"gamma": 0.5}, {10}),
    ("focal", {"gamma": 5.0, "alpha": 0.25}, {10}),
    ("progressive", {"mode": "reverse"}, set()),
    ("unet_bce", {"w0": 100.0, "sigma": 2.0}, {16}),
    ("contour", {"length": 0.0}, {10}),
]
OVERLAP: list[Variant] = [
    ("dice", {"denominator": "squared"}, set()),
    ("dice", {"denominator": "linear"}, {10}),
    ("dice", {"smooth": 0.0}, set()),
    ("dice", {"empty": "published"}, set()),
    ("dice", {"empty": "published", "smooth": 0.0}, {1, 8}),
    ("dice", {"level": "batch"}, BATCH),
    ("iou", {"denominator": "squared"}, set()),
    ("iou", {"denominator": "linear", "smooth": 0.0}, {10}),
    ("iou", {"empty": "published"}, set()),
    ("tversky", {"alpha": 0.3, "beta": 0.7}, set()),
    ("tversky", {"alpha": 0.3, "beta": 0.7, "denominator": "linear"}, {10}),
    ("tversky", {"empty": "published"}, set()),
    ("dice_bce", {"denominator": "linear"}, {10}),
    ("patch_iou", {"window": 5}, {4}),
    ("patch_iou", {"as_published": True}, {1, 3, 4, 8, 10}),
    ("lovasz_hinge", {"empty": "published"}, {8, 10}),
    ("structure", {"overlap": "l1", "empty": "background"}, set()),
    ("structure", {"window": "relative", "border": "exclude", "gamma": 50.0}, {10}),
    ("ssim", {"form": "basnet"}, {5, 6}),
    ("birefnet_pixel", {"mae": 100.0, "mse": 30.0}, {5, 6}),
    ("birefnet_pixel", {"structure": 5.0, "ssim": 0.0}, {10}),
]
TEXT: list[Variant] = [
    ("balanced_bce", {"level": "batch"}, {*BATCH, 10, 12}),
    ("balanced_bce", {"min_negatives": 0}, {1, 8, 10}),
    ("balanced_bce", {"form": "byte"}, {8, 10}),
    ("balanced_bce", {"ratio": 1.0}, {10}),
    ("balanced_l1", {"ratio": 1.0}, set()),
    ("masked_l1", {"normalise": "sum"}, set()),
    ("db", {"binary": "balanced_bce"}, {10}),
    ("db", FLAVOURS["paper"], {1, 8, 10}),
    ("db", FLAVOURS["PaddleOCR"], {1, *BATCH, 8, 10}),
]
GRADIENT: list[Variant] = [
    *(
        ("gradient_supervision", {"objective": objective, **REPAIRED}, set[int]())
        for objective in ("bce", "mae", "mse", "hybrid", "region_adaptive", "progressive")
    ),
    ("gradient_supervision", {"detach_target": False}, {5}),
    ("gradient_supervision", {"gate": "logits", "squash": "abs", "objective": "mae"}, set()),
    ("gradient_supervision", {"gate": "gt", "squash": "tanh", "source": "mask"}, set()),
    ("gradient_supervision", {"gate": "none", "squash": "abs", "map": "sobel"}, set()),
    (
        "gradient_supervision",
        {"objective": "region_adaptive", "region_from": "soft", "source": "mask", **REPAIRED},
        set(),
    ),
    ("gradient_supervision", {"objective": "none"}, {8, 10}),
]
# What has sums over the batch, beside the losses as they are.
LAYOUTS: list[tuple[str, Mapping[str, object]]] = [
    *((name, {}) for name in losses.names()),
    ("balanced_bce", {"level": "batch"}),
    ("balanced_l1", {"as_published": True}),
    ("patch_iou", {"as_published": True}),
    ("db", {"mining": "batch"}),
    *(("db", flavour) for flavour in FLAVOURS.values()),
]
VARIANTS = [*PIXEL, *OVERLAP, *TEXT, *GRADIENT]


def _label(variant: Variant) -> str:
    name, knobs, _ = variant
    return "-".join([name, *(f"{v}" for v in knobs.values())])


@pytest.mark.parametrize("variant", VARIANTS, ids=_label)
def test_a_variant_breaks_the_laws_it_is_documented_to_break_and_no_other(
    variant: Variant,
) -> None:
    name, knobs, broken = variant
    loss = losses.build(name, **knobs)
    # Limits and knobs (11) are of the loss, not of a setting; those without effect beside this
    # one have one beside others.
    for number in sorted((laws_of(loss) | {*loss.spec.breaks}) - broken - {11}):
        obey(loss, number, count=GRADCHECK_CASES // 4 if number == 7 else VARIANT_CASES)
    found = check(loss, laws=broken - {16}, cases=300)  # it stops at the first
    assert {v.law for v in found} == broken - {16}, [str(v) for v in found]


@pytest.mark.parametrize(("name", "knobs"), LAYOUTS)
def test_the_layout_of_the_maps_in_memory_changes_nothing(
    name: str, knobs: Mapping[str, object]
) -> None:
    loss = losses.build(name, **knobs)
    for mask in ("none", "some"):
        case = make_case(loss.kind, 1, size=(2, 13, 8), target="rare", mask=mask)
        (values, slopes), (turned, turned_slopes) = (
            gradients(loss, c) for c in (case, case.map(lambda x: x.mT.contiguous().mT))
        )
        torch.testing.assert_close(turned, values)
        for a, b in zip(turned_slopes, slopes, strict=True):
            torch.testing.assert_close(a, b)
