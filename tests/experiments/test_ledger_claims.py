"""Claims: each cell is one worker's, whether that lives, dies, loses it or is elsewhere."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from experiments.errors import UserError
from experiments.ledger import claim as claims
from experiments.ledger import outage
from experiments.ledger.ledger import Ledger
from experiments.watch import LostClaim
from tests.experiments.trivial import Cell, cells, drain, hold, states


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


def test_the_cell_of_a_live_worker_is_left_alone_and_that_of_a_killed_one_is_run_again(
    tmp_path,
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue(todo)
    with Ledger(tmp_path, "study").claim(todo) as claim:
        assert claim is not None
        ledger.enqueue(todo)
        assert states(ledger, todo) == ["running"]
        claim.give_back("enough")
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
            claim.complete(0.9)
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


def test_a_worker_with_other_code_than_its_command_claims_nothing(tmp_path) -> None:
    ledger, (cell,) = Ledger(tmp_path, "study"), cells(1)
    ledger.enqueue([cell])
    edited = replace(cell, code="edited")
    with (
        pytest.raises(UserError, match="of code c, and on the disk is edited; start the command"),
        ledger.claim([edited]),
    ):
        pass
    assert states(ledger, [cell]) == ["missing"]


def test_studies_that_share_a_file_do_not_wait_for_each_other_s_cells(tmp_path) -> None:
    url, todo = f"sqlite:///{tmp_path / 'shared.db'}", cells(1)
    one, other = (Ledger(tmp_path / name, name, url) for name in ("one", "other"))
    one.enqueue(todo)
    other.enqueue(todo)
    with one.claim(todo) as mine, other.claim(todo) as theirs:
        assert mine is not None
        assert theirs is not None
