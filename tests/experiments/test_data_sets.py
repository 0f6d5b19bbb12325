"""Data sets: what a sample is, which sets are shipped, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from experiments.data import Counts, DataConfig, configure, load, to_tensors
from experiments.data.composed import index
from experiments.data.sources import HERE
from experiments.errors import UserError
from tests.experiments.pairs import write_mask, write_pair

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_a_composed_sample_depends_on_split_and_index_alone() -> None:
    few = load("embedded", "train", size=(64, 64), count=5)
    many = load("embedded", "train", size=(64, 64), count=50)
    assert all(np.array_equal(a, b) for a, b in zip(few[4], many[4], strict=True))
    assert not np.array_equal(few[0][0], few[1][0])


def test_composed_masks_are_soft_and_hold_an_object() -> None:
    samples = load("embedded", "test", size=(128, 128), count=23)
    masks = np.stack([samples[i][1] for i in range(23)])
    assert (masks.max(axis=(1, 2)) > 200).all()
    edge = (masks > 10) & (masks < 245)
    assert edge.any(axis=(1, 2)).mean() > 0.9


def test_splits_of_the_embedded_data_share_no_object_and_no_photograph() -> None:
    for kind, key in (("fg", "group"), ("bg", "key")):
        found = {
            s: {e[key] for e in index()[kind] if e["split"] == s} for s in ("train", "val", "test")
        }
        assert not found["train"] & found["val"]
        assert not found["train"] & found["test"]
        assert not found["val"] & found["test"]


def test_the_shipped_data_carry_their_licences() -> None:
    assert "CC0" in (HERE / "embedded" / "LICENSE.md").read_text(encoding="utf-8")
    assert "CC-BY-3.0" in (HERE / "thin3d" / "LICENSE.md").read_text(encoding="utf-8")
    assert (HERE / "thin3d" / "ATTRIBUTION.csv").stat().st_size > 1000


def test_thin3d_has_its_324_images_and_keeps_each_mask_at_its_own_resolution() -> None:
    splits = [load("thin3d", s, size=(128, 128)) for s in ("train", "val", "test")]
    assert [len(s) for s in splits] == [240, 38, 46]
    assert splits[2][0][0].shape == (128, 128, 3)
    assert max(splits[2].native_mask(0).shape) == 256


def test_tensors_are_scaled_to_0_1() -> None:
    image, target = to_tensors([load("thin3d", "val", size=(64, 96))[0]])
    assert image.shape == (1, 3, 64, 96)
    assert target.shape == (1, 1, 64, 96)
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert float(target.max()) > 0.9


def lead_nowhere(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parent / "a mount that is away")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "test/gt/b.png").unlink(), r"1 files have no mask, the first 'b.png'"),
        (lambda r: (r / "test/im/b.png").unlink(), r"1 files have no image, the first 'b.png'"),
        (lambda r: (r / "test/im/a.png").write_bytes(b"no image"), r"cannot read .*im/a.png"),
        (
            lambda r: write_mask(r / "test/gt/a.png", (9, 9)),
            r"a.png is \(20, 30\).*mask is \(9, 9\)",
        ),
        (lambda r: write_mask(r / "test/im/a.jpg", (9, 9)), r"share the name 'a'"),
        (lambda r: lead_nowhere(r / "test/im/a.png"), r"im/a.png is no file: .* a link to what"),
        (lambda r: lead_nowhere(r / "test/gt/a.png"), r"gt/a.png is no file: .* a link to what"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_by_file_name(tmp_path, spoil, message) -> None:
    for name in "ab":
        write_pair(tmp_path, name)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        load(str(tmp_path), "test", size=(64, 64))[0]


def test_missing_data_are_named_with_the_likely_fix(tmp_path) -> None:
    with pytest.raises(UserError, match="did you mean 'embedded'"):
        load("embeded", "test", size=(64, 64))
    with pytest.raises(UserError, match="expected a data set with folders of images and masks"):
        load(str(tmp_path / "nowhere"), "test", size=(64, 64))
    with pytest.raises(UserError, match=r"no pair of image and mask folders .*--image-dir"):
        load(str(tmp_path), "test", size=(64, 64))
    write_pair(tmp_path, "a")
    with pytest.raises(UserError, match="has 1 samples, 5 were asked for"):
        load(str(tmp_path), "test", size=(64, 64), count=5)
    with pytest.raises(UserError, match="give a count"):
        load("embedded", "test", size=(64, 64))


def test_a_setting_that_cannot_be_is_refused_before_a_run() -> None:
    with pytest.raises(UserError, match="did you mean 'flip'"):
        DataConfig(augment=("flipp",))
    with pytest.raises(UserError, match=r"data.size is \(0, 64\)"):
        DataConfig(size=(0, 64))
    with pytest.raises(UserError, match="0 or more"):
        DataConfig(workers=-1)


def test_other_data_are_taken_whole_and_embedded_data_as_the_grids_do() -> None:
    few = DataConfig(name="embedded", counts=Counts(train=8, val=4, test=4))
    assert configure(few, "embedded").counts == few.counts
    assert configure(few, "thin3d").counts == Counts()
    assert configure(DataConfig(name="thin3d"), "embedded").counts.train == 488
