"""Data sets: what a sample is, the batches drawn from them, and the cache behind them."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data import (
    Counts,
    DataConfig,
    Samples,
    batches,
    configure,
    load,
    load_splits,
    to_tensors,
)
from experiments.data.composed import index
from experiments.data.samples import order
from experiments.data.sources import HERE
from experiments.data.splits import SPLITS
from experiments.errors import UserError

ROOT = Path(__file__).parent.parent.parent


def write_pair(
    root: Path, name: str, size: tuple[int, int] = (20, 30), splits: tuple[str, ...] = SPLITS
) -> None:
    for split in splits:
        rng = np.random.default_rng(list(f"{split}/{name}".encode()))  # no two alike
        for kind, shape in (("im", (*size, 3)), ("gt", size)):
            folder = root / split / kind
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.png")


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


def test_every_epoch_shows_each_sample_once_and_a_resumed_order_is_the_same() -> None:
    whole = list(order(seed=3, length=12, batch=4, start=0, steps=7))
    assert sorted(i for batch in whole[:3] for i in batch) == list(range(12))
    assert whole[:3] != whole[3:6]
    assert list(order(seed=3, length=12, batch=4, start=5, steps=7)) == whole[5:]


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
    ],
)
def test_a_folder_that_does_not_fit_is_refused_by_file_name(tmp_path, spoil, message) -> None:
    for name in "ab":
        write_pair(tmp_path, name)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        load(str(tmp_path), "test", size=(64, 64))[0]


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


# --- batches -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seglossary"


def drawn(samples: Samples, **options: int) -> list[torch.Tensor]:
    settings = {"seed": 0, "batch": 4, "start": 0, "steps": 3, "workers": 0, **options}
    return [x for pair in batches(samples, **settings) for x in pair]


def equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return len(one) == len(two) and all(map(torch.equal, one, two))


def test_the_ranks_share_each_batch_and_nothing_is_shown_twice() -> None:
    samples = load("thin3d", "val", size=(64, 64), count=8)
    whole, first, second = (
        drawn(samples), drawn(samples, rank=0, world=2), drawn(samples, rank=1, world=2)
    )  # fmt: skip
    joined = [torch.cat(parts) for parts in zip(first, second, strict=True)]
    assert equal(whole, joined)
    with pytest.raises(UserError, match="multiple of the processes"):
        drawn(samples, world=3)


def test_a_resumed_run_goes_on_with_the_batch_it_would_have_had() -> None:
    samples = load("thin3d", "val", size=(64, 64), count=8)
    assert equal(drawn(samples)[4:], drawn(samples, start=2))


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


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_a_run_is_named_whoever_reads_it(tmp_path, workers) -> None:
    for name in "abcd":
        write_pair(tmp_path / "set", name)
    (tmp_path / "set/test/im/c.png").write_bytes(b"no image")
    samples = load(str(tmp_path / "set"), "test", size=(64, 64))
    with pytest.raises(UserError, match=r"^cannot read .*/c.png as an image: .*$"):
        drawn(samples, workers=workers)


def test_workers_leave_signals_to_the_run_and_end_with_it(tmp_path) -> None:
    code = """
import multiprocessing, os, signal
from dataclasses import replace
from experiments.data import batches, load
if __name__ == "__main__":
    samples = replace(load("thin3d", "val", size=(64, 64), count=8), shelf=None, keep=0)
    stream = batches(samples, seed=0, batch=4, start=0, steps=10**6, workers=2)
    next(stream), next(stream)  # one of each worker: both have begun
    workers = [p.pid for p in multiprocessing.active_children()]
    for pid in workers:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    for _ in range(20):
        next(stream)
    os.kill(workers[0], signal.SIGTERM)  # the second one, as the loader ends its workers
    first = [p for p in multiprocessing.active_children() if p.pid == workers[0]]
    first[0].join(20)
    assert first[0].exitcode is not None
    print(*workers, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert ends_with_its_run(tmp_path, code) == 2


def ends_with_its_run(folder: Path, code: str) -> int:
    """Run a script that prints its processes' numbers and kills itself: how many there were.

    Fails if one of them is alive a while later.
    """
    script = folder / "run.py"
    script.write_text(code)
    found = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    pids = [int(word) for word in found.stdout.split()]
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(alive, pids)), "killed with SIGKILL, a run leaves no process behind"
    return len(pids)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().split()[2] != "Z"
