"""Attempts at a cell: what is run again, what is left, and what is elsewhere."""

import re
import shutil
from pathlib import Path

import pytest

from analysis import grid as analysed
from analysis.runs import finished
from experiments.ledger import claim as claims
from experiments.ledger import ledger as ledgers
from experiments.ledger.attempts import STRIKES
from experiments.ledger.ledger import Ledger
from tests.experiments.trivial import Cell, cells, drain, finish, states


def fail_once(ledger: Ledger, todo: list[Cell], reason: str = "out of memory") -> None:
    with ledger.claim(todo) as claim:
        assert claim is not None
        claim.fail(reason)


def give_back(ledger: Ledger, todo: list[Cell]) -> None:
    with ledger.claim(todo) as claim:
        assert claim is not None
        claim.give_back("out of time")


def complete_once(ledger: Ledger, todo: list[Cell]) -> None:
    with ledger.claim(todo) as claim:
        assert claim is not None
        finish(ledger, claim, 0.5)


def test_a_damaged_run_is_run_again_once_it_is_deleted_as_the_analysis_says(tmp_path) -> None:
    ledger, (cell,) = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue([cell])
    complete_once(ledger, [cell])
    run = tmp_path / "runs" / cell.folder
    with pytest.raises(ValueError, match="then run the grid again") as error:
        finished(run, analysed.Cell(cell.arm, cell.seed, "complete", cell.hash))
    assert ledger.enqueue([cell]) == []  # without that it is left as it is
    told = re.search(r"delete (.*), then run the grid again", str(error.value))
    assert told
    shutil.rmtree(told[1])
    assert ledger.enqueue([cell]) == [cell]


def test_a_failed_cell_is_reported_and_gets_another_trial(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    fail_once(ledger, todo)
    found = ledger.states(todo)["a000"]
    assert (found.state, found.reason, found.attempts) == ("failed", "out of memory", 1)
    assert str(tmp_path) in found.where
    ledger.enqueue(todo)
    complete_once(ledger, todo)
    assert states(ledger, todo) == ["complete"]


def test_after_three_strikes_a_cell_is_reported_and_left_unless_all_are_asked_for(
    tmp_path,
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    for _ in range(STRIKES):
        assert ledger.enqueue(todo) == todo
        fail_once(ledger, todo)
    assert states(ledger, todo) == ["struck"]
    assert ledger.enqueue(todo) == []
    assert ledger.states(todo)["a000"].reason == "out of memory"
    assert ledger.enqueue(todo, retry="all") == todo


def test_without_retry_only_what_never_failed_is_run(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo[:2])
    fail_once(ledger, todo[:1])
    give_back(ledger, todo[1:2])
    assert ledger.enqueue(todo, retry="none") == todo[1:]


def test_a_cell_that_is_given_back_has_no_strike_and_is_missing(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    for _ in range(STRIKES + 1):
        assert ledger.enqueue(todo) == todo
        give_back(ledger, todo)
    found = ledger.states(todo)["a000"]
    assert (found.state, found.reason) == ("missing", "out of time")


def test_an_interruption_does_not_undo_failures_before_it(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    fail_once(ledger, todo)
    ledger.enqueue(todo)
    give_back(ledger, todo)
    found = ledger.states(todo)["a000"]
    assert (found.state, found.reason, found.attempts) == ("failed", "out of memory", 2)
    assert ledger.enqueue(todo, retry="none") == []
    for _ in range(STRIKES - 1):
        ledger.enqueue(todo)
        fail_once(ledger, todo)
    ledger.enqueue(todo, retry="all")
    give_back(ledger, todo)
    assert states(ledger, todo) == ["struck"]
    assert ledger.enqueue(todo) == []


def test_what_waits_for_a_command_that_ended_is_missing_and_runs_with_the_next(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    for _ in range(STRIKES):
        ledger.enqueue(todo)
        fail_once(ledger, todo)
    assert ledger.enqueue(todo, retry="all") == todo  # and it is killed before it claims it
    assert states(ledger, todo) == ["missing"]
    assert ledger.enqueue(todo) == todo
    assert [trial.state.name for trial in ledger.study.trials] == ["FAIL"] * STRIKES + ["WAITING"]


def test_a_complete_cell_whose_results_are_gone_is_run_again(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo)
    drain(tmp_path, None, todo)
    (tmp_path / "runs" / todo[1].folder / "metrics.json").unlink()
    assert states(ledger, todo) == ["complete", "missing"]
    assert ledger.states(todo)["a001"].reason == "its results are gone"
    assert ledger.enqueue(todo) == todo[1:]
    assert states(ledger, todo) == ["complete", "missing"]


def completed_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Ledger, list[Cell], Path]:
    """A ledger, its cell that another machine completed, and the file that is not here."""
    ledger, todo = Ledger(folder, "study"), cells(1)
    ledger.enqueue(todo)
    with monkeypatch.context() as away:
        away.setattr(claims, "host", lambda: "another")
        complete_once(Ledger(folder, "study"), todo)
    file = folder / "runs" / todo[0].folder / "metrics.json"
    file.unlink()
    return ledger, todo, file


def test_a_cell_that_another_machine_completed_is_elsewhere_until_its_files_are_here(
    tmp_path, monkeypatch
) -> None:
    ledger, todo, file = completed_elsewhere(tmp_path, monkeypatch)
    found = ledger.states(todo)["a000"]
    assert (found.state, found.where) == ("elsewhere", f"another:{tmp_path}")
    assert ledger.enqueue(todo) == []
    file.touch()
    assert states(ledger, todo) == ["complete"]


def test_what_is_elsewhere_is_run_here_if_all_are_asked_for(tmp_path, monkeypatch) -> None:
    ledger, todo, _ = completed_elsewhere(tmp_path, monkeypatch)
    assert ledger.enqueue(todo, retry="all") == todo


def test_what_another_machine_gives_back_is_run_again_and_what_was_stopped_here_is_not(
    tmp_path, monkeypatch
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo)
    with monkeypatch.context() as away:
        away.setattr(claims, "machine", lambda: "another-machine")
        give_back(Ledger(tmp_path, "study"), todo[:1])
    give_back(ledger, todo[1:])
    assert ledger.pulse(todo).waiting == 1
    assert states(ledger, todo) == ["missing", "missing"]
    assert [trial.state.name for trial in ledger.study.trials] == ["FAIL", "FAIL", "WAITING"]


def test_a_cell_completed_while_a_second_command_starts_is_not_run_again(
    tmp_path, monkeypatch
) -> None:
    first, todo = Ledger(tmp_path, "study"), cells(1)
    first.enqueue(todo)
    second = Ledger(tmp_path, "study")
    lock = ledgers.exclusive

    def meanwhile(url: str):
        monkeypatch.setattr(ledgers, "exclusive", lock)
        complete_once(first, todo)
        return lock(url)

    monkeypatch.setattr(ledgers, "exclusive", meanwhile)
    assert second.enqueue(todo) == []
    assert len(first.study.trials) == 1
