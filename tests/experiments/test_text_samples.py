"""Samples of words: fitted and moved with their image, and the same whoever draws them."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from experiments.config import LossConfig, RunConfig
from experiments.data.samples import Order
from experiments.data.text import LabelKnobs, text_labels
from experiments.text.samples import MOVES, Keys, Lessons, fit, moved, placed
from experiments.text.task import label_knobs, splits, stream
from tests.experiments.one_word import CPU, One, one


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (192, 300)])
def test_an_image_fits_into_its_sample_and_its_words_with_it(size) -> None:
    image, words = One().read(0)
    pixels, scale = fit(image, size)
    assert scale == min(size[0] / 96, size[1] / 128)
    there = placed(words, np.diag([scale, scale, 1]))[0].polygon
    assert covered(pixels, there) > 0.85  # OpenCV fills the edge too


@pytest.mark.parametrize("moves", [("flip",), ("rotate",), ("crop",), MOVES])
def test_words_move_with_their_image(moves) -> None:
    lessons = Lessons(one(), (128, 128), moves, LabelKnobs(), 0.4, seed=1, steps=100)
    shares = []
    for step in range(20):
        image, labels = lessons[0, step, 0]
        core = labels[0] > 0
        assert core.any()
        shares.append((image[core] > 128).mean())
    assert min(shares) > 0.97


def test_a_move_is_within_its_bounds() -> None:
    rng = np.random.default_rng(0)
    words = One().words(0)
    for _ in range(200):
        matrix = moved(rng, ("crop",), (96, 128), (64, 64), words)
        zoom = matrix[0, 0] / 0.5
        assert 0.5 <= zoom <= 3
        x, y = placed(words, matrix)[0].polygon.mean(0)
        assert -1e-9 <= x <= 64
        assert -1e-9 <= y <= 64
        turned = moved(rng, ("rotate",), (96, 128), (64, 64), words)
        assert abs(math.degrees(math.atan2(turned[1, 0], turned[0, 0]))) <= 10


def test_a_crop_looks_for_no_word_that_lies_outside_the_image() -> None:
    rng = np.random.default_rng(0)
    inside = One().words(0)[0]
    outside = replace(inside, polygon=np.add(inside.polygon, (128, 0)))
    for _ in range(50):
        assert np.isfinite(moved(rng, ("crop",), (96, 128), (64, 64), (outside,))).all()
        matrix = moved(rng, ("crop",), (96, 128), (64, 64), (outside, inside))
        x, y = placed([inside], matrix)[0].polygon.mean(0)
        assert -1e-9 <= min(x, y) <= max(x, y) <= 64 + 1e-9


def test_a_sample_is_a_function_of_seed_step_and_place() -> None:
    lessons = Lessons(one(), (64, 64), MOVES, LabelKnobs(), 0.4, seed=1, steps=9)
    again = Lessons(one(), (64, 64), MOVES, LabelKnobs(), 0.4, seed=1, steps=9)
    for key in ((0, 3, 1), (0, 3, 2), (0, 4, 1)):
        for ours, theirs in zip(lessons[key], again[key], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert (lessons[0, 3, 1][0] != lessons[0, 3, 2][0]).any()
    assert (lessons[0, 3, 1][0] != lessons[0, 4, 1][0]).any()


def test_ranks_draw_together_what_one_process_draws_alone() -> None:
    whole, *parts = (
        [*Keys(Order(0, 16, 4, 1, 4, share))] for share in (slice(0, 4), slice(0, 2), slice(2, 4))
    )
    assert whole == [a + b for a, b in zip(*parts, strict=True)]


def test_the_shrink_ratio_grows_over_training() -> None:
    fixed, end = label_knobs(LossConfig(labels={"shrink": 0.4}))
    assert (fixed.shrink, end) == (0.4, 0.4)
    knobs, end = label_knobs(LossConfig(labels={"shrink": 0.4, "shrink_end": 0.6}))
    lessons = Lessons(one(), (96, 128), (), knobs, end, seed=0, steps=11)
    cores = [lessons[0, step, 0][1][0].sum() for step in range(11)]
    assert cores == sorted(cores)
    assert cores[0] < cores[-1] < 60 * 20
    expected = text_labels(One().words(0), (96, 128), LabelKnobs(shrink=0.6))
    np.testing.assert_array_equal(lessons[0, 10, 0][1], expected)


def test_samples_made_by_other_processes_are_the_same(small: RunConfig) -> None:
    data = replace(small.data, augment=("flip", "rotate", "crop", "enhance", "pepper"))
    train_set, _, _ = splits(data)
    alone, helped = (
        list(stream(train_set, replace(small, data=replace(data, workers=n)), 2, CPU))
        for n in (0, 2)
    )
    assert len(alone) == len(helped) == small.train.steps - 2
    for ours, theirs in zip(alone, helped, strict=True):
        assert ours[0] == theirs[0]
        torch.testing.assert_close(ours[1:], theirs[1:], rtol=0, atol=0)


def covered(pixels: np.ndarray, polygon: np.ndarray) -> float:
    """Share of white in a polygon."""
    inside = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint((polygon - 0.5) * 16).astype(np.int32)], (1,), shift=4)
    return float((pixels[inside > 0] > 128).mean())
