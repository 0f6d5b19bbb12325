"""A claimed trial: the lock and the heartbeat that keep it, what its run tells, and its end.

Two things tell that a worker lives. On its own machine a file lock, which the system drops when
the process dies, however it dies; to other machines a heartbeat in the storage.
"""

import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from experiments import signals
from experiments.ledger.outage import GRACE, is_away, patiently, steady
from experiments.ledger.storage import BEAT
from experiments.watch import LostClaim, Watch

if TYPE_CHECKING:  # a ledger needs no torch
    from experiments.grid import Cell

RUN = "run"  # attribute: the worker of an attempt and how far it is
ENDED = "ended"  # attribute of an attempt that is not complete: how it ended
ERROR = "error"  # attribute: the reason in words
EMPTY: Mapping[str, Any] = {}
FAILED, DIED, INTERRUPTED = "failed", "died", "interrupted"  # values of ENDED


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


@cache
def machine() -> str:
    """This machine since it was started: two may share a name, and a folder that holds locks."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:  # not Linux
        boot = "0"
    return f"{host()}-{boot}"


def lock_path(locks: Path, key: str) -> Path:
    """The lock in the folder `locks` of what `key` names, on this machine."""
    return locks.resolve() / f"{machine()}-{key}"


def identity(lock: Path) -> list[int]:
    """What tells a file from one of the same path in another container; [] where there is none.

    Containers of one machine may share its name, but not its folders.
    """
    try:
        found = lock.stat()
    except OSError:
        return []
    return [found.st_dev, found.st_ino]


class Claim(Watch):
    """A cell that this process, and no other, is to run, for as long as the context lasts.

    A thread beats, and writes down step and validation values: training never waits for a
    storage but where `before_write` has to be sure.
    """

    def __init__(
        self,
        storage: RDBStorage,
        url: str,
        trial_id: int,
        lock: Path,
        folder: Path,
        cell: "Cell",
    ) -> None:
        self.cell = cell
        self.storage, self.url, self.trial_id = storage, url, trial_id
        self.place = {"folder": str(folder.resolve()), "lock": str(lock), "file": identity(lock)}
        self.step = self.saved = 0
        self._values: list[tuple[int, float]] = []
        self._told = 0  # the step of the last checkpoint that the storage knows of
        self._confirmed = time.monotonic()
        self._lost = False
        self._turn = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def stepped(self, step: int) -> None:
        """Remember the step; the next heartbeat tells it."""
        self.step = step

    def validated(self, step: int, value: float) -> None:
        """Keep a validation's value; the next heartbeat stores it."""
        self._values.append((step, value))

    def stop(self) -> bool:
        """Whether someone asked this worker to stop, or the trial is another's."""
        return self._lost or signals.stopping()

    def before_write(self) -> None:
        """Make sure that the trial is still this worker's.

        While the storage is away it is, until others might take the worker for dead.

        Raises:
            LostClaim: it is not.
            StorageError: the storage cannot be asked.
        """
        self.saved = self.step
        if self._told == self.saved and time.monotonic() - self._confirmed < BEAT:
            return
        try:
            self.tell()
        except Exception as error:
            if is_away(error) and time.monotonic() - self._confirmed < GRACE:
                return
            patiently(self.tell, self.url, tell=False)

    def tell(self, *, beat: bool = True) -> None:
        """Write down what there is to tell, and beat.

        Raises:
            LostClaim: the trial has been closed by another.
        """
        with self._turn:
            saved = self.saved
            state = {"step": self.step, "saved": saved, "host": host(), "machine": machine()}
            state |= {"pid": os.getpid(), **self.place}
            try:
                self.storage.set_trial_user_attr(self.trial_id, RUN, state)
                while self._values:
                    self.storage.set_trial_intermediate_value(self.trial_id, *self._values[0])
                    del self._values[0]
            except UpdateFinishedTrialError:
                self._lost = True
                raise LostClaim from None
            if beat:
                self.storage.record_heartbeat(self.trial_id)
            self._told, self._confirmed = saved, time.monotonic()

    def close(
        self,
        state: TrialState,
        values: Sequence[float] | None = None,
        attributes: Mapping[str, Any] = EMPTY,
    ) -> None:
        """End the trial.

        Raises:
            LostClaim: another has ended it otherwise.
            StorageError: the storage cannot be told.
        """

        def closed() -> None:
            try:
                self.tell(beat=False)
                for key, value in attributes.items():
                    self.storage.set_trial_user_attr(self.trial_id, key, value)
                self.storage.set_trial_state_values(self.trial_id, state, values)
            except (LostClaim, UpdateFinishedTrialError):
                # An earlier try may have come through without our hearing of it.
                if self.storage.get_trial(self.trial_id).state != state:
                    raise LostClaim from None

        patiently(closed, self.url, tell=False)

    def complete(self, value: float) -> None:
        """Close the cell with its primary metric.

        Raises:
            LostClaim: it was given to another worker.
        """
        self.close(TrialState.COMPLETE, [value])

    def fail(self, reason: str) -> None:
        """Close the cell as failed, a strike; a ledger may give it another trial."""
        self.close(TrialState.FAIL, attributes={ENDED: FAILED, ERROR: reason})

    def give_back(self, why: str) -> None:
        """Close the cell, which is no worse than before: its run was interrupted."""
        self.close(TrialState.FAIL, attributes={ENDED: INTERRUPTED, ERROR: why})

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(Exception):  # the run meets it itself when it writes
                self.tell()


def take(claim: Claim) -> bool:
    """Whether the trial was waiting until now, and is ours; the caller has its lock."""
    # Others must be able to judge a worker that dies right after it took the trial, so what they
    # judge by is there before. Only where another machine might write the attribute at the same
    # moment is it written after, and the heartbeat has to do in between.
    alone = claim.storage.engine.name == "sqlite"

    def taken() -> bool:
        try:
            if alone:
                claim.tell()
            else:
                claim.storage.record_heartbeat(claim.trial_id)
            return bool(claim.storage.set_trial_state_values(claim.trial_id, TrialState.RUNNING))
        except (LostClaim, UpdateFinishedTrialError):  # claimed and finished since it was listed
            return False

    if not patiently(taken, claim.url, tell=False):
        return False
    if not alone:
        patiently(lambda: claim.tell(beat=False), claim.url, tell=False)
    return True


def close_orphans(study: optuna.Study, storage: RDBStorage) -> None:
    """Mark as failed the running trials whose worker died."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    silent = storage._get_stale_trial_ids(study._study_id) if running and steady() else []
    for trial in running:
        run = trial.user_attrs.get(RUN)
        if run is None and storage.engine.name == "sqlite":
            _close(storage, trial)  # by a version that kept no heartbeat
        elif run is not None and run["machine"] == machine() and _same_lock(run):
            with suppress(Timeout), FileLock(run["lock"]).acquire(timeout=0):
                _close(storage, trial)
        elif trial._trial_id in silent:
            _close(storage, trial)


def _same_lock(run: Mapping[str, Any]) -> bool:
    """Whether the lock of an attempt is the file that we see by its path."""
    return bool(run.get("file")) and identity(Path(run["lock"])) == run["file"]


def _close(storage: RDBStorage, trial: FrozenTrial) -> None:
    run = trial.user_attrs.get(RUN, {})
    reason = f"its worker died at step {run.get('step', 0)} ({run.get('host', 'unknown host')})"
    with suppress(UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial._trial_id, ENDED, DIED)
        storage.set_trial_user_attr(trial._trial_id, ERROR, reason)
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
