"""Text sets as people have them: which folders of images and annotations are found."""

import pytest

from experiments.data import DataConfig
from experiments.data.text_layouts import find
from experiments.data.text_sets import describe_text
from experiments.errors import UserError
from tests.experiments.text_folders import CORNERS, ICDAR, fill, load

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
