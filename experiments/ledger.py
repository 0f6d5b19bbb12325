"""Which cells are done: an Optuna study, one trial per (arm, seed), each claimed by one worker.

Trials are claimed one by one through the storage, not by `study.ask()`, which invents a trial
where none waits. Arm, seed and hash are user attributes, so that a grid may grow new arms.
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
import sqlalchemy
from filelock import FileLock, Timeout
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from experiments.grid import Cell

OPEN = (TrialState.RUNNING, TrialState.WAITING)
State = Literal["complete", "running", "failed", "missing"]


@dataclass(frozen=True)
class Claim:
    """A cell that this process, and no other, is to run."""

    cell: Cell
    trial: optuna.Trial


class Ledger:
    """The cells of one grid and preset, and what has become of them."""

    def __init__(self, folder: Path, study: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.locks = folder / "locks"
        self.locks.mkdir(parents=True, exist_ok=True)
        self.url = f"sqlite:///{folder / 'ledger.db'}"
        with FileLock(self.locks / "ledger"):  # several workers may create the tables at once
            self.storage = _sqlite(self.url)
            self.study = optuna.create_study(
                study_name=study, storage=self.storage, direction="maximize", load_if_exists=True
            )

    def enqueue(self, cells: list[Cell], done: Container[str]) -> None:
        """Make a waiting trial of every cell that is neither complete, running nor waiting.

        Complete is what the ledger says is complete and whose hash is in `done`: those whose
        results are there. A trial left running by a worker that died is closed first.
        """
        with FileLock(self.locks / "ledger"):
            self.close_orphans()
            known = {t.user_attrs["hash"] for t in self._trials(*OPEN)}
            complete = {t.user_attrs["hash"] for t in self._trials(TrialState.COMPLETE)}
            known |= {key for key in complete if key in done}
            for cell in cells:
                if cell.hash not in known:
                    attributes = {"arm": cell.arm, "seed": cell.seed, "hash": cell.hash}
                    self.study.add_trial(
                        optuna.create_trial(state=TrialState.WAITING, user_attrs=attributes)
                    )

    @contextmanager
    def claim(self, cells: list[Cell]) -> Iterator[Claim | None]:
        """Claim one waiting cell for as long as the context lasts; None when none waits.

        The claim is two things: the trial's state, changed in one transaction, and a file lock
        that the system drops when this process dies, however it dies.
        """
        by_hash = {cell.hash: cell for cell in cells}
        for trial in self._trials(TrialState.WAITING):
            cell = by_hash.get(trial.user_attrs["hash"])
            if cell is None:
                continue
            lock = FileLock(self.locks / cell.hash)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                if self._take(trial):
                    yield Claim(cell, optuna.Trial(self.study, trial._trial_id))
                    return
            finally:
                lock.release()
        yield None

    def complete(self, claim: Claim, value: float) -> None:
        """Close a claimed cell with its primary metric."""
        self.study.tell(claim.trial, value)

    def fail(self, claim: Claim, reason: str) -> None:
        """Close a claimed cell as failed; the next `enqueue` gives it another trial."""
        claim.trial.set_user_attr("error", reason)
        self.study.tell(claim.trial, state=TrialState.FAIL)

    def states(self, cells: list[Cell]) -> dict[str, tuple[State, str]]:
        """State of each cell by hash, with the reason where it failed."""
        found: dict[str, tuple[State, str]] = {cell.hash: ("missing", "") for cell in cells}
        for trial in self._trials():  # in order: the newest trial of a cell speaks for it
            key = trial.user_attrs["hash"]
            if key in found:
                found[key] = _state(trial), trial.user_attrs.get("error", "")
        return found

    def progress(self, cells: list[Cell]) -> float:
        """Cells done, those running counted by the share of their steps that they reported."""
        steps = {cell.hash: cell.config.train.steps for cell in cells}
        done: dict[str, float] = {}
        for trial in self._trials():
            key = trial.user_attrs["hash"]
            if key in steps and trial.state == TrialState.COMPLETE:
                done[key] = 1.0
            elif key in steps and trial.state == TrialState.RUNNING:
                done.setdefault(key, (trial.last_step or 0) / steps[key])
        return sum(done.values())

    def superseded(self, cells: list[Cell]) -> int:
        """How many complete trials belong to another definition of their arm, data or code."""
        hashes = {cell.hash for cell in cells}
        return sum(t.user_attrs["hash"] not in hashes for t in self._trials(TrialState.COMPLETE))

    def _take(self, trial: FrozenTrial) -> bool:
        """Whether the trial was waiting until now, and is ours."""
        try:
            return bool(self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING))
        except UpdateFinishedTrialError:  # claimed and finished since it was listed
            return False

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False, states=states or None)
        return trials

    def close_orphans(self) -> None:
        """Mark as failed the running trials whose worker died."""
        for trial in self._trials(TrialState.RUNNING):
            lock = FileLock(self.locks / trial.user_attrs["hash"])
            try:
                with lock.acquire(timeout=0):
                    self.storage.set_trial_user_attr(trial._trial_id, "error", "its worker died")
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            except (Timeout, UpdateFinishedTrialError):
                continue


def _state(trial: FrozenTrial) -> State:
    if trial.state == TrialState.COMPLETE:
        return "complete"
    if trial.state == TrialState.RUNNING:
        return "running"
    return "failed" if trial.state == TrialState.FAIL else "missing"


def _sqlite(url: str) -> RDBStorage:
    """A storage whose transactions take the write lock at their start.

    SQLite's default lets two workers read the same waiting trial before either writes; with it,
    4 workers were handed 38 of 240 trials twice.
    """
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 120}})
    engine = storage.engine

    @sqlalchemy.event.listens_for(engine, "connect")
    def _manual_transactions(connection, _record):  # type: ignore[no-untyped-def]
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(engine, "begin")
    def _begin_immediate(connection):  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.remove_session()
    engine.dispose()  # connections made before the listeners were there
    return storage
