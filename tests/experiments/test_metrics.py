"""Metrics: the library's own numbers, and hand-computed ones where they are ours."""

import cv2
import numpy as np
import py_sod_metrics as sod
import pytest
from scipy import ndimage

from experiments.metrics import (
    COMPUTE,
    CURVES,
    METRICS,
    boundary,
    boundary_accuracy,
    image_metrics,
    iou,
    mask_shape,
)

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def pair() -> Pair:
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 255
    return np.clip(mask / 255 * 0.7 + rng.random(mask.shape) * 0.3, 0, 1), mask


def blobs(seed: int, shape: tuple[int, int] = (70, 90)) -> Pair:
    """A soft mask of smooth shapes, some at the image's edge, and a prediction that errs."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 5, mode="wrap")
    wrong = field + ndimage.gaussian_filter(rng.standard_normal(shape), 3) * 0.5
    soft, found = (1 / (1 + np.exp(-60 * (x - 0.02))) for x in (field, wrong))
    return np.clip(0.05 + 0.8 * found, 0, 1), np.rint(255 * soft).astype(np.uint8)


def library(prediction: np.ndarray, truth: np.ndarray, *, normalize: bool) -> dict[str, float]:
    """Every metric that PySODMetrics has, each by an object and a preparation of its own."""
    handler = sod.FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)
    measures = {
        "F_weighted": (sod.WeightedFmeasure(), lambda r: r["wfm"]),
        "S": (sod.Smeasure(), lambda r: r["sm"]),
        "E_mean": (sod.Emeasure(), lambda r: r["em"]["curve"].mean()),
        "F_mean": (sod.FmeasureV2({"fm": handler}), lambda r: r["fm"]["dynamic"].mean()),
        "HCE": (sod.HumanCorrectionEffortMeasure(), lambda r: r["hce"]),
        "MAE": (sod.MAE(), lambda r: r["mae"]),
    }
    for measure, _ in measures.values():
        measure.step(prediction, truth, normalize=normalize)
    return {name: value(measure.get_results()) for name, (measure, value) in measures.items()}


def test_every_metric_of_a_perfect_prediction_is_at_its_best(pair) -> None:
    mask = pair[1]
    found = image_metrics(mask / 255.0, mask).values
    assert found.keys() == set(METRICS)
    for name in ("F_weighted", "S", "IoU", "BIoU", "mBA"):
        assert found[name] == pytest.approx(1, abs=1e-6)
    assert found["E_mean"] > 0.99  # the threshold 0 calls every pixel an object
    assert found["MAE"] == found["MSE"] == found["HCE"] == 0


@pytest.mark.parametrize("seed", range(6))
def test_metrics_equal_the_library_without_its_stretching(seed) -> None:
    prediction, mask = blobs(seed)
    mask = np.where(mask > 127, 255, 0).astype(np.uint8)  # the library has no soft masks
    expected = library(prediction, mask > 127, normalize=False)
    found = image_metrics(prediction, mask).values
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_hce_of_an_object_in_a_large_image_equals_the_library(seed) -> None:
    """It is computed on the part with the object, here a third of the image at its lower edge."""
    place = ((90, 0), (40, 70))
    prediction, mask = (np.pad(x, place) for x in blobs(seed, (60, 60)))
    expected = library(prediction, mask > 127, normalize=False)["HCE"]
    assert image_metrics(prediction, mask, ("HCE",)).values["HCE"] == expected > 5


@pytest.mark.parametrize("seed", range(3))
def test_the_published_variant_equals_the_library_with_its_stretching(seed) -> None:
    prediction, mask = blobs(seed)
    expected = library(np.rint(255 * prediction).astype(np.uint8), mask, normalize=True)
    found = image_metrics(prediction, mask, variant="published").values
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    plain = image_metrics(prediction, mask).values
    assert all(abs(found[name] - plain[name]) > 1e-4 for name in ("F_weighted", "S", "MAE"))


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("variant", ["plain", "published"])
def test_a_mask_without_an_outline_gives_the_library_s_numbers_and_finite_ones(
    fill, variant
) -> None:
    mask = np.full((32, 40), fill, np.uint8)
    prediction = np.rint(255 * np.random.default_rng(0).random(mask.shape)) / 255
    found = image_metrics(prediction, mask, variant=variant).values
    assert all(np.isfinite(value) for value in found.values())
    as_bytes = np.rint(255 * prediction).astype(np.uint8)
    given = (as_bytes, mask) if variant == "published" else (prediction, mask > 127)
    expected = library(*given, normalize=variant == "published")
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_each_metric_is_asked_for_by_itself(pair) -> None:
    assert set(COMPUTE) | set(CURVES) == set(METRICS)
    whole = image_metrics(*pair)
    for name in METRICS:
        alone = image_metrics(*pair, (name,))
        assert alone.values == {name: whole.values[name]}
        assert alone.curves.keys() == {name} & set(CURVES)


def test_iou_by_hand() -> None:
    found, truth = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    found[:2], truth[1:3] = True, True
    assert iou(found, truth) == pytest.approx(4 / 12)
    assert iou(found & False, truth & False) == 1.0


def test_the_boundary_is_the_band_inside_the_outline() -> None:
    mask = np.zeros((60, 80), bool)  # diagonal 100: a band of 2 pixels
    mask[10:30, 20:50] = True
    expected = mask.copy()
    expected[12:28, 22:48] = False
    assert np.array_equal(boundary(mask), expected)


def test_boundary_accuracy_is_the_mean_over_five_bands_on_both_sides_of_the_outline() -> None:
    """(H + W) / 300 = 6, so the radii are 1, 2, 3, 4 and 5."""
    rng = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(rng.standard_normal((1000, 800)), 30) for _ in range(2)]
    truth = fields[0] > 0.01
    found = fields[0] + 0.2 * fields[1] > 0.01
    shares = []
    for radius in (1, 2, 3, 4, 5):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2) > 0
        grown = ndimage.binary_dilation(truth, disc)
        shrunk = ~ndimage.binary_dilation(~truth, disc)
        band = grown & ~shrunk
        shares.append((found == truth)[band].mean())
    assert boundary_accuracy(found, truth) == pytest.approx(np.mean(shares), abs=1e-12)
    assert 0.3 < np.mean(shares) < 0.95


def test_boundary_accuracy_sees_the_outline_alone() -> None:
    truth = np.zeros((60, 60), bool)
    truth[20:40, 20:40] = True
    hole, shifted = truth.copy(), np.roll(truth, 3, axis=1)
    hole[28:32, 28:32] = False
    assert boundary_accuracy(hole, truth) == 1 == boundary_accuracy(truth, truth)
    assert boundary_accuracy(~truth, truth) == 0
    assert boundary_accuracy(shifted, truth) < 0.8


def test_boundary_accuracy_of_a_mask_without_an_outline_is_that_of_all_pixels() -> None:
    found = np.zeros((10, 10), bool)
    found[:3] = True
    assert boundary_accuracy(found, np.zeros((10, 10), bool)) == pytest.approx(0.7)
    assert boundary_accuracy(found, np.ones((10, 10), bool)) == pytest.approx(0.3)


def test_a_mask_is_described_by_area_outline_and_components() -> None:
    mask = np.zeros((30, 40), np.uint8)  # diagonal 50
    mask[2:12, 2:22] = 255  # its outer contour: 2 (9 + 19)
    mask[12, 22] = 200  # touches by a corner: the same component
    mask[20:25, 30:35] = 128  # 4 * 4; .502 is above the cut
    mask[28, 2:9] = 127  # below it
    found = mask_shape(mask)
    assert found["area"] == pytest.approx((200 + 1 + 25) / 1200)
    assert found["components"] == 2
    outline = 2 * (9 + 19) + 2 * np.sqrt(2) + 16  # to the corner's pixel and back
    assert found["outline"] == pytest.approx(outline / 50)
    holed = mask.copy()
    holed[5:8, 5:8] = 0
    assert mask_shape(holed)["outline"] > found["outline"]
    assert mask_shape(mask * 0) == {"area": 0, "outline": 0, "components": 0}
