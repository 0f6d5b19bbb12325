"""The cache of decoded samples: it changes none of them, and keeps within its limits."""

import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from experiments.data import Counts, DataConfig, load, load_splits
from tests.experiments.pairs import drawn, equal, write_mask, write_pair

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_a_sample_from_the_cache_is_the_sample(cache_folder) -> None:
    decoded = load("thin3d", "val", size=(64, 64), count=8)
    first = replace(decoded, keep=0)
    assert equal(drawn(decoded), drawn(first))
    assert len(list(cache_folder.glob("*/*.raw"))) == 8
    again = replace(load("thin3d", "val", size=(64, 64), count=8), keep=0, source=None)
    assert equal(drawn(decoded), drawn(again)), "nothing is decoded a second time"


def test_a_file_that_changed_is_not_taken_from_the_cache(tmp_path) -> None:
    write_pair(tmp_path / "set", "a")

    def sample() -> np.ndarray:
        return replace(load(str(tmp_path / "set"), "test", size=(64, 64)), keep=0)[0][1]

    before = sample()
    write_mask(tmp_path / "set/test/gt/a.png", (20, 30))
    assert before.any()
    assert not sample().any()


@pytest.mark.parametrize("spoil", ["cut", "deleted", "read-only", "full"])
def test_a_cache_that_fails_costs_time_and_nothing_else(cache_folder, monkeypatch, spoil) -> None:
    decoded = load("thin3d", "val", size=(64, 64), count=8)
    cached = replace(decoded, keep=0)
    if spoil == "read-only":
        cache_folder.parent.mkdir(parents=True)
        cache_folder.write_text("a file where the folder should be")
    if spoil == "full":
        monkeypatch.setattr("experiments.data.cache.SPARE", 1 << 60)
    drawn(cached)
    for file in cache_folder.glob("*/*.raw"):
        if spoil == "cut":
            file.write_bytes(file.read_bytes()[:-1])
        else:
            file.unlink()
    assert equal(drawn(decoded), drawn(cached))
    assert spoil in ("cut", "deleted") or not list(cache_folder.parent.glob("*/*/*.raw"))


def test_the_cache_stays_below_its_limit_and_drops_what_was_used_longest_ago(
    cache_folder, monkeypatch
) -> None:
    monkeypatch.setattr("experiments.data.cache.LIMIT", 2 * 8 * 4 * 64 * 64 + 100)
    for split in ("train", "val", "train", "test"):  # train is read after val was written
        drawn(replace(load("thin3d", split, size=(64, 64), count=8), keep=0))
        time.sleep(0.02)
    assert len(list(cache_folder.iterdir())) == 2
    assert not load("thin3d", "val", size=(64, 64), count=8).shelf.folder.exists()


@pytest.mark.parametrize("constant", ["LIMIT", "SPARE"])
def test_for_a_set_that_cannot_fit_no_other_is_dropped(
    cache_folder, monkeypatch, constant
) -> None:
    small, large = (load("thin3d", "val", size=(side, side), count=8) for side in (64, 128))
    drawn(replace(small, keep=0))
    free = shutil.disk_usage(cache_folder).free
    least = {"LIMIT": 8 * 4 * 128 * 128 - 1, "SPARE": free + (1 << 30)}[constant]
    monkeypatch.setattr(f"experiments.data.cache.{constant}", least)
    drawn(replace(large, keep=0))
    assert len(list(small.shelf.folder.glob("*.raw"))) == 8
    assert not list(large.shelf.folder.glob("*.raw"))


def test_without_the_cache_nothing_is_written(cache_folder) -> None:
    data = DataConfig(name="thin3d", size=(64, 64), counts=Counts(8, 8, 8), cache=False)
    drawn(replace(load_splits(data)[1], keep=0))
    assert not cache_folder.exists()
