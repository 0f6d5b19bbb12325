"""Stop requests, deaths and full disks: nothing is lost, and the message says what to do."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from experiments import signals
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.files import whole
from experiments.ledger import storage
from experiments.ledger.ledger import Ledger
from experiments.workers import worker
from experiments.workers.slots import gpu_of
from experiments.workers.supervise import run_workers
from experiments.workers.worker import claim_and_run
from tests.experiments.trivial import broken, cells, dies_at_seed_0, halts, idle, slow

ROOT = Path(__file__).parent.parent.parent
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


@contextmanager
def command(folder: Path, kind: str) -> Iterator["subprocess.Popen[str]"]:
    """Eight cells under three workers, in a process group of their own, once some run."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.experiments.trivial", str(folder), kind],
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: (folder / "ledger.db").exists())
        until(lambda: len(Ledger(folder, "study").running(cells(8))) > 0)
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_runs_give_their_cells_back_and_leave(tmp_path, number, code) -> None:
    with command(tmp_path, "slow") as started:
        if number == signal.SIGINT:
            os.killpg(started.pid, number)  # as a terminal does: to workers, too
        else:
            os.kill(started.pid, number)
        _, said = started.communicate(timeout=30)
    assert started.returncode == code
    assert "stopping: runs save their checkpoint" in said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    ledger, todo = Ledger(tmp_path, "study"), cells(8)
    found = ledger.states(todo).values()
    assert {state.state for state in found} <= {"missing", "complete"}
    assert "asked to stop" in {state.reason for state in found}
    assert [t.user_attrs.get("ended") for t in ledger.study.trials].count("died") == 0


def test_asked_twice_it_leaves_at_once(tmp_path) -> None:
    with command(tmp_path, "stuck") as started:
        os.killpg(started.pid, signal.SIGINT)
        time.sleep(0.5)
        os.killpg(started.pid, signal.SIGINT)
        _, said = started.communicate(timeout=10)
    assert started.returncode == 130
    assert "Traceback" not in said
    ledger, todo = Ledger(tmp_path, "study"), cells(8)
    until(lambda: ledger.revive(()) or not ledger.running(todo))
    assert ledger.enqueue(todo) == todo


def test_workers_whose_command_was_killed_give_their_cells_back(tmp_path) -> None:
    with command(tmp_path, "slow") as started:
        os.kill(started.pid, signal.SIGKILL)
        started.communicate(timeout=30)
    found = Ledger(tmp_path, "study").states(cells(8)).values()
    assert "asked to stop" in {state.reason for state in found}
    assert "running" not in {state.state for state in found}


def test_a_worker_that_dies_is_replaced_and_its_cell_run_by_the_same_command(
    tmp_path, capfd
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo)
    arguments = (tmp_path, None, todo)
    assert run_workers(dies_at_seed_0, arguments, 1, lambda: ledger.pulse(todo)) == 0
    found = ledger.states(todo)
    assert {state.state for state in found.values()} == {"complete"}
    assert found["a000"].attempts == 2
    said = capfd.readouterr().err
    assert "a worker died (signal 9)" in said
    assert "died: a seed 0: its worker died at step 5" in said


def test_workers_that_never_begin_are_not_started_for_ever(tmp_path, capfd) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo)
    with pytest.raises(UserError, match="3 workers in a row ended before"):
        run_workers(broken, (), 1, lambda: ledger.pulse(todo))
    assert capfd.readouterr().err.count("no such library") == 3


def test_workers_that_take_up_nothing_are_not_started_for_ever(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo)
    with pytest.raises(UserError, match="3 workers in a row ended before they took up anything"):
        run_workers(idle, (), 3, lambda: ledger.pulse(todo))


def test_a_worker_that_can_store_nothing_ends_the_command_with_code_2(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    assert run_workers(halts, (), 1, lambda: ledger.pulse(todo)) == 2


def test_a_stop_request_while_a_worker_is_being_started_reaches_it(tmp_path, monkeypatch) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo)
    start, started = SpawnProcess.start, []

    def interrupted(process: SpawnProcess) -> None:
        start(process)
        started.append(process)
        signal.raise_signal(signal.SIGTERM)  # before the crew knows of it

    monkeypatch.setattr(SpawnProcess, "start", interrupted)
    code = run_workers(slow, (tmp_path, None, todo), 3, lambda: ledger.pulse(todo))
    assert code == 128 + signal.SIGTERM
    assert len(started) == 1
    assert not (tmp_path / "ran").exists()


def test_the_first_signal_that_asked_is_the_one_that_is_told() -> None:
    before = {number: signal.getsignal(number) for number in ASKING}
    try:
        signals.obey(to=ASKING[1:])
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGTERM)
        assert signals.asked() == signal.SIGUSR2
    finally:
        signals.obey(to=())
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system refuses to write on, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda file: torch.save({"w": torch.ones(10**6)}, file),
        lambda file: save_file({"w": torch.ones(10**6)}, file),
        lambda file: file.write_bytes(bytes(4 * 10**6)),
    ],
    ids=["torch", "safetensors", "python"],
)
def test_a_disk_that_takes_no_more_gives_the_cell_back_without_a_strike(
    tmp_path, monkeypatch, write
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo)

    def writes(_config, folder, _watch, **_):
        folder.mkdir(parents=True)
        with whole(folder / "state") as draft:
            write(draft)

    monkeypatch.setattr(worker, "train", writes)
    with (
        largest_file(10**6),
        pytest.raises(UserError, match=r"cannot write to .* MiB are free in .*; make room"),
    ):
        claim_and_run(tmp_path, "study", None, todo, Runtime(device="cpu"))
    found = ledger.states(todo)
    assert [found[cell.hash].state for cell in todo] == ["missing", "missing"]
    assert "cannot write to" in found["a000"].reason
    assert not list((tmp_path / "runs" / todo[0].folder).iterdir())


def test_a_run_that_fails_leaves_its_traceback_and_the_next_one_is_run(
    tmp_path, monkeypatch
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo)
    values = iter([ZeroDivisionError("by zero"), 0.5, 0.5])

    def fails_once(_config, folder, *_args, **_options):
        value = next(values)
        if isinstance(value, Exception):
            raise value
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").touch()
        return value

    monkeypatch.setattr(worker, "train", fails_once)
    claim_and_run(tmp_path, "study", None, todo, Runtime(device="cpu"))
    found = ledger.states(todo)
    assert (found["a000"].state, found["a000"].reason) == ("failed", "ZeroDivisionError: by zero")
    assert found["a001"].state == "complete"
    trace = tmp_path / "runs" / todo[0].folder / "error.txt"
    assert "fails_once" in trace.read_text()
    ledger.enqueue(todo)
    claim_and_run(tmp_path, "study", None, todo, Runtime(device="cpu"))
    assert ledger.states(todo)["a000"].state == "complete"
    assert not trace.exists()


def test_a_storage_that_is_away_when_a_run_ends_is_no_failure(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "BUSY", 0.1)
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    other = sqlite3.connect(tmp_path / "ledger.db", check_same_thread=False)

    def locks(_config, folder, *_args, **_options):
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "preview.png")
        (folder / "metrics.json").touch()
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.5, other.rollback).start()
        return 0.5

    monkeypatch.setattr(worker, "train", locks)
    claim_and_run(tmp_path, "study", None, todo, Runtime(device="cpu"), tell=False)
    other.close()
    found = ledger.states(todo)["a000"]
    assert (found.state, found.attempts, found.reason) == ("complete", 1, "")
    assert len(list((tmp_path / "artifacts").iterdir())) >= 1


@pytest.mark.parametrize(
    ("slot", "count", "visible", "expected"),
    [
        (0, 0, None, None),
        (1, 2, None, "1"),
        (3, 2, None, "1"),
        (1, 2, "4,6", "6"),
        (0, 1, "GPU-8f1e,GPU-77aa", "GPU-8f1e"),
        (1, 2, "MIG-1, MIG-2", "MIG-2"),
    ],
)
def test_each_worker_gets_one_of_the_gpus_that_are_visible(slot, count, visible, expected) -> None:
    assert gpu_of(slot, count, visible) == expected
