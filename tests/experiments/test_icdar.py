"""The ICDAR 2015 protocol: hand-computed cases, a retyping of it in loops, and the sweep."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import shapely

from experiments.data.outlines import Polygon
from experiments.data.text import Word
from experiments.errors import UserError
from experiments.text.boxes import Detection
from experiments.text.icdar import (
    CUTS,
    LEAST_SCORES,
    Best,
    Counts,
    Sweep,
    match,
    of_image,
    pooled,
)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def word(*sides: float, ignored: bool = False) -> Word:
    return Word(box(*sides), ignored=ignored)


def test_a_box_on_its_word_matches() -> None:
    assert match([box(0, 0, 40, 10)], [word(0, 0, 40, 10)]) == Counts(1, 1, 1)


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    assert match([box(0, 0, 20, 10)], [word(0, 0, 40, 10)]) == Counts(0, 1, 1)  # 200 / 400
    assert match([box(0, 0, 21, 10)], [word(0, 0, 40, 10)]) == Counts(1, 1, 1)
    assert match([box(10, 0, 40, 10)], [word(0, 0, 30, 10)]) == Counts(0, 1, 1)  # 200 / 400
    assert match([box(9, 0, 39, 10)], [word(0, 0, 30, 10)]) == Counts(1, 1, 1)  # 210 / 390


def test_of_two_detections_on_one_word_one_is_false() -> None:
    found = [box(0, 0, 36, 10), box(4, 0, 40, 10)]
    assert match(found, [word(0, 0, 40, 10)]) == Counts(1, 2, 1)


def test_halves_of_a_word_are_both_false() -> None:
    found = [box(0, 0, 20, 10), box(20, 0, 40, 10)]
    assert match(found, [word(0, 0, 40, 10)]) == Counts(0, 2, 1)


def test_one_detection_over_two_words_matches_none_of_like_size_and_one_much_larger() -> None:
    wide = [box(0, 0, 100, 10)]
    assert match(wide, [word(0, 0, 48, 10), word(52, 0, 100, 10)]) == Counts(0, 1, 2)
    assert match(wide, [word(0, 0, 20, 10), word(22, 0, 100, 10)]) == Counts(1, 1, 2)


def test_a_detection_matches_the_first_of_two_words_that_cover_each_other() -> None:
    words = [word(0, 0, 40, 10), word(1, 0, 41, 10)]
    assert match([box(1, 0, 41, 10)], words) == Counts(1, 1, 2)
    # The first word takes the first detection, which alone fits the second.
    found = [box(8, 0, 40, 10), box(0, 0, 26, 10)]
    words = [word(0, 0, 40, 10), word(20, 0, 40, 10)]
    assert match(found, words) == Counts(1, 2, 2)
    assert match(found[::-1], words) == Counts(2, 2, 2)


def test_a_detection_mostly_in_an_ignored_word_does_not_count() -> None:
    ignored = [word(0, 0, 100, 10, ignored=True)]
    assert match([box(90, 0, 109, 10)], ignored) == Counts(0, 0, 0)  # 100 of 190
    assert match([box(90, 0, 110, 10)], ignored) == Counts(0, 1, 0)  # exactly half
    # Two ignored words that hold a third each hold no half.
    pair = [word(0, 0, 10, 10, ignored=True), word(20, 0, 30, 10, ignored=True)]
    assert match([box(0, 0, 30, 10)], pair) == Counts(0, 1, 0)


def test_an_ignored_word_takes_the_detection_that_a_word_needs() -> None:
    words = [word(0, 0, 40, 10), word(0, 0, 40, 8, ignored=True)]
    assert match([box(0, 0, 40, 10)], words) == Counts(0, 0, 1)


def test_an_ignored_word_that_is_not_found_costs_nothing() -> None:
    words = [word(0, 0, 40, 10), word(0, 50, 40, 60, ignored=True)]
    assert match([box(0, 0, 40, 10)], words) == Counts(1, 1, 1)


def test_outlines_may_have_any_number_of_points_and_either_direction() -> None:
    turns = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    disc = np.stack([50 + 20 * np.cos(turns), 50 + 20 * np.sin(turns)], 1)
    triangle = np.array([[0, 0], [30, 0], [0, 30.0]])
    words = [Word(disc[::-1]), Word(triangle)]
    # A square around a disc: IoU pi / 4; around a triangle: exactly one half.
    assert match([box(30, 30, 70, 70), box(0, 0, 30, 30)], words) == Counts(1, 2, 2)


def test_an_outline_that_crosses_itself_counts_with_both_its_pieces() -> None:
    bow = np.array([[0, 0], [20, 20], [20, 0], [0, 20.0]])  # two triangles, 200 in all
    pieces = [np.array([[0, 0], [10, 10], [0, 20.0]]), np.array([[20, 0], [20, 20], [10, 10.0]])]
    assert match([bow], [Word(bow)]) == Counts(1, 1, 1)
    assert match([box(0, 0, 20, 19.9)], [Word(bow)]) == Counts(1, 1, 1)
    assert match(pieces, [Word(bow)]) == Counts(0, 2, 1)


def test_an_outline_without_area_matches_nothing() -> None:
    flat = np.array([[0, 0], [20, 0], [40, 0], [20, 0.0]])
    assert match([flat], [Word(flat)]) == Counts(0, 1, 1)
    assert match([flat], [Word(flat, ignored=True)]) == Counts(0, 1, 0)


def test_nothing_found_and_nothing_there() -> None:
    assert match([], [word(0, 0, 40, 10)]) == Counts(0, 0, 1)
    assert match([box(0, 0, 40, 10)], []) == Counts(0, 1, 0)
    assert match([], []) == Counts(0, 0, 0)


def test_an_outline_of_two_points_is_refused() -> None:
    with pytest.raises(UserError, match="2 points, expected 3 or more"):
        match([], [Word(np.zeros((2, 2)))])


def test_an_image_is_scored_as_the_protocol_has_it() -> None:
    assert of_image(Counts(2, 4, 3)) == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert of_image(Counts(0, 0, 3)) == 0
    assert of_image(Counts(0, 0, 0)) == 1
    assert of_image(Counts(0, 2, 0)) == 0


def test_counts_of_a_set_are_added_before_they_are_divided() -> None:
    counts = [Counts(1, 1, 1), Counts(1, 5, 9), Counts(0, 2, 0), Counts(0, 0, 0)]
    found = pooled(iter(counts))
    assert found["precision"] == 2 / 8
    assert found["recall"] == 2 / 10
    assert found["H_mean"] == pytest.approx(2 * 0.25 * 0.2 / 0.45)
    assert found["P_textfree"] == 1 / 2


def test_a_set_without_what_a_share_is_of_has_no_share() -> None:
    nothing = {"precision": 0, "recall": 0, "H_mean": 0}
    for counts in ([], [Counts(0, 0, 3)]):
        found = pooled(counts)
        assert math.isnan(found.pop("P_textfree"))
        assert found == nothing
    assert pooled([Counts(0, 3, 0)]) == {**nothing, "P_textfree": 0}


def random_case(draw: np.random.Generator) -> tuple[list[Polygon], list[Word]]:
    """Words, some ignored, and detections near them, more than one, and elsewhere."""

    def quad() -> Polygon:
        sides, turn = draw.uniform((15, 6), (50, 16)), draw.uniform(-0.5, 0.5)
        u = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        steps = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        quad: Polygon = draw.uniform(20, 90, 2) + (steps * sides) @ u
        return quad

    words = [Word(quad(), ignored=draw.random() < 0.3) for _ in range(draw.integers(0, 7))]
    near = [w.polygon + draw.normal(0, 2.5, (4, 2)) for w in words for _ in range(2)]
    found = [one for one in near if draw.random() < 0.7]
    found += [quad() for _ in range(draw.integers(0, 3))]
    return [found[i] for i in draw.permutation(len(found))], words


def as_published(detections: Sequence[Polygon], words: Sequence[Word]) -> Counts:
    """The protocol in loops."""
    truth = [shapely.make_valid(shapely.Polygon(w.polygon)) for w in words]
    found = [shapely.make_valid(shapely.Polygon(d)) for d in detections]
    covered = {
        j
        for j, one in enumerate(found)
        for i, w in enumerate(words)
        if w.ignored and truth[i].intersection(one).area / one.area > 0.5
    }
    matched: list[tuple[int, int]] = []
    for i, w in enumerate(words):
        for j, one in enumerate(found):
            taken = any(i == a or j == b for a, b in matched)
            if taken or w.ignored or j in covered:
                continue
            if truth[i].intersection(one).area / truth[i].union(one).area > 0.5:
                matched.append((i, j))
    counted = sum(not w.ignored for w in words)
    return Counts(len(matched), len(found) - len(covered), counted)


def test_random_images_are_counted_as_the_protocol_in_loops_counts_them() -> None:
    draw = np.random.default_rng(0)
    ambiguous = 0
    for _ in range(150):
        detections, words = random_case(draw)
        expected = as_published(detections, words)
        assert match(detections, words) == expected
        ambiguous += 0 < expected.matched < min(expected.detections, expected.words)
    assert ambiguous > 20


def images(count: int) -> Iterator[tuple[list[Word], dict[float, list[Detection]]]]:
    """Images whose detections at each cut have random scores."""
    draw = np.random.default_rng(1)
    for _ in range(count):
        polygons, words = random_case(draw)
        yield (
            words,
            {
                cut: [Detection(one, float(draw.random())) for one in polygons[: 2 + 2 * i]]
                for i, cut in enumerate(CUTS)
            },
        )


def test_the_best_thresholds_are_those_that_trying_each_finds() -> None:
    cases = list(images(30))
    sweep = Sweep()
    for words, found in cases:
        sweep.add(words, found)
    tried = {}
    for cut in CUTS:
        for least in LEAST_SCORES:
            kept = [
                match([d.polygon for d in found[cut] if d.score >= least], words)
                for words, found in cases
            ]
            tried[cut, least] = pooled(kept)["H_mean"]
    best = sweep.best()
    assert best.H_mean == tried[best.cut, best.least_score] == max(tried.values())
    assert 0 < best.H_mean < 1


def test_of_equal_thresholds_those_nearest_to_the_published_ones_are_best() -> None:
    assert Sweep().best() == Best(0.3, 0.6, 0.0)
    sweep = Sweep()
    # Scores of .4 are right and of .3 false, so that .35 and .4 are equally good.
    right, false = box(0, 0, 40, 10), box(0, 50, 40, 60)
    found = [Detection(right, 0.4), Detection(false, 0.3)]
    sweep.add([Word(right)], dict.fromkeys(CUTS, found))
    assert sweep.best() == Best(0.3, 0.4, 1.0)
    # At a cut of .3 the right one is missed: .2 and .4 are as near.
    sweep.add([Word(right)], {cut: found[cut == 0.3 :] for cut in CUTS})
    assert sweep.best() == Best(0.2, 0.4, 1.0)


def test_the_order_of_images_does_not_matter() -> None:
    cases = list(images(12))
    one, other = Sweep(), Sweep()
    for case in cases:
        one.add(*case)
    for case in reversed(cases):
        other.add(*case)
    assert one.best() == other.best()
