"""Metrics: the library's own numbers, and hand-computed ones where they are ours."""

import numpy as np
import py_sod_metrics as sod
import pytest

from experiments.metrics import METRICS, boundary, image_metrics, iou


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 255
    return np.clip(mask / 255 * 0.7 + rng.random(mask.shape) * 0.3, 0, 1), mask


def test_every_metric_of_a_perfect_prediction_is_at_its_best(pair) -> None:
    mask = pair[1]
    found = image_metrics(mask / 255.0, mask)
    assert found.keys() == set(METRICS)
    for name in ("F_weighted", "S", "IoU", "BIoU"):
        assert found[name] == pytest.approx(1, abs=1e-6)
    assert found["E_mean"] > 0.99  # the threshold 0 calls every pixel an object
    assert found["MAE"] == found["MSE"] == found["HCE"] == 0


def test_metrics_equal_the_library_without_its_stretching(pair) -> None:
    prediction, mask = pair
    found = image_metrics(prediction, mask)
    for name, measure, key in (
        ("F_weighted", sod.WeightedFmeasure(), "wfm"),
        ("S", sod.Smeasure(), "sm"),
        ("MAE", sod.MAE(), "mae"),
    ):
        measure.step(prediction, mask > 127, normalize=False)
        assert found[name] == pytest.approx(measure.get_results()[key], abs=1e-9)
    emeasure = sod.Emeasure()
    emeasure.step(prediction, mask > 127, normalize=False)
    assert found["E_mean"] == pytest.approx(emeasure.get_results()["em"]["curve"].mean(), abs=1e-9)


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


def test_an_empty_mask_gives_finite_metrics() -> None:
    found = image_metrics(np.full((32, 32), 0.4), np.zeros((32, 32), np.uint8))
    assert all(np.isfinite(value) for value in found.values())
    assert found["F_weighted"] == 0
