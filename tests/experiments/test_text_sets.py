"""A text set: its images, digest and counts, what is wrong with it, and what `check` tells."""

import numpy as np
import pytest
from PIL import Image

from experiments.data import Counts
from experiments.data.__main__ import main
from experiments.errors import UserError
from tests.experiments.text_folders import QUAD, both, fill, load


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


def test_annotations_that_a_folder_s_name_gives_another_meaning_are_other_data(tmp_path) -> None:
    found = {}
    for name in ("a", "b", "TD500"):
        for split in ("train", "test"):
            images, texts = f"{split}_images", f"{split}_gts"
            fill(tmp_path / name, images, texts, line=f"{QUAD},1", stems="abcdefghijklmn")
        found[name] = load(tmp_path / name)[2]
    ignored = {name: split.source.words(0)[0].ignored for name, split in found.items()}
    assert ignored == {"a": False, "b": False, "TD500": True}
    assert found["a"].digest == found["b"].digest != found["TD500"].digest


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
