"""Words found in probability maps: the core, its unclipping, its score, and what is refused."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pyclipper
import pytest
import shapely
from numpy.typing import NDArray

from experiments.data.outlines import Polygon
from experiments.data.text import LabelKnobs, Word, text_labels
from experiments.errors import UserError
from experiments.text.boxes import BoxKnobs, Form, detect

Map = NDArray[np.float32]
FORMS: tuple[Form, ...] = ("box", "polygon")
LOOSE = BoxKnobs(least_score=0, unclip=0, least_side=0)


def rectangle(centre: tuple[float, float], sides: tuple[float, float], turn: float = 0) -> Polygon:
    """Corners, clockwise; `turn` in radians."""
    u, v = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
    steps = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    return np.array([centre + s * sides[0] * u + t * sides[1] * v for s, t in steps])


def drawn(*outlines: Polygon, shape: tuple[int, int] = (128, 128)) -> Map:
    """A map that is 1 where a pixel's centre lies in an outline."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = [shapely.contains_xy(shapely.Polygon(one), x, y) for one in outlines]
    return np.any(inside, axis=0).astype(np.float32)


def right_unclip(width: float, height: float, shrink: float = 0.4) -> float:
    """The unclip with which a shrunk box of this size comes back."""
    distance = width * height * (1 - shrink**2) / (2 * (width + height))
    w, h = width - 2 * distance, height - 2 * distance
    return distance * 2 * (w + h) / (w * h)


def iou(a: Polygon, b: Polygon) -> float:
    one, other = shapely.Polygon(a), shapely.Polygon(b)
    return float(one.intersection(other).area / one.union(other).area)


def only(probability: Map, knobs: BoxKnobs) -> Polygon:
    found = detect(probability, knobs)
    assert len(found) == 1
    return found[0].polygon


def test_a_shrunk_box_comes_back_within_half_a_pixel() -> None:
    box = rectangle((64, 50), (100, 20))
    shrunk = text_labels([Word(box)], (100, 128), LabelKnobs())[0]
    assert shrunk.sum() == 86 * 6  # D = 7
    found = only(shrunk, BoxKnobs(unclip=right_unclip(100, 20)))
    assert np.abs(found - box).max() < 0.5


@pytest.mark.parametrize("turn", [0.1, 0.4, math.pi / 4, 1.2, -0.5])
@pytest.mark.parametrize(("form", "least"), [("box", 0.94), ("polygon", 0.9)])
def test_a_turned_shrunk_box_comes_back(turn: float, form: Form, least: float) -> None:
    box = rectangle((64, 64), (90, 24), turn)
    shrunk = text_labels([Word(box)], (128, 128), LabelKnobs())[0]
    assert iou(only(shrunk, BoxKnobs(unclip=right_unclip(90, 24), form=form)), box) > least


def test_the_size_of_a_core_is_right_on_average_at_every_angle() -> None:
    draw = np.random.default_rng(0)
    knobs = replace(LOOSE, least_side=1)
    error = []
    for turn in np.linspace(-math.pi / 2, math.pi / 2, 40):
        core = rectangle((64 + draw.random(), 64 + draw.random()), (40, 8), turn)
        area = shapely.Polygon(only(drawn(core), knobs)).area
        error.append(area / (40 * 8) - 1)
    assert abs(np.mean(error)) < 0.02  # half a pixel more on each side would be + .15


def test_the_published_unclip_gives_wide_words_too_low_a_box() -> None:
    found = []
    for width in (20, 60, 100):
        box = rectangle((64, 50), (width, 20))
        shrunk = text_labels([Word(box)], (100, 128), LabelKnobs())[0]
        found.append(iou(only(shrunk, BoxKnobs(least_side=1)), box))
    assert found[0] > 0.9 > found[1] > 0.75 > found[2] > 0.6


@pytest.mark.parametrize("form", FORMS)
def test_a_region_grows_as_pyclipper_grows_it(form: Form) -> None:
    core = np.array([[30, 60], [90, 60], [90, 70], [30, 70]], np.float64)
    distance = 1.5 * (60 * 10) / (2 * (60 + 10))
    offset = pyclipper.PyclipperOffset(arc_tolerance=1e2)
    offset.AddPath(
        (core * 2**16).astype(int).tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON
    )
    grown = np.array(offset.Execute(distance * 2**16)[0]) / 2**16
    if form == "box":
        grown = cv2.boxPoints(cv2.minAreaRect(grown.astype(np.float32))).astype(np.float64)
    assert iou(only(drawn(core), BoxKnobs(form=form)), grown) > 0.98


@pytest.mark.parametrize("turn", np.linspace(-3, 3, 13))
def test_a_box_is_clockwise_from_the_top_left(turn: float) -> None:
    a, b, c, d = only(drawn(rectangle((64, 64), (70, 20), turn)), BoxKnobs())
    assert np.cross(np.append(b - a, 0), np.append(c - b, 0))[2] > 0  # y points downwards
    left = sorted((a, b, c, d), key=lambda point: point[0])[:2]
    assert a[1] == min(point[1] for point in left)


@pytest.mark.parametrize("form", FORMS)
def test_a_hole_is_filled_and_no_word_but_a_region_in_it_is_one(form: Form) -> None:
    ring = drawn(rectangle((64, 64), (100, 100))) - drawn(rectangle((64, 64), (80, 80)))
    found = detect(ring + drawn(rectangle((64, 64), (30, 30))), replace(LOOSE, form=form))
    areas = sorted(shapely.Polygon(one.polygon).area for one in found)
    assert areas == pytest.approx([900, 10000], rel=0.02)


def test_the_score_is_the_mean_inside_the_core() -> None:
    core = np.zeros((64, 64), np.float32)
    core[20:30, 10:50] = 0.5
    core[20:30, 30:50] = 1
    core[:, 60:] = 0.2  # below the cut
    for form in FORMS:
        (found,) = detect(core, BoxKnobs(form=form))
        assert found.score == pytest.approx(0.75)
    assert detect(core, BoxKnobs(least_score=0.75))
    assert not detect(core, BoxKnobs(least_score=0.76))


def test_detections_come_by_falling_score_and_a_higher_least_score_only_drops_some() -> None:
    draw = np.random.default_rng(1)
    rough = cv2.GaussianBlur(draw.random((96, 160)).astype(np.float32), (0, 0), 2)
    rough = (rough - rough.min()) / np.ptp(rough)
    everything = detect(rough, BoxKnobs(cut=0.5, least_score=0))
    scores = [one.score for one in everything]
    assert len(scores) > 10
    assert scores == sorted(scores, reverse=True)
    some = detect(rough, BoxKnobs(cut=0.5, least_score=scores[4]))
    assert [one.score for one in some] == scores[:5]
    assert all(
        np.array_equal(a.polygon, b.polygon) for a, b in zip(some, everything[:5], strict=True)
    )


def test_a_region_below_the_least_side_is_no_word() -> None:
    thin = drawn(rectangle((64, 64.5), (60, 3)))
    assert len(detect(thin, BoxKnobs(least_side=3))) == 1
    assert not detect(thin, BoxKnobs(least_side=3.1))


def test_the_largest_regions_are_kept() -> None:
    many = [rectangle((64, 12 + 24 * i), (10 + 20 * i, 10)) for i in range(5)]
    found = detect(drawn(*many), replace(LOOSE, most=2))
    areas = sorted(shapely.Polygon(one.polygon).area for one in found)
    assert areas == pytest.approx([700, 900], rel=0.02)


@pytest.mark.parametrize("form", FORMS)
def test_a_detection_stays_in_the_map(form: Form) -> None:
    for centre in ((20, 5), (108, 59)):
        corner = drawn(rectangle(centre, (60, 20)), shape=(64, 128))
        found = only(corner, BoxKnobs(form=form))
        assert (found.min(0) >= 0).all()
        assert (found.max(0) <= (128, 64)).all()
        assert 0 in found.min(0) or 128 in found.max(0)


def test_a_curved_word_keeps_its_shape_as_a_polygon() -> None:
    turns = np.linspace(math.pi, 2 * math.pi, 40)
    around = np.stack([np.cos(turns), np.sin(turns)], 1)
    arch = np.concatenate([64 + 50 * around, 64 + 40 * around[::-1]])
    grown = only(drawn(arch), BoxKnobs(form="polygon", unclip=0))
    assert iou(grown, arch) > 0.93
    assert iou(only(drawn(arch), replace(LOOSE, form="box")), arch) < 0.5
    assert len(grown) < 40


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("unclip", [0, 1.5])
def test_every_region_however_thin_or_crossed_becomes_a_polygon(form: Form, unclip: float) -> None:
    odd = np.zeros((64, 64), np.float32)
    odd[2, 2] = 1  # a pixel
    odd[6, 2:20] = 1  # a line
    odd[range(10, 20), range(10, 20)] = 1  # a diagonal
    odd[30:40, 5:15] = odd[30:40, 40:50] = odd[35, 15:40] = 1  # a dumbbell
    odd[50:60, 5:15] = odd[60:64, 15:25] = 1  # two squares that meet in a corner
    found = detect(odd, replace(LOOSE, form=form, unclip=unclip))
    assert len(found) == 5
    assert all(len(one.polygon) >= 4 for one in found)
    assert all(shapely.Polygon(one.polygon).area > 0.5 for one in found)
    if form == "polygon":
        for y, x in np.argwhere(odd):
            assert any(
                shapely.Polygon(one.polygon).distance(shapely.Point(x + 0.5, y + 0.5)) < 0.6
                for one in found
            )


def test_an_empty_map_has_no_words_and_a_full_one_has_one() -> None:
    for form in FORMS:
        assert detect(np.zeros((32, 48), np.float32), BoxKnobs(form=form)) == []
        full = only(np.ones((32, 48), np.float32), BoxKnobs(form=form))
        assert shapely.Polygon(full).area == pytest.approx(32 * 48)


def test_a_map_that_holds_no_probabilities_is_refused() -> None:
    spoilt = np.zeros((8, 8), np.float32)
    spoilt[3, 3] = np.nan
    with pytest.raises(UserError, match="diverged"):
        detect(spoilt)
    with pytest.raises(UserError, match="expected 0 to 1"):
        detect(np.full((8, 8), 255, np.float32))
    with pytest.raises(UserError, match=r"\(1, 8, 8\), expected \(H, W\)"):
        detect(np.zeros((1, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"cut": 0}, "cut is 0"),
        ({"cut": math.nan}, "cut is nan"),
        ({"least_score": 60}, "least_score is 60"),
        ({"unclip": -1}, "unclip is -1"),
        ({"least_side": math.inf}, "least_side is inf"),
        ({"most": 0}, "most is 0"),
        ({"form": "polygons"}, "did you mean 'polygon'"),
    ],
)
def test_a_knob_out_of_its_range_is_refused(knobs: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BoxKnobs(**knobs)  # type: ignore[arg-type]
