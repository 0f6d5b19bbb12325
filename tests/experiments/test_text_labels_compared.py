"""Label maps against shapely and Clipper, against those of a mask, and the published code."""

from dataclasses import replace

import numpy as np
import pyclipper
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from experiments.data.text import Word, labels_of_mask, text_labels
from tests.benchmarks.text_labels import draw_words, published
from tests.experiments.shapes import KNOBS, blob, box, depth, holds, labels, to_outline


def clipped(polygon: NDArray[np.float64], by: float) -> shapely.Geometry:
    """The polygon moved by `by` with Clipper, at 1024 steps a pixel."""
    clipper = pyclipper.PyclipperOffset(2.0, 0.25 * 8)
    path = np.round(polygon * 1024).astype(np.int64).tolist()
    clipper.AddPath(path, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    pieces = [np.array(piece) / 1024 for piece in clipper.Execute(by * 1024)]
    return shapely.union_all([shapely.Polygon(piece) for piece in pieces])


@pytest.mark.parametrize("seed", range(8))
def test_a_pixel_belongs_to_a_polygon_if_its_centre_does(seed: int) -> None:
    word = blob(seed)
    assert (
        (labels(replace(word, ignored=True))[1] == 0) == holds(shapely.Polygon(word.polygon))
    ).all()


@pytest.mark.parametrize("seed", range(8))
def test_core_and_threshold_mask_are_clippers_offsets(seed: int) -> None:
    word = blob(seed)
    area = shapely.Polygon(word.polygon)
    core, _, _, taught = labels(word)
    for found, by in ((core, -depth(area)), (taught, depth(area))):
        other = clipped(word.polygon, by)
        clear = to_outline(other) > 0.02  # its arcs are polygons
        assert ((found == 1) == holds(other))[clear].all()


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_map_falls_with_the_distance_to_the_nearest_segment(seed: int) -> None:
    word = blob(seed)
    area = shapely.Polygon(word.polygon)
    near = labels(word, knobs=replace(KNOBS, low=0.1, high=0.9))[2]
    expected = 0.1 + 0.8 * np.maximum(0, 1 - to_outline(area) / depth(area))
    assert np.abs(near - expected).max() < 1e-5


def drawn(*words: Word) -> NDArray[np.uint8]:
    areas = shapely.union_all([shapely.Polygon(word.polygon) for word in words])
    return (255 * holds(areas)).astype(np.uint8)


def test_the_maps_of_a_box_are_those_of_its_mask() -> None:
    word = Word(box(10, 15, 80, 45))
    ours, theirs = labels(word), labels_of_mask(drawn(word))
    assert (ours[:2] == theirs[:2]).all()
    assert np.abs(ours[2] - theirs[2]).max() < 0.02
    assert (ours[3] != theirs[3]).sum() <= 8, "two at each corner"


@pytest.mark.parametrize(("points", "seed"), [(4, 0), (4, 1), (4, 2), (14, 3), (14, 4)])
def test_maps_of_a_polygon_and_of_its_mask_differ_by_a_pixel_at_most(
    points: int, seed: int
) -> None:
    """Of distance to the core's edge, to the threshold mask's, and in the threshold map."""
    word = Word(draw_words(1, 70, points, seed)[0].polygon + np.array([10, 0]))
    area = shapely.intersection(shapely.Polygon(word.polygon), shapely.box(0, 0, 90, 70))
    signed = np.where(holds(area), 1, -1) * to_outline(area)
    ours, theirs = labels(word), labels_of_mask(drawn(word))
    assert ours[0].any()
    assert np.abs(signed - depth(area))[ours[0] != theirs[0]].max(initial=0) < 0.8
    assert np.abs(signed + depth(area))[ours[3] != theirs[3]].max(initial=0) < 1.1
    assert np.abs(ours[2] - theirs[2]).max() < 0.4 * 1.1 / depth(area)


def test_a_mask_has_a_word_for_each_component_and_ignores_small_ones() -> None:
    large, small = Word(box(5, 5, 60, 30)), Word(box(20, 50, 80, 56))
    _, valid, near, taught = labels_of_mask(drawn(large, small))
    assert ((valid == 0) == (drawn(small) > 0)).all()
    assert not taught[45:].any()
    assert near[45:].max() == np.float32(0.3)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_no_mask_raises(seed: int, height: int, width: int, share: float) -> None:
    drawing = np.random.default_rng(seed).random((height, width)) < share
    knobs = replace(KNOBS, least=2)
    core, valid, near, taught = labels_of_mask(255 * drawing.astype(np.uint8), knobs)
    assert drawing[core == 1].all()
    assert drawing[valid == 0].all()
    assert np.float32(0.3) <= near.min() <= near.max() <= np.float32(0.7)
    assert (taught[drawing] == valid[drawing]).all()


@pytest.mark.parametrize("points", [4, 14])
@pytest.mark.parametrize("seed", range(4))
def test_on_ordinary_words_the_published_maps_differ_at_edges_alone(
    points: int, seed: int
) -> None:
    """It moves vertices to whole pixels, fills edges too, and takes pixel j to lie at x = j."""
    words, size = draw_words(1, 180, points, seed), (180, 180)
    area = shapely.Polygon(words[0].polygon)
    x, y = np.meshgrid(np.arange(180) + 0.5, np.arange(180) + 0.5)
    outward = shapely.distance(area.boundary, shapely.points(x, y))
    outward[shapely.contains_xy(area, x, y)] *= -1
    ours = text_labels(words, size)
    theirs = published([Word(word.polygon - 0.5) for word in words], size)
    assert (ours[1] == theirs[1]).all()
    assert np.abs(outward + depth(area))[ours[0] != theirs[0]].max() < 1.5
    assert np.abs(outward - depth(area))[ours[3] != theirs[3]].max() < 2.5
    gap = ours[2] - theirs[2]
    assert gap.min() > -1e-6, "it never finds a distance that is too small"
    assert gap.max() < {4: 0.03, 14: 0.1}[points]


def test_points_on_a_side_change_the_published_threshold_map_and_not_this_one() -> None:
    """Its distance is to the nearer end wherever it is beyond half the segment's length."""
    plain, size = Word(box(20.5, 20.5, 70.5, 50.5)), (70, 90)
    sides = np.linspace(20.5, 70.5, 15)
    dense = Word(np.array([(x, 20.5) for x in sides] + [(x, 50.5) for x in sides[::-1]]))
    ours = labels(plain)[2], labels(dense)[2]
    assert np.abs(ours[0] - ours[1]).max() < 1e-6
    theirs = [published([Word(word.polygon - 0.5)], size)[2] for word in (plain, dense)]
    assert np.abs(theirs[0] - ours[0])[:, 40:50].max() < 1e-6
    assert np.abs(theirs[1] - theirs[0])[:, 40:50].max() > 0.02
