"""The four label maps of words: their laws."""

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data.outlines import Polygon
from experiments.data.text import LabelKnobs, Word, labels_of_mask, shrink_at, text_labels
from experiments.errors import UserError
from tests.experiments.shapes import KNOBS, SIZE, blob, box, labels, turned

coordinate = st.one_of(
    st.floats(-40, 130, width=32), st.sampled_from([-200.0, 0.0, 12.0, 12.5, 40.0, 70.0, 90.0])
)
polygons = st.lists(st.tuples(coordinate, coordinate), max_size=9).map(
    lambda points: np.array(points, np.float64).reshape(-1, 2)
)
anything = st.lists(st.builds(Word, polygons, st.booleans()), max_size=4)
ordinary = st.lists(st.builds(blob, st.integers(0, 999)), min_size=1, max_size=3)


def test_a_box_of_100_by_20_has_a_depth_of_7_and_a_core_of_86_by_6() -> None:
    core, valid, near, taught = text_labels([Word(box(50, 40, 150, 60))], (100, 200))
    assert core.sum() == core[47:53, 57:143].sum() == 86 * 6
    assert core.sum() / (100 * 20) == pytest.approx(0.258)
    assert valid.all()
    assert taught[33:67, 50:150].all()
    assert not taught[:33].any()
    assert not taught[67:].any()
    heights = 1 - np.abs(np.arange(33, 47) + 0.5 - 40) / 7
    assert near[33:47, 100] == pytest.approx(0.3 + 0.4 * heights)
    assert near[47:53, 100] == pytest.approx(0.3)
    assert taught[33, 44] == 0, "corners are round"


@settings(max_examples=120)
@given(words=anything)
def test_no_polygon_raises_and_every_map_is_in_its_range(words: list[Word]) -> None:
    core, valid, near, taught = labels(*words)
    assert set(np.unique([core, valid, taught])) <= {0, 1}
    assert near.min() >= np.float32(0.3)
    assert near.max() <= np.float32(0.7)
    inside = np.zeros(SIZE, bool)
    for word in words:
        one = labels(replace(word, ignored=True))
        assert (valid[one[1] == 0] == 0).all() or not word.ignored
        inside |= one[1] == 0
    assert inside[core == 1].all(), "cores lie within words"
    assert inside[valid == 0].all(), "nothing else is ignored"
    assert taught[(core == 1) & (valid == 1)].all()
    assert not taught[valid == 0].any()


@settings(max_examples=30)
@given(words=anything, order=st.randoms())
def test_the_order_of_words_does_not_matter(words: list[Word], order: Random) -> None:
    mixed = list(words)
    order.shuffle(mixed)
    assert (labels(*words) == labels(*mixed)).all()


@settings(max_examples=15)
@given(words=ordinary, ignored=st.booleans())
def test_maps_move_with_flips_transposes_and_the_direction_of_the_outline(
    words: list[Word], ignored: bool
) -> None:
    words = [replace(words[0], ignored=ignored), *words[1:]]
    maps = labels(*words)

    def moved(change: Callable[[Polygon], Polygon]) -> list[Word]:
        return [Word(change(word.polygon), word.ignored) for word in words]

    found = [
        labels(*moved(lambda p: p * (-1, 1) + (SIZE[1], 0)))[:, :, ::-1],
        labels(*moved(lambda p: p * (1, -1) + (0, SIZE[0])))[:, ::-1],
        text_labels(moved(lambda p: p[:, ::-1]), SIZE[::-1]).transpose(0, 2, 1),
        labels(*moved(lambda p: p[::-1])),
        labels(*moved(lambda p: np.roll(p, 3, 0))),
    ]
    for other in found:
        assert (maps[[0, 1, 3]] == other[[0, 1, 3]]).all()
        assert np.abs(maps[2] - other[2]).max() < 1e-5


@settings(max_examples=10)
@given(words=ordinary)
def test_three_times_the_size_has_the_same_values_at_the_same_places(words: list[Word]) -> None:
    large = text_labels(
        [Word(3 * word.polygon) for word in words],
        (3 * SIZE[0], 3 * SIZE[1]),
        replace(KNOBS, least=3 * KNOBS.least),
    )
    assert np.abs(large[:, 1::3, 1::3] - labels(*words)).max() < 2e-5


def test_where_words_overlap_the_maximum_counts() -> None:
    words = Word(box(10, 10, 60, 40)), Word(box(40, 20, 85, 50))
    one, two = (labels(word) for word in words)
    assert (labels(*words)[[0, 2, 3]] == np.maximum(one, two)[[0, 2, 3]]).all()


def test_a_dumbbell_keeps_both_cores() -> None:
    left, right = shapely.box(5, 20, 25, 40), shapely.box(65, 20, 85, 40)
    area = shapely.union_all([left, right, shapely.box(20, 28, 70, 32)])
    core, valid, _, _ = labels(Word(shapely.get_coordinates(area)))
    assert cv2.connectedComponents(core.astype(np.uint8))[0] == 3, "two and the background"
    assert valid.all()


def test_a_crossing_loses_no_part() -> None:
    tie = Word(np.array([[5, 5], [85, 65], [85, 5], [5, 65]], np.float64))
    core, valid, _, taught = labels(tie)
    assert core[35, 15] == core[35, 75] == 1
    assert (core == core[:, ::-1]).all()
    angles = 4 * np.pi * np.arange(5) / 5
    star = Word(np.c_[45 + 34 * np.cos(angles), 35 + 34 * np.sin(angles)])
    assert labels(star)[0, 35, 45] == 1, "the middle, which the outline goes around twice"
    assert labels(replace(star, ignored=True))[1, 35, 45] == 0
    assert valid.all()
    assert taught[35, 45] == 1


def test_repeated_and_collinear_points_change_nothing() -> None:
    corners = box(20, 20, 70, 45)
    more = np.repeat(
        np.stack([corners, (corners + np.roll(corners, -1, 0)) / 2], 1).reshape(-1, 2), 3, 0
    )
    closed = np.concatenate([corners, corners[:1]])
    for polygon in (more, closed):
        assert np.abs(labels(Word(polygon)) - labels(Word(corners))).max() < 1e-6


@pytest.mark.parametrize(
    "polygon",
    [[], [[5, 5]], [[5, 5], [20, 30]], [[5, 5], [20, 20], [40, 40]], [[9, 9]] * 4,
     box(-30, 5, -5, 25), box(200, 5, 240, 25), box(-20, 5, 0, 25)],
    ids=["empty", "point", "line", "collinear", "one point", "left", "right", "touches"],
)  # fmt: skip
@pytest.mark.parametrize("ignored", [False, True])
def test_what_has_no_area_in_the_image_has_no_pixel(
    polygon: list[list[float]], ignored: bool
) -> None:
    word = Word(np.array(polygon, np.float64).reshape(-1, 2), ignored)
    assert (labels(word) == labels()).all()


def test_a_cut_word_is_what_of_it_is_seen() -> None:
    assert (labels(Word(box(-40, 10, 40, 40))) == labels(Word(box(0, 10, 40, 40)))).all()
    assert not labels(Word(box(-40, 10, 7, 40)))[1, 10:40, :7].any(), "7 px are too few"


def test_ignored_words_are_in_no_map_and_hide_what_is_near_them() -> None:
    word, beside = Word(box(10, 10, 60, 40)), Word(box(62, 10, 85, 40), ignored=True)
    alone, both = labels(word), labels(word, beside)
    hidden = np.zeros(SIZE, bool)
    hidden[10:40, 62:85] = True
    assert ((both[1] == 0) == hidden).all()
    assert (both[[0, 2]] == alone[[0, 2]]).all()
    assert (both[3] == np.where(hidden, 0, alone[3])).all()
    assert alone[3][hidden].any(), "the first word's reach goes into the second"


def test_the_least_side_is_that_of_the_slanted_rectangle() -> None:
    about = (45.0, 35.0)
    for height, counts in ((8.0, True), (7.9, False)):
        for degrees in (0, 30, 45, 90):
            core, valid, _, _ = labels(turned(box(15, 30, 75, 30 + height), degrees, about))
            assert core.any() == valid.all() == counts, (height, degrees)


def test_a_word_whose_core_has_no_pixel_is_ignored() -> None:
    core, valid, near, taught = labels(
        Word(box(10.4, 10.4, 11.6, 11.6)), knobs=replace(KNOBS, least=0)
    )
    assert not core.any()
    assert (valid == 0).sum() == valid[10:12, 10:12].size
    assert near.max() == near.min()
    assert not taught.any()


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([[1, 2], [np.nan, 4], [5, 6]], "word 1 has the polygon"),
        ([[1, 2], [np.inf, 4], [5, 6]], "label file"),
        ([[1, 2], [1e9, 4], [5, 6]], "1e\\+06"),
        ([1, 2, 3, 4], r"expected \(N, 2\)"),
        ([[1, 2, 3]] * 4, r"shape \(4, 3\)"),
    ],
)
def test_a_polygon_that_is_none_is_an_error(polygon: list[float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        labels(blob(0), Word(np.array(polygon)))


@pytest.mark.parametrize(
    "knobs",
    [{"shrink": 1.0}, {"shrink": 0.0}, {"shrink": math.nan}, {"least": -1.0}, {"least": math.inf},
     {"low": 0.7, "high": 0.3}, {"low": -0.1}, {"high": 1.1}, {"high": math.nan}],
    ids=str,
)  # fmt: skip
def test_knobs_outside_their_range_are_an_error(knobs: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(knobs))}=.*expected"):
        LabelKnobs(**knobs)


def test_no_size_and_no_mask_are_errors() -> None:
    with pytest.raises(UserError, match="two integers above 0"):
        text_labels([], (0, 5))
    with pytest.raises(UserError, match="uint8"):
        labels_of_mask(np.zeros((5, 5), bool))  # type: ignore[arg-type]


def test_the_shrink_ratio_grows_from_its_start_to_its_end_and_stays_below_1() -> None:
    assert [shrink_at(u) for u in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.4, 0.45, 0.5, 0.6])
    assert shrink_at(1.0) == 0.6
    assert shrink_at(1.0, end=0.999) < 1
    epoch, epochs = 123, 500
    assert shrink_at(epoch / epochs) == pytest.approx(0.4 + 0.2 * epoch / float(epochs))


@pytest.mark.parametrize(
    ("u", "start", "end"),
    [(1.1, 0.4, 0.6), (-0.1, 0.4, 0.6), (math.nan, 0.4, 0.6), (0.5, 0.0, 0.6), (0.5, 0.4, 1.0)],
)
def test_progress_and_ratios_that_cannot_be_are_errors(u: float, start: float, end: float) -> None:
    with pytest.raises(UserError, match=r"expected a shrink ratio|outside"):
        shrink_at(u, start, end)
