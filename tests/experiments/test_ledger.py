"""The ledger: each cell once, whatever happens to the workers."""

import multiprocessing
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from analysis import grid as analysed
from analysis.runs import finished
from experiments.errors import UserError
from experiments.ledger import claim as claims
from experiments.ledger import ledger as ledgers
from experiments.ledger import outage
from experiments.ledger.attempts import STRIKES
from experiments.ledger.ledger import Ledger
from experiments.watch import LostClaim
from tests.experiments.trivial import Cell, cells, drain, finish, hold


def states(ledger: Ledger, todo: list[Cell]) -> list[str]:
    found = ledger.states(todo)
    return [found[cell.hash].state for cell in todo]


def fail_once(ledger: Ledger, todo: list[Cell], reason: str = "out of memory") -> None:
    with ledger.claim(todo) as claim:
        assert claim is not None
        ledger.fail(claim, reason)


def complete_once(ledger: Ledger, todo: list[Cell]) -> None:
    with ledger.claim(todo) as claim:
        assert claim is not None
        finish(ledger, claim, 0.5)


def killed_while_holding(folder: Path, todo: list[Cell], step: int = 0) -> None:
    """A worker that claims a cell, saves at `step` and is killed by SIGKILL."""
    (folder / "held").unlink(missing_ok=True)
    args = (folder, None, todo, step)
    worker = multiprocessing.get_context("spawn").Process(target=hold, args=args)
    worker.start()
    deadline = time.monotonic() + 60
    while not (folder / "held").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()


def test_enqueueing_twice_makes_no_second_trial(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(5)
    assert ledger.enqueue(todo) == todo
    assert ledger.enqueue(todo) == todo
    assert len(ledger.study.trials) == 5


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


def test_without_retry_only_what_was_never_tried_is_run(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo[:2])
    fail_once(ledger, todo[:1])
    with ledger.claim(todo[1:2]) as claim:
        assert claim is not None
        ledger.give_back(claim, "stopped at step 3")
    assert ledger.enqueue(todo, retry="none") == todo[1:]


def test_a_cell_that_is_given_back_has_no_strike_and_is_missing(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    for _ in range(STRIKES + 1):
        assert ledger.enqueue(todo) == todo
        with ledger.claim(todo) as claim:
            assert claim is not None
            ledger.give_back(claim, "stopped at step 3")
    found = ledger.states(todo)["a000"]
    assert (found.state, found.reason) == ("missing", "stopped at step 3")


def test_the_cell_of_a_live_worker_is_left_alone_and_that_of_a_killed_one_is_run_again(
    tmp_path,
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    with Ledger(tmp_path, "study").claim(todo) as claim:
        assert claim is not None
        ledger.enqueue(todo)
        assert states(ledger, todo) == ["running"]
        ledger.give_back(claim, "enough")
    ledger.enqueue(todo)
    killed_while_holding(tmp_path, todo, step=4)
    ledger.enqueue(todo)
    with ledger.claim(todo) as claim:
        assert claim is not None
    past = ledger.study.trials[1]
    assert past.user_attrs["error"] == f"its worker died at step 4 ({claims.host()})"


@pytest.mark.parametrize(("steps", "strikes"), [((4, 6), 0), ((4, 4), 1), ((0, 0), 2)])
def test_a_death_is_a_strike_unless_the_run_got_further(tmp_path, steps, strikes) -> None:
    from experiments.ledger.attempts import strikes as counted

    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    for step in steps:
        ledger.enqueue(todo)
        killed_while_holding(tmp_path, todo, step)
    ledger.enqueue(todo)
    assert counted(ledger.study.trials) == strikes


def test_the_worker_of_another_machine_is_judged_by_its_heartbeat(tmp_path, monkeypatch) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    with monkeypatch.context() as away:
        away.setattr(claims, "machine", lambda: "another-machine")
        away.setattr(claims, "host", lambda: "another")
        with Ledger(tmp_path, "study").claim(todo) as claim:
            assert claim is not None
            claim.stepped(7)
            claim.tell()
    ledger.revive(todo)  # its lock is free, as nobody here holds it
    (run,) = ledger.running(todo)
    assert (run.label, run.step, run.steps, run.pid) == ("a seed 0 @another", 7, 10, None)
    ledger.storage.grace_period = 1
    monkeypatch.setattr(outage, "_last_away", -1e9)  # another test's storage may just be back
    deadline = time.monotonic() + 30
    while states(ledger, todo) == ["running"]:
        assert time.monotonic() < deadline
        ledger.revive(todo)
        time.sleep(0.1)
    assert states(ledger, todo) == ["missing"]  # it waits for another worker


def test_a_worker_that_lost_its_claim_writes_and_records_nothing(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    with ledger.claim(todo) as claim:
        assert claim is not None
        assert not claim.stop()
        ledger.storage.set_trial_state_values(claim.trial_id, TrialState.FAIL)
        claim.stepped(3)
        with pytest.raises(LostClaim):
            claim.before_write()
        assert claim.stop()
        with pytest.raises(LostClaim):
            ledger.complete(claim, 0.9)
    assert ledger.study.trials[0].state == TrialState.FAIL


def test_steps_and_validations_are_seen_while_a_cell_runs(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo)
    with ledger.claim(todo) as claim:
        assert claim is not None
        claim.stepped(5)
        claim.validated(5, 0.25)
        claim.tell()
        pulse = ledger.pulse(todo)
        assert (pulse.total, pulse.done, pulse.waiting, pulse.begun) == (2, 0, 1, 1)
        (run,) = pulse.running
        assert (run.label, run.step, run.pid) == ("a seed 0", 5, os.getpid())
        assert ledger.study.trials[0].intermediate_values == {5: 0.25}


def test_another_definition_makes_new_cells_and_keeps_the_old_ones(tmp_path) -> None:
    ledger, old, new = Ledger(tmp_path, "study"), cells(2), cells(2, "b")
    ledger.enqueue(old)
    drain(tmp_path, None, old)
    ledger.enqueue(new)
    assert states(ledger, new) == ["missing"] * 2
    assert [(s.arm, s.seed, s.hash) for s in ledger.superseded(new)] == [
        ("a", 0, "a000"),
        ("a", 1, "a001"),
    ]
    assert ledger.superseded([*old, *new]) == []
    assert states(ledger, old) == ["complete"] * 2


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


def give_back(ledger: Ledger, todo: list[Cell]) -> None:
    with ledger.claim(todo) as claim:
        assert claim is not None
        ledger.give_back(claim, "out of time")


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


def test_commands_of_two_folders_with_one_file_leave_each_other_s_claims(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, other = (Ledger(tmp_path / name, "study", url) for name in ("one", "other"))
    todo = cells(1)
    one.enqueue(todo)
    with one.claim(todo):
        other.revive(todo)
        assert states(other, todo) == ["running"]
        (tmp_path / "locks").rename(tmp_path / "away")  # as another container sees it
        other.revive(todo)
        assert states(other, todo) == ["running"]


@pytest.mark.parametrize("name", ["what?", "50% done", "a b", "a#b@c"])
def test_a_folder_of_any_name_holds_its_ledger(tmp_path, name) -> None:
    folder, todo = tmp_path / name, cells(1)
    Ledger(folder, "study").enqueue(todo)
    assert sorted(file.name for file in tmp_path.iterdir()) == [name]
    assert (folder / "ledger.db").is_file()
    assert states(Ledger(folder, "study", make=False), todo) == ["missing"]


def test_a_look_at_a_ledger_writes_nothing(tmp_path) -> None:
    with pytest.raises(KeyError):
        Ledger(tmp_path, "study", make=False)
    assert not list(tmp_path.iterdir())
    Ledger(tmp_path, "study").enqueue(cells(1))
    for file in (tmp_path / "locks", tmp_path / "ledger.db.lock"):
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
    with pytest.raises(KeyError):
        Ledger(tmp_path, "another study", make=False)
    assert states(Ledger(tmp_path, "study", make=False), cells(1)) == ["missing"]
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


def test_a_trial_finished_since_it_was_listed_is_not_claimed(tmp_path, monkeypatch) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    listed = ledger.study.get_trials()
    drain(tmp_path, None, todo)
    monkeypatch.setattr(ledger.study, "get_trials", lambda **_: listed)
    with ledger.claim(todo) as claim:
        assert claim is None


def test_a_cell_without_a_waiting_trial_is_not_invented(tmp_path) -> None:
    ledger = Ledger(tmp_path, "study")
    with ledger.claim(cells(3)) as claim:
        assert claim is None
    assert ledger.study.trials == []


def test_a_trial_tells_its_seed_and_what_sets_its_arm_apart(tmp_path) -> None:
    ledger = Ledger(tmp_path, "study", metric="MAE")
    todo = [*cells(1, "bce"), *cells(1, "mae")]
    ledger.describe(todo, question="which?", grid="g")
    ledger.enqueue(todo)
    trial = ledger.study.trials[1]
    assert trial.params == {"seed": 0}
    assert trial.user_attrs["loss.pixel.name"] == "mae"
    assert "loss.weight" not in trial.user_attrs
    expected = {"arm": "mae", "hash": "mae000", "data_digest": "d", "code_digest": "c"}
    assert expected.items() <= trial.user_attrs.items()
    assert ledger.study.user_attrs["question"] == "which?"
    assert ledger.study.direction == StudyDirection.MINIMIZE
    assert ledger.study.metric_names == ["MAE"]


def test_a_run_folder_outside_the_results_is_refused(tmp_path) -> None:
    todo = [replace(cells(1)[0], arm="../../somewhere/else")]
    with pytest.raises(UserError, match="expected one inside"):
        Ledger(tmp_path, "study").enqueue(todo)


def test_studies_that_share_a_file_do_not_wait_for_each_other_s_cells(tmp_path) -> None:
    url, todo = f"sqlite:///{tmp_path / 'shared.db'}", cells(1)
    one, other = (Ledger(tmp_path / name, name, url) for name in ("one", "other"))
    one.enqueue(todo)
    other.enqueue(todo)
    with one.claim(todo) as mine, other.claim(todo) as theirs:
        assert mine is not None
        assert theirs is not None
