"""Batches: their order, the same whichever process decodes them, and how those end."""

import pytest
import torch

from experiments.data import batches, load
from experiments.data.samples import order
from experiments.errors import UserError
from tests.experiments.orphans import ends_with_its_run
from tests.experiments.pairs import drawn, equal, write_pair

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_every_epoch_shows_each_sample_once_and_a_resumed_order_is_the_same() -> None:
    whole = list(order(seed=3, length=12, batch=4, start=0, steps=7))
    assert sorted(i for batch in whole[:3] for i in batch) == list(range(12))
    assert whole[:3] != whole[3:6]
    assert list(order(seed=3, length=12, batch=4, start=5, steps=7)) == whole[5:]


def test_decoding_in_other_processes_gives_the_same_batches() -> None:
    samples = load("thin3d", "val", size=(64, 64), count=8)
    here, there = (
        list(batches(samples, seed=0, batch=4, start=0, steps=3, workers=n)) for n in (0, 2)
    )
    for one, two in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


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
