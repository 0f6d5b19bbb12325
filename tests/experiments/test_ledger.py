"""The ledger: each cell once, whatever happens to the workers."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config import LossConfig, RunConfig, TrainConfig
from experiments.data import DataConfig
from experiments.grid import Cell
from experiments.ledger import Ledger


def cells(count: int, arm: str = "a") -> list[Cell]:
    config = RunConfig(0, DataConfig(), {}, TrainConfig(10, 1, 1e-3), LossConfig(), "IoU")
    return [Cell(arm, s, replace(config, seed=s), f"{arm}{s:03d}", "data") for s in range(count)]


def drain(folder: Path, todo: list[Cell]) -> None:
    ledger = Ledger(folder, "study")
    while True:
        with ledger.claim(todo) as claim:
            if claim is None:
                return
            with (folder / "ran").open("a") as log:
                log.write(f"{claim.cell.hash}\n")
            ledger.complete(claim, float(claim.cell.seed))


def hold(folder: Path, todo: list[Cell]) -> None:
    with Ledger(folder, "study").claim(todo) as claim:
        assert claim is not None
        (folder / "held").touch()
        time.sleep(60)


def test_four_processes_run_each_of_80_cells_exactly_once(tmp_path) -> None:
    todo = cells(80)
    Ledger(tmp_path, "study").enqueue(todo, done=())
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=drain, args=(tmp_path, todo)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ran = (tmp_path / "ran").read_text().split()
    assert sorted(ran) == [cell.hash for cell in todo]
    assert {s for s, _ in Ledger(tmp_path, "study").states(todo).values()} == {"complete"}


def test_enqueueing_twice_makes_no_second_trial(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(5)
    ledger.enqueue(todo, done=())
    ledger.enqueue(todo, done=())
    assert len(ledger.study.trials) == 5


def test_a_failed_cell_is_reported_and_gets_another_trial(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo, done=())
    with ledger.claim(todo) as claim:
        assert claim is not None
        ledger.fail(claim, "out of memory")
    assert ledger.states(todo) == {"a000": ("failed", "out of memory")}
    ledger.enqueue(todo, done=())
    with ledger.claim(todo) as claim:
        assert claim is not None
        ledger.complete(claim, 0.5)
    assert ledger.states(todo)["a000"][0] == "complete"


def test_the_cell_of_a_killed_worker_is_run_again_and_that_of_a_live_one_is_not(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo, done=())
    worker = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, todo))
    worker.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "held").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ledger.enqueue(todo, done=())
    assert ledger.states(todo)["a000"][0] == "running"
    with ledger.claim(todo) as claim:
        assert claim is None
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    ledger.enqueue(todo, done=())
    with ledger.claim(todo) as claim:
        assert claim is not None


def test_another_definition_makes_new_cells_and_keeps_the_old_ones(tmp_path) -> None:
    ledger, old, new = Ledger(tmp_path, "study"), cells(2), cells(2, "b")
    ledger.enqueue(old, done=())
    drain(tmp_path, old)
    ledger.enqueue(new, done=())
    assert {s for s, _ in ledger.states(new).values()} == {"missing"}
    assert ledger.superseded(new) == 2
    assert {s for s, _ in ledger.states(old).values()} == {"complete"}


def test_a_complete_cell_whose_results_are_gone_is_run_again(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo, done=())
    drain(tmp_path, todo)
    ledger.enqueue(todo, done={"a000"})
    assert [ledger.states(todo)[cell.hash][0] for cell in todo] == ["complete", "missing"]


def test_a_trial_finished_since_it_was_listed_is_not_claimed(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo, done=())
    listed = ledger.study.get_trials()[0]
    drain(tmp_path, todo)
    assert not ledger._take(listed)


def test_a_cell_without_a_waiting_trial_is_not_invented(tmp_path) -> None:
    ledger = Ledger(tmp_path, "study")
    with ledger.claim(cells(3)) as claim:
        assert claim is None
    assert ledger.study.trials == []


@pytest.mark.parametrize("reported", [0, 5])
def test_progress_counts_the_steps_of_running_cells(tmp_path, reported) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo, done=())
    with ledger.claim(todo) as claim:
        assert claim is not None
        if reported:
            claim.trial.report(0.1, reported)
        assert ledger.progress(todo) == reported / 10
