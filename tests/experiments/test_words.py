"""Images of words that are drawn at run time."""

from itertools import combinations

import numpy as np
import pytest
import shapely
from fontTools.ttLib import TTFont
from PIL import Image

from experiments.data.paint import LUMA, against, paint, project, seen, shift, tilted
from experiments.data.text import Word
from experiments.data.vocabulary import WORDS, draw_word
from experiments.data.words import FONTS, DrawnWords, font_files, text
from experiments.seeding import numpy_stream

NATIVE = (160, 160)
MANY = 300


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Word, ...]]:
    source = DrawnWords("train", NATIVE)
    return [source.words(i) for i in range(MANY)]


def counted(words: tuple[Word, ...]) -> list[Word]:
    return [word for word in words if not word.ignored]


def side(word: Word) -> float:
    points = word.polygon
    return float(np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).min())


@pytest.mark.parametrize("native", [(160, 160), (96, 200)])
def test_a_sample_depends_on_its_split_and_number_alone(native) -> None:
    image, words = DrawnWords("val", native).read(7)
    again = DrawnWords("val", native)
    again.read(3)
    same, same_words = again.read(7)
    assert image.shape == (*native, 3) == (*again.shape(7), 3)
    np.testing.assert_array_equal(image, same)
    for one, other, alone in zip(words, same_words, again.words(7), strict=True):
        np.testing.assert_array_equal(one.polygon, other.polygon)
        np.testing.assert_array_equal(one.polygon, alone.polygon)
        assert (
            (one.ignored, one.text) == (other.ignored, other.text) == (alone.ignored, alone.text)
        )


def test_samples_and_splits_differ() -> None:
    images = [DrawnWords(s, NATIVE).read(i)[0] for s in ("train", "test") for i in (0, 1)]
    for one, other in combinations(images, 2):
        assert (one != other).any()


def test_no_photograph_is_in_two_splits() -> None:
    used = [
        {p["key"] for p in DrawnWords(s, NATIVE).photographs} for s in ("train", "val", "test")
    ]
    assert all(used)
    assert len(set.union(*used)) == sum(map(len, used))


def test_words_lie_in_the_image_and_do_not_overlap(drawn) -> None:
    frame = shapely.box(-1e-6, -1e-6, NATIVE[1] + 1e-6, NATIVE[0] + 1e-6)
    for words in drawn:
        shapes = [shapely.Polygon(word.polygon) for word in words]
        assert all(shape.is_valid and frame.contains(shape) for shape in shapes)
        assert all(a.intersection(b).area < 1e-6 for a, b in combinations(shapes, 2))


def test_a_quarter_of_the_images_has_no_text(drawn) -> None:
    assert 0.18 < np.mean([not words for words in drawn]) < 0.34


def test_most_words_are_10_to_45_px_high_and_a_few_less_than_8(drawn) -> None:
    sides = np.array([side(word) for words in drawn for word in words])
    assert np.mean((sides > 10) & (sides < 45)) > 0.6
    assert 0.03 < np.mean(sides < 8) < 0.25


def test_words_too_small_or_blurred_to_read_are_ignored(drawn) -> None:
    words = [word for found in drawn for word in found]
    small = [word for word in words if side(word) < 5]
    assert small
    assert all(word.ignored and word.text == "###" for word in small)
    blurred = [word for word in words if word.ignored and side(word) >= 5]
    assert 0 < len(blurred) < 0.15 * len(words)
    assert all(word.text != "###" for word in words if not word.ignored)


def test_most_words_are_level_and_some_are_at_any_angle(drawn) -> None:
    along = np.array([w.polygon[1] - w.polygon[0] for words in drawn for w in words])
    angles = np.abs(np.degrees(np.arctan2(along[:, 1], along[:, 0])))
    assert np.mean(angles < 20) > 0.7
    assert (angles > 60).any()


def test_some_images_without_text_have_distractors_and_some_have_not() -> None:
    source = DrawnWords("train", NATIVE)
    blocks = [source.blocks(i) for i in range(60) if not source.words(i)]
    assert min(map(len, blocks)) == 0
    assert max(map(len, blocks)) >= 2
    assert not any(block.words for found in blocks for block in found)


def test_distractors_are_painted() -> None:
    source, rng = DrawnWords("train", NATIVE), numpy_stream(0, "a test of painting")
    for block in (block for i in range(12) for block in source.blocks(i) if not block.words):
        canvas = Image.new("RGB", NATIVE, (90, 120, 110))
        paint(canvas, block.ink.image, block.plane, rng)
        assert len(np.unique(np.array(canvas))) > 3


def test_a_polygon_is_tight_around_its_words_ink() -> None:
    rng = numpy_stream(0, "a test of ink")
    for _ in range(20):
        ink = text(rng, 24, NATIVE)
        plane = shift(80, 80) @ tilted(rng, ink.image.size)
        pixels = np.array(seen(ink.image, plane, (-40, -40, 200, 200)))
        rows, columns = np.nonzero(pixels > 40)
        centres = shapely.points(columns - 39.5, rows - 39.5)
        quads = [project(plane, box) for _, box in ink.words]
        near = [shapely.Polygon(quad).buffer(1) for quad in quads]
        assert shapely.contains(shapely.union_all(near), centres).all()
        for quad, area in zip(quads, near, strict=True):
            inside = centres[shapely.contains(area, centres)]
            for edge in zip(quad, np.roll(quad, -1, axis=0), strict=True):
                assert shapely.distance(shapely.LineString(edge), inside).min() < 2


def test_text_never_begins_wider_than_the_image() -> None:
    rng = numpy_stream(0, "a test of widths")
    assert max(text(rng, 60, NATIVE).image.width for _ in range(40)) < NATIVE[1]


def test_every_font_has_every_letter_and_draws_it_alike_everywhere() -> None:
    """Basic layout, and the files that matplotlib ships."""
    assert len({file.name for file in font_files()}) == len(FONTS)
    assert all(file.is_file() for file in font_files())
    letters = {c for word in WORDS for c in word + word.upper()}
    rng = numpy_stream(0, "a test of numbers")
    letters |= {c for _ in range(500) for c in draw_word(rng)}
    for file in font_files():
        assert letters <= set(map(chr, TTFont(file).getBestCmap()))


def test_ink_is_lighter_or_darker_than_its_ground_sometimes_by_little() -> None:
    rng = numpy_stream(0, "a test of contrast")
    grounds = rng.uniform(0, 255, (300, 3))
    contrast = np.array([abs((against(rng, ground) - ground) @ LUMA) for ground in grounds])
    assert contrast.min() > 34
    assert 0.1 < np.mean(contrast < 62) < 0.4
