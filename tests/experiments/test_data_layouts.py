"""Folders as people have them: which images, masks and splits are found in them."""

import os
import shutil
import zlib
from pathlib import Path

import pytest
from PIL import Image

from experiments.data import DataConfig, configure, describe, load_splits
from experiments.data.layouts import find
from experiments.data.splits import label, places
from experiments.errors import UserError

KNOWN = [  # as the archives unpack, or as the code that reads them expects
    ("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt"),
    ("DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask"),
    ("TrainDataset/Imgs", "TrainDataset/GT"),
    ("COD10K-v3/Train/Image", "COD10K-v3/Train/GT_Object"),
    ("HRSOD_release/HRSOD_train", "HRSOD_release/HRSOD_train_mask"),
    ("UHRSD_TR_2K/image", "UHRSD_TR_2K/mask"),
    ("P3M-10k/train/original_image", "P3M-10k/train/mask"),
    ("P3M-10k/train/image", "P3M-10k/train/mask"),
    ("AM-2k/train/original", "AM-2k/train/mask"),
    ("DUT-OMRON/DUT-OMRON-image", "DUT-OMRON/pixelwiseGT-new-PNG"),
    ("HKU-IS/imgs", "HKU-IS/gt"),
    ("ECSSD/images", "ECSSD/ground_truth_mask"),
    ("PASCAL-S/datasets/imgs/pascal", "PASCAL-S/datasets/masks/pascal"),
    ("ThinObject5K/images_train", "ThinObject5K/masks_train"),
    ("set/IMAGES", "set/Masks"),
]
BESIDE = (  # what lies next to images and masks, and is neither
    "P3M-10k/train/blurred_image",
    "P3M-10k/train/facemask",
    "COD10K-v3/Train/GT_Instance",
    "COD10K-v3/Train/GT_Edge",
    "UHRSD_TR_2K/edge",
    "__MACOSX/im",
    "__MACOSX/gt",
)


def fill(root: Path, *folders: str, names: str = "ab", ending: str = ".png") -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            colour = zlib.crc32(f"{folder}/{name}".encode()) & 0xFFFFFF  # no two alike
            Image.new("RGB", (8, 6), colour).save(root / folder / f"{name}{ending}")
    return root


def pairs(root: Path, *splits: str, names: str = "ab") -> Path:
    """Folders im and gt in each of `splits`."""
    return fill(root, *(f"{s}/{kind}" for s in splits for kind in ("im", "gt")), names=names)


@pytest.mark.parametrize(("images", "masks"), KNOWN)
def test_the_layouts_of_the_field_are_found(tmp_path, images, masks) -> None:
    fill(tmp_path, images, masks, *BESIDE)
    fill(tmp_path, images, masks)
    wanted = tmp_path / images, tmp_path / masks
    assert wanted in [(f.images, f.masks) for f in find(tmp_path / images.split("/")[0])]


def test_what_lies_beside_images_and_masks_is_left_alone(tmp_path) -> None:
    fill(tmp_path, *BESIDE, "P3M-10k/train/original_image", "P3M-10k/train/mask")
    assert [f.images.name for f in find(tmp_path)] == ["original_image"]


@pytest.mark.parametrize(
    ("folders", "train", "val", "test"),
    [
        (
            ["DIS-TR", "DIS-VD", "DIS-TE1", "DIS-TE2"],
            ["DIS-TR"],
            ["DIS-VD"],
            ["DIS-TE1", "DIS-TE2"],
        ),
        (["train", "val", "test"], ["data"], ["data"], ["data"]),
        (["TrainDataset", "TestDataset/CAMO", "TestDataset/NC4K"], ["data"], [], ["CAMO", "NC4K"]),
        (["TR-CAMO", "TE-CAMO", "CHAMELEON"], ["TR-CAMO"], [], ["CHAMELEON", "TE-CAMO"]),
        (["UHRSD_TR_2K", "UHRSD_TE_2K"], ["UHRSD_TR_2K"], [], ["UHRSD_TE_2K"]),
        (["Training", "Validation", "Testing"], ["data"], ["data"], ["data"]),
    ],
)
def test_folder_names_tell_the_split(tmp_path, folders, train, val, test) -> None:
    found = places(str(pairs(tmp_path / "data", *folders)))
    assert {split: [label(place) for place in there] for split, there in found.items()} == {
        "train": train,
        "val": val,
        "test": test,
    }


def test_duts_and_hrsod_have_the_split_in_the_names_of_image_and_mask_folders(tmp_path) -> None:
    duts = fill(tmp_path / "DUTS", *(f"DUTS-{s}/DUTS-{s}-{k}" for s in ("TR", "TE")
                                     for k in ("Image", "Mask")))  # fmt: skip
    hrsod = fill(tmp_path / "HRSOD", *(f"HRSOD_{s}{k}" for s in ("train", "test")
                                       for k in ("", "_mask")))  # fmt: skip
    for root in (duts, hrsod):
        found = places(str(root))
        assert [len(found[split]) for split in ("train", "val", "test")] == [1, 0, 1]


def test_splits_below_image_and_mask_folders_and_masks_of_all_in_one_folder(tmp_path) -> None:
    nested = tmp_path / "nested"
    fill(
        nested, *(f"{kind}/{s}" for kind in ("images", "masks") for s in ("train", "val", "test"))
    )
    assert [len(s) for s in load_splits(DataConfig(name=str(nested)))] == [2, 2, 2]
    camo = fill(tmp_path / "CAMO", "Images/Train", names="abcdefghijklmnopqrst", ending=".jpg")
    fill(camo, "Images/Test", names="xyz", ending=".JPG")
    fill(camo, "GT", names="abcdefghijklmnopqrstxyz")
    train, val, test = load_splits(DataConfig(name=str(camo)))
    assert len(train) + len(val) == 20
    assert len(test) == 3


def test_sets_are_joined_by_plus_with_names_that_stay_unique(tmp_path) -> None:
    root = pairs(tmp_path / "DIS5K", "DIS-TR", "DIS-VD", "DIS-TE1", "DIS-TE2")
    other = pairs(tmp_path / "other", "train", "test")
    name = f"train={root}/DIS-TR+{other},val={root}/DIS-VD,test={root}/DIS-TE1+{root}/DIS-TE2"
    train, val, test = load_splits(DataConfig(name=name))
    assert train.names == ["DIS-TR_a", "DIS-TR_b", "other_a", "other_b"]
    assert val.names == ["a", "b"]
    assert test.names == ["DIS-TE1_a", "DIS-TE1_b", "DIS-TE2_a", "DIS-TE2_b"]
    twice = (
        pairs(tmp_path / "x/same", "train", "test"),
        pairs(tmp_path / "y/same", "train", "test"),
    )
    train, _, _ = load_splits(DataConfig(name=f"train={twice[0]}+{twice[1]},val={other}/train,"
                                              f"test={other}/test"))  # fmt: skip
    assert len(set(train.names)) == 4
    joined = load_splits(DataConfig(name=f"{root}+{other}"))
    assert [len(s) for s in joined] == [4, 2, 6]


def test_without_val_a_tenth_of_train_is_held_out_whatever_else_is_there(tmp_path) -> None:
    few = [f"i{k}" for k in range(100)]
    root = pairs(tmp_path / "set", "test")
    for kind in ("im", "gt"):
        fill(root, f"train/{kind}", names=few)
    train, val, _ = load_splits(DataConfig(name=str(root)))
    assert 4 <= len(val) <= 18
    assert sorted(train.names + val.names) == sorted(few)
    for kind in ("im", "gt"):
        fill(root, f"train/{kind}", names=[f"j{k}" for k in range(50)])
    _, more, _ = load_splits(DataConfig(name=str(root)))
    assert set(val.names) <= set(more.names)
    assert "a tenth of train" in describe(DataConfig(name=str(root)))


def test_any_layout_works_with_image_dir_and_mask_dir(tmp_path) -> None:
    root = fill(tmp_path / "odd", *(f"{s}/{k}" for s in ("train", "val", "test")
                                    for k in ("photos", "labels/fine")))  # fmt: skip
    with pytest.raises(UserError, match=r"name yours with --image-dir"):
        load_splits(DataConfig(name=str(root)))
    data = configure(DataConfig(), str(root), "photos", "labels/fine")
    assert [len(s) for s in load_splits(data)] == [2, 2, 2]
    with pytest.raises(UserError, match="give both"):
        configure(DataConfig(), str(root), "photos", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{root}/one", r"has no train split .*say where each split is"),
        ("train={root}/one", "has no test split"),
        ("train={root}/one,val2={root}/one", r"'val2=.*' is not train="),
        ("train={root}/one,test={root}/one", r".png is in both, (train|val) and test"),
        ("train={root}/no,test={root}/one", r"no folder .*/no"),
        ("train={root}/one,test=", r"--data names no folder in '': is a variable empty"),
        ("{root}/one+", r"--data names no folder in '.*/one\+'"),
        ("{root}/two", r"no folder name tells which split this is: A, B"),
        ("embeded", "did you mean 'embedded'.*, and there is no folder /.*/embeded"),
        ("{root}/mixed", r"several folders that may be images or masks \(im, image, gt\)"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_way_to_say_it(tmp_path, name, message) -> None:
    pairs(tmp_path / "one", "test", names="abcdefghijklmnopqrstuvwxyz")
    pairs(tmp_path / "two", "A", "B")
    fill(tmp_path / "mixed", "train/im", "train/image", "train/gt")
    with pytest.raises(UserError, match=message):
        load_splits(DataConfig(name=name.format(root=tmp_path)))


@pytest.fixture
def trained(tmp_path) -> Path:
    """A set to train on, large enough that some of it is held out."""
    return pairs(tmp_path / "one", "train", names="abcdefghijklmnopqrstuvwxyz") / "train"


@pytest.mark.parametrize("spelling", ["relative", "link", "link to each file"])
def test_a_test_image_that_is_trained_on_is_refused_however_it_is_spelled(
    tmp_path, trained, monkeypatch, spelling
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.data.folders.SMALL", 0)
    other = tmp_path / "other"
    if spelling == "relative":
        other = Path("one/train")
    elif spelling == "link":
        other.symlink_to(trained)
    else:
        shutil.copytree(trained, other, copy_function=os.symlink)
    with pytest.raises(UserError, match=r".png is in both, (train|val) and test"):
        load_splits(DataConfig(name=f"train={trained},test={other}"))


def test_a_copy_of_a_training_image_is_no_test_image(tmp_path, trained) -> None:
    test = pairs(tmp_path / "two", "test") / "test"
    name = f"train={trained},test={test}"
    load_splits(DataConfig(name=name))
    shutil.copy(trained / "im/c.png", test / "im/b.png")
    with pytest.raises(
        UserError, match=r"im/b.png \(test\) is a copy of .*/im/c.png \((train|val)\)"
    ):
        load_splits(DataConfig(name=name))


def test_of_a_large_set_a_corrected_mask_changes_the_digest(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("experiments.data.sources.SMALL", 0)
    root = pairs(tmp_path / "set", "train", "val", "test")
    mask = root / "train/gt/a.png"
    mask.write_bytes(bytes(100))
    before = [s.digest for s in load_splits(DataConfig(name=str(root)))]
    mask.write_bytes(b"1" * 100)
    after = [s.digest for s in load_splits(DataConfig(name=str(root)))]
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_a_label_before_a_path_changes_nothing_but_the_name(tmp_path) -> None:
    root = pairs(tmp_path / "set", "train", "val", "test")
    plain, labelled = (load_splits(DataConfig(name=n)) for n in (str(root), f"DIS5K={root}"))
    assert [s.digest for s in plain] == [s.digest for s in labelled]


def test_where_data_lie_does_not_change_their_digest_and_what_is_in_them_does(tmp_path) -> None:
    here, there = (pairs(tmp_path / place / "set", "train", "val", "test") for place in "xy")
    digests = [[s.digest for s in load_splits(DataConfig(name=str(r)))] for r in (here, there)]
    assert digests[0] == digests[1]
    Image.new("L", (8, 6), 9).save(there / "train/gt/a.png")
    changed = [s.digest for s in load_splits(DataConfig(name=str(there)))]
    assert changed[0] != digests[0][0]
    assert changed[1:] == digests[0][1:]
