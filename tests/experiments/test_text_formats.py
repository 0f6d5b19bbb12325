"""Annotation formats: the words that are read from a file, or the line that is refused."""

from pathlib import Path

import pytest

from experiments.data.annotations import read_words
from experiments.errors import UserError
from tests.experiments.text_folders import CORNERS, QUAD


def words_of(tmp_path: Path, content: str | bytes, name: str = "gt_a.txt") -> list[tuple]:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (found,) = read_words([file])
    return [([tuple(p) for p in w.polygon.tolist()], w.ignored, w.text) for w in found]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_icdar_2015_with_any_line_end_and_with_or_without_a_byte_order_mark(
    tmp_path, mark, end
) -> None:
    lines = (f"{QUAD},Word", f"{QUAD},###", "", f'{QUAD},"a, b", c', " 2, 3,20,3,20.0,9,2,9,")
    content = mark + end.join(line.encode() for line in lines) + end
    assert words_of(tmp_path, content) == [
        (CORNERS, False, "Word"),
        (CORNERS, True, "###"),
        (CORNERS, False, '"a, b", c'),
        (CORNERS, False, ""),
    ]


def test_an_empty_annotation_is_an_image_without_text(tmp_path) -> None:
    for content in (b"", b"\xef\xbb\xbf", b"\r\n"):
        assert words_of(tmp_path, content) == []


def test_a_transcription_in_another_encoding_costs_that_alone(tmp_path) -> None:
    (word,) = words_of(tmp_path, QUAD.encode() + b",caf\xe9")
    assert word == (CORNERS, False, "caf\ufffd")


@pytest.mark.parametrize("text", ["12", "12,500", "1,000,000", "-5", "nan", "7,up"])
def test_a_number_after_a_quadrilateral_is_its_transcription(tmp_path, text) -> None:
    """In a set of quadrilaterals, of which a few lines may look like polygons."""
    lines = [f"{QUAD},word"] * 40 + [f"{QUAD},{text}"]
    assert words_of(tmp_path, "\n".join(lines))[-1] == (CORNERS, False, text)


def test_icdar_2013_has_rectangles_with_or_without_commas(tmp_path) -> None:
    lines = ('2, 3, 20, 9, "Word"', '2 3 20 9 "a b, c"', '2, 3, 20, 9, "1996"', "2,3,20,9,###")
    assert words_of(tmp_path, "\n".join(lines)) == [
        (CORNERS, False, "Word"),
        (CORNERS, False, "a b, c"),
        (CORNERS, False, "1996"),
        (CORNERS, True, "###"),
    ]


def test_total_text_records_may_go_on_in_the_next_line(tmp_path) -> None:
    content = (
        "x: [[ 2 20  20 2]], y: [[3 3 9 9]], ornt: [u'h'], transcriptions: [u'Word']\n"
        "x: [[2 11 20\n 20 11 2]], y: [[3 1 3 9 7\n 9]], ornt: [u'c'], "
        'transcriptions: [u"it\'s"]\n'
        "x: [[2 20 20 2]], y: [[3 3 9 9]], ornt: [u'#'], transcriptions: [u'#']\n"
        "x: [[2 20 20 2]], y: [[3 3 9 9]], ornt: [u'h'], transcriptions: [u'two', u'words']\n"
    )
    first, second, third, fourth = words_of(tmp_path, content)
    assert first == (CORNERS, False, "Word")
    assert second[0] == [(2, 3), (11, 1), (20, 3), (20, 9), (11, 7), (2, 9)]
    assert second[1:] == (False, "it's")
    assert third == (CORNERS, True, "#")
    assert fourth[:2] == (CORNERS, False)


def test_lines_with_more_corners_are_polygons(tmp_path) -> None:
    curved = "2,3,11,1,20,3,20,9,11,7,2,9"
    content = f"{curved},Word\n{QUAD},straight\n{curved},12\n{curved}\n{curved},###\n"
    points = [(2, 3), (11, 1), (20, 3), (20, 9), (11, 7), (2, 9)]
    assert words_of(tmp_path, content) == [
        (points, False, "Word"),
        (CORNERS, False, "straight"),
        (points, False, "12"),
        (points, False, ""),
        (points, True, "###"),
    ]


def test_difficult_lines_of_td500_are_ignored(tmp_path) -> None:
    content = f"{QUAD},0\n{QUAD},1\n"
    assert [w[1] for w in words_of(tmp_path, content, "TD500/gts/gt_a.txt")] == [False, True]
    assert [w[1] for w in words_of(tmp_path, content, "other/gts/gt_a.txt")] == [False, False]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("word", "0 coordinates"),
        ("2,3,20,word", "3 coordinates"),
        ("2,3,20,3,20,9,word", "6 coordinates"),
        ("2,3,20,3,20,9,2,word", "7 coordinates"),
        ("2,3,2e9x,3,20,9,2,9,word", "2 coordinates"),
        ("2,3,9999999,3,20,9,2,9,word", "a coordinate of 1e+07"),
        ("x: [[2 20]], y: [[3 9]], ornt: [u'h'], transcriptions: [u'a']", "2 corners"),
        ("x: [[2 20 20]], y: [[3 3]], ornt: [u'h'], transcriptions: [u'a']", "3 x and 2 y"),
        ("x: [[2 20 b]], y: [[3 3 9]], ornt: [u'h'], transcriptions: [u'a']", "not numbers"),
        ("x: 2 20, y: 3 3", "not a record of Total-Text"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(tmp_path, line, seen) -> None:
    with pytest.raises(UserError) as error:
        words_of(tmp_path, f"{QUAD},word\n\n{line}\n")
    assert "gt_a.txt, line 3: " in str(error.value)
    assert seen in str(error.value)
    assert "expected x1,y1,x2,y2,x3,y3,x4,y4,text" in str(error.value)
