"""Data sets: what a sample is, and what happens to folders that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data import batches, load, to_tensors
from experiments.data.augment import Augment
from experiments.data.samples import order
from experiments.data.sources import HERE, _index
from experiments.errors import UserError
from experiments.seeding import seed_torch


def write_pair(
    root: Path, name: str, size: tuple[int, int] = (20, 30), split: str = "test"
) -> None:
    rng = np.random.default_rng(0)
    for kind, shape in (("im", (*size, 3)), ("gt", size)):
        folder = root / split / kind
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")


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
            s: {e[key] for e in _index()[kind] if e["split"] == s}
            for s in ("train", "val", "test")
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


def test_every_epoch_shows_each_sample_once_and_a_resumed_order_is_the_same() -> None:
    whole = list(order(seed=3, length=12, batch=4, start=0, steps=7))
    assert sorted(i for batch in whole[:3] for i in batch) == list(range(12))
    assert whole[:3] != whole[3:6]
    assert list(order(seed=3, length=12, batch=4, start=5, steps=7)) == whole[5:]


def test_augmentation_moves_image_and_target_together() -> None:
    target = np.zeros((64, 64), np.uint8)
    target[10:40, 5:25] = 255
    images, targets = to_tensors([(np.repeat(target[..., None], 3, axis=2), target)] * 8)
    seed_torch(0, "augment")
    images, targets = Augment(("flip", "rotate", "crop"), (64, 64))(images, targets)
    assert (images[:, :1] - targets).abs().mean() < 0.02
    assert not bool((targets == targets[:1]).all())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "test/gt/b.png").unlink(), r"1 files have no mask in gt/, the first 'b'"),
        (lambda r: (r / "test/im/b.png").unlink(), r"1 files have no image in im/, the first 'b'"),
        (lambda r: (r / "test/im/a.png").write_bytes(b"no image"), r"cannot read .*im/a.png"),
        (
            lambda r: write_mask(r / "test/gt/a.png", (9, 9)),
            r"a.png is \(20, 30\).*mask is \(9, 9\)",
        ),
        (lambda r: write_mask(r / "test/im/a.jpg", (9, 9)), r"share the name 'a'"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_by_file_name(tmp_path, spoil, message) -> None:
    for name in "ab":
        write_pair(tmp_path, name)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        load(str(tmp_path), "test", size=(64, 64))[0]


def test_augmentation_keeps_masks_soft() -> None:
    target = np.zeros((64, 64), np.uint8)
    target[10:40, 5:25] = 255
    images, targets = to_tensors([(np.repeat(target[..., None], 3, axis=2), target)] * 8)
    seed_torch(0, "augment")
    _, targets = Augment(("crop",), (64, 64))(images, targets)
    assert bool(((targets > 0.05) & (targets < 0.95)).any())


def test_decoding_in_other_processes_gives_the_same_batches() -> None:
    samples = load("thin3d", "val", size=(64, 64), count=8)
    here, there = (
        list(batches(samples, seed=0, batch=4, start=0, steps=3, workers=n)) for n in (0, 2)
    )
    for one, two in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def write_mask(path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(np.zeros(size, np.uint8)).save(path)


def test_missing_data_are_named_with_the_likely_fix(tmp_path) -> None:
    with pytest.raises(UserError, match="did you mean 'embedded'"):
        load("embeded", "test", size=(64, 64))
    with pytest.raises(UserError, match="expected a folder with test/im"):
        load(str(tmp_path / "nowhere"), "test", size=(64, 64))
    with pytest.raises(UserError, match="no folder"):
        load(str(tmp_path), "test", size=(64, 64))
    write_pair(tmp_path, "a")
    with pytest.raises(UserError, match="has 1 samples, 5 were asked for"):
        load(str(tmp_path), "test", size=(64, 64), count=5)
    with pytest.raises(UserError, match="give a count"):
        load("embedded", "test", size=(64, 64))
