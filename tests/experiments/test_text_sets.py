"""Text sets as folders: layouts, annotation formats, splits, and what is wrong with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.data import Counts, DataConfig
from experiments.data.__main__ import main
from experiments.data.annotations import read_words
from experiments.data.text_layouts import find
from experiments.data.text_sets import TextSplit, describe_text, load_text
from experiments.errors import UserError

QUAD = "2,3,20,3,20,9,2,9"
CORNERS = [(2, 3), (20, 3), (20, 9), (2, 9)]
ICDAR: Callable[[str], str] = "gt_{}.txt".format


def fill(
    root: Path,
    images: str,
    texts: str,
    *,
    name: Callable[[str], str] = ICDAR,
    line: str = f"{QUAD},word",
    stems: str = "ab",
) -> Path:
    """A folder of images, no two alike, and a folder of their annotations."""
    for folder in (images, texts):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stem in stems:
        colour = tuple(np.random.default_rng([*f"{images}/{stem}".encode()]).integers(0, 256, 3))
        Image.new("RGB", (40, 30), tuple(map(int, colour))).save(root / images / f"{stem}.png")
        (root / texts / name(stem)).write_text(f"{line}\n", encoding="utf-8")
    return root


def both(root: Path, **knobs: object) -> Path:
    """Folders img and gts in train, val and test."""
    for split in ("train", "val", "test"):
        fill(root, f"{split}/img", f"{split}/gts", **knobs)
    return root


def load(name: Path | str, **knobs: object) -> tuple[TextSplit, TextSplit, TextSplit]:
    return load_text(DataConfig(name=str(name), **knobs))


def words_of(tmp_path: Path, content: str | bytes, name: str = "gt_a.txt") -> list[tuple]:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (found,) = read_words([file])
    return [([tuple(p) for p in w.polygon.tolist()], w.ignored, w.text) for w in found]


LAYOUTS = {
    "ICDAR 2015": [
        ("ch4_training_images", "ch4_training_localization_transcription_gt", ICDAR),
        ("ch4_test_images", "Challenge4_Test_Task1_GT", ICDAR),
    ],
    "ICDAR 2013": [
        ("Challenge2_Training_Task12_Images", "Challenge2_Training_Task1_GT", ICDAR),
        ("Challenge2_Test_Task12_Images", "Challenge2_Test_Task1_GT", ICDAR),
    ],
    "splits outside": [(f"{s}/im", f"{s}/gts", ICDAR) for s in ("train", "test")],
    "splits inside": [(f"images/{s}", f"labels/{s}", "{}.txt".format) for s in ("train", "test")],
    "Total-Text": [
        (f"Images/{s}", f"Groundtruth/Polygon/{s}", "poly_gt_{}.txt".format)
        for s in ("Train", "Test")
    ],
    "MhLiao/DB": [
        ("train_images", "train_gts", "{}.png.txt".format),
        ("test_images", "test_gts", ICDAR),
    ],
    "one folder": [(s, s, "{}.txt".format) for s in ("train", "test")],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_the_field_are_found(tmp_path, layout) -> None:
    """Beside drawings and masks of the images, and folders of other text."""
    for images, texts, name in LAYOUTS[layout]:
        fill(tmp_path, images, texts, name=name)
    fill(tmp_path, "__MACOSX/im", "__MACOSX/gts")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("about this set")
    (images, texts, _), (test_images, test_texts, _) = LAYOUTS[layout]
    found = {(f.images, f.masks) for f in find(tmp_path)}
    assert found == {
        (tmp_path / images, tmp_path / texts),
        (tmp_path / test_images, tmp_path / test_texts),
    }
    val = fill(tmp_path / "elsewhere", "val/im", "val/gts")  # two are too few to hold some out
    *_, test = load(f"train={tmp_path},val={val},test={tmp_path}")
    assert test.names == ["a", "b"]
    assert [w.polygon.tolist() for w in test.source.words(0)] == [[list(p) for p in CORNERS]]


def test_drawings_and_masks_of_the_images_are_no_images(tmp_path) -> None:
    fill(tmp_path, "test/im", "test/gts")
    fill(tmp_path, "test/drawn", "test/gts")
    assert [f.images.name for f in find(tmp_path)] == ["im"]


def test_of_a_list_file_only_the_listed_images_are_taken(tmp_path) -> None:
    for split in ("train", "test"):
        name = "{}.png.txt".format if split == "train" else ICDAR
        fill(tmp_path, f"{split}_images", f"{split}_gts", name=name, stems="abcdefghijklmn")
    (tmp_path / "test_list.txt").write_text("c.png\r\na.png\r\n\r\n")
    train, val, test = load(tmp_path)
    assert test.names == ["c", "a"]
    assert len(train) + len(val) == 14
    (tmp_path / "test_list.txt").write_text("c.png\nz.png\n")
    with pytest.raises(UserError, match=r"test_list\.txt names 'z\.png', which is not in"):
        load(tmp_path)


def test_a_tenth_of_train_is_held_out_without_val(tmp_path) -> None:
    for split in ("train", "test"):
        fill(tmp_path, f"{split}/im", f"{split}/gts", stems="abcdefghijklmnopqrst")
    train, val, test = load(tmp_path)
    assert not set(train.names) & set(val.names)
    assert len(train) + len(val) == len(test) == 20
    assert "a tenth of train" in describe_text(DataConfig(name=str(tmp_path)))


def test_folders_are_named_by_hand(tmp_path) -> None:
    for split in ("train", "val", "test"):
        fill(tmp_path, f"{split}/pictures", f"{split}/boxes")
        fill(tmp_path, f"{split}/pictures", f"{split}/boxes2")
    with pytest.raises(UserError, match=r"in both, .*boxes2 and .*boxes; say which"):
        load(tmp_path)
    train, *_ = load(tmp_path, image_dir="pictures", mask_dir="boxes")
    assert len(train) == 2


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


def test_an_image_without_annotation_and_an_annotation_without_image_are_refused(tmp_path) -> None:
    both(tmp_path, stems="abc")
    (tmp_path / "test/gts/gt_b.txt").unlink()
    with pytest.raises(UserError, match=r"b\.png has no annotation in .*gts"):
        load(tmp_path)
    (tmp_path / "test/img/b.png").unlink()
    assert load(tmp_path)[2].names == ["a", "c"]
    (tmp_path / "test/img/a.png").unlink()
    with pytest.raises(UserError, match=r"1 text files have no image in .*'gt_a\.txt'"):
        load(tmp_path)


def test_a_test_image_that_is_also_trained_on_is_refused(tmp_path) -> None:
    both(tmp_path)
    copied = (tmp_path / "train/img/a.png").read_bytes()
    (tmp_path / "test/img/b.png").write_bytes(copied)
    with pytest.raises(UserError, match=r"b\.png \(test\) is a copy of .*a\.png \(train\)"):
        load(tmp_path)


def test_a_folder_without_text_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(UserError, match="no text set or folder 'wrds': expected 'words'"):
        load("wrds")
    (tmp_path / "im").mkdir()
    with pytest.raises(UserError, match="holds no images with an annotation of the same name"):
        load(tmp_path)


def test_an_unreadable_image_is_named(tmp_path) -> None:
    both(tmp_path)
    (tmp_path / "train/img/a.png").write_bytes(b"no image")
    train, *_ = load(tmp_path)
    with pytest.raises(UserError, match=r"cannot read .*a\.png"):
        train.source.read(0)


def test_an_image_is_read_upright_at_its_own_resolution(tmp_path) -> None:
    both(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:5, :5] = 255
    Image.fromarray(pixels).save(tmp_path / "test/img/a.png", exif=exif)
    source = load(tmp_path)[2].source
    image, words = source.read(0)
    assert image.shape == (40, 30, 3) == (*source.shape(0), 3)
    assert image[0, -1, 0] == 255
    assert words == source.words(0)
    assert source.shape(1) == (30, 40)


def test_the_digest_follows_names_annotations_and_images(tmp_path) -> None:
    both(tmp_path)
    digests = {load(tmp_path)[2].digest}
    again = load(tmp_path)[2].digest
    assert {again} == digests
    (tmp_path / "test/gts/gt_a.txt").write_text(f"{QUAD},###\n")
    digests.add(load(tmp_path)[2].digest)
    Image.new("RGB", (40, 30), "white").save(tmp_path / "test/img/a.png")
    digests.add(load(tmp_path)[2].digest)
    for folder, old, new in (("img", "a.png", "c.png"), ("gts", "gt_a.txt", "gt_c.txt")):
        (tmp_path / "test" / folder / old).rename(tmp_path / "test" / folder / new)
    digests.add(load(tmp_path)[2].digest)
    assert len(digests) == 4


def test_counts_take_the_first_images_and_no_more_than_there_are(tmp_path) -> None:
    both(tmp_path)
    train, _, test = load(tmp_path, counts=Counts(train=1))
    assert (train.names, test.names) == (["a"], ["a", "b"])
    with pytest.raises(UserError, match=r"test of .* has 2 images, 3 were asked for"):
        load(tmp_path, counts=Counts(test=3))


def test_drawn_words_are_drawn_in_any_number_and_grouped_by_photograph() -> None:
    counts = Counts(train=90, val=2, test=3)
    train, val, test = load("words", counts=counts, size=(64, 96))
    assert (len(train), len(val), len(test)) == (90, 2, 3)
    assert train.source.read(89)[0].shape == (64, 96, 3)
    assert 1 < len(set(train.groups)) < 90
    assert not set(train.groups) & {*val.groups, *test.groups}
    again = load("words", counts=counts, size=(64, 96))
    assert [split.digest for split in again] == [train.digest, val.digest, test.digest]
    assert load("words", counts=counts)[0].digest != train.digest
    with pytest.raises(UserError, match="'words' draws its images: give a count above 0"):
        load("words", counts=Counts(train=1, val=1))


def test_check_counts_what_a_text_set_holds(tmp_path, capsys) -> None:
    both(tmp_path)
    lines = (f"{QUAD},small", f"{QUAD},###", "1,1,30,1,30,20,1,20,large", "1,1,9,1,5,1,3,1,flat",
             "90,1,99,1,99,9,90,9,away", "1,1,30,20,30,1,1,20,crossing")  # fmt: skip
    (tmp_path / "test/gts/gt_a.txt").write_text("\n".join(lines))
    (tmp_path / "test/gts/gt_b.txt").write_text("")
    assert main(["check", str(tmp_path), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert (
        "(test): 2 images, 6 words (1 ignored, 1 with a side below 8 px, 1 without area, "
        "1 crossing themselves, 1 outside the image), 1 image without a word that counts, "
        "40 x 30 to 40 x 30 px"
    ) in out
    assert "note: gt_a.txt: word 5 is outside the image" in out
    assert "as --data: train 2" in out


def test_check_names_every_problem_of_a_text_set(tmp_path, capsys) -> None:
    both(tmp_path, stems="abc")
    (tmp_path / "test/gts/gt_a.txt").write_text("1,2,3\nword\n")
    (tmp_path / "test/img/b.png").write_bytes(b"no image")
    (tmp_path / "train/gts/gt_c.txt").unlink()
    assert main(["check", str(tmp_path), "--workers", "1"]) == 1
    out = capsys.readouterr().out
    for told in (
        "gt_a.txt, line 1: 3 coord",
        "gt_a.txt, line 2: 0 coord",
        "cannot read",
        "c.png has no",
    ):
        assert told in out
    assert "4 problems" in out
    assert "(test): 2 images, 1 word (1 with a side below 8 px), 0 images without" in out
    assert "a word that counts (1 left out, whose annotation has a problem)" in out


def test_an_annotation_with_a_problem_makes_no_image_without_text(tmp_path, capsys) -> None:
    both(tmp_path, stems="abc")
    (tmp_path / "test/gts/gt_a.txt").write_text(f"{QUAD},word\nword\n")
    (tmp_path / "test/gts/gt_b.txt").unlink()
    (tmp_path / "test/gts/gt_b.txt").mkdir()
    (tmp_path / "test/gts/gt_c.txt").write_text("")
    assert main(["check", str(tmp_path), "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert (
        "(test): 3 images, 0 words, 1 image without a word that counts "
        "(2 left out, whose annotation has a problem)"
    ) in out
    for told in ("gt_a.txt, line 2: 0 coordinates", "gt_b.txt: Is a directory", "2 problems"):
        assert told in out
