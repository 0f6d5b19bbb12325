"""Which cells are done: an Optuna study, one trial per attempt at a cell, claimed by one worker.

Trials are claimed one by one through the storage, not by `study.ask()`, which invents a trial
where none waits. Arm and hash are user attributes, so that a grid may grow new arms.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL

from experiments.artifacts import FOLDER, attach
from experiments.errors import UserError
from experiments.ledger.attempts import (
    RUN_BY,
    CellState,
    Retry,
    abandoned,
    failures,
    running,
    settings,
    state_of,
)
from experiments.ledger.claim import (
    RUN,
    Claim,
    close_orphans,
    host,
    lock_path,
    take,
)
from experiments.ledger.outage import parse, patiently, shown
from experiments.ledger.pulse import Pulse, Running
from experiments.ledger.storage import exclusive, open_storage, open_study

if TYPE_CHECKING:  # a ledger needs no torch
    from experiments.grid import Cell

T = TypeVar("T")
Wanted = Callable[["Cell", Sequence[FrozenTrial]], bool]
OPEN_STATES = (TrialState.RUNNING, TrialState.WAITING)
SEEDS = IntDistribution(0, 9999)


class Ledger:
    """The cells of one grid and preset, and what has become of them.

    Args:
        folder: the results folder of the study on this machine.
        study: the study's name.
        storage: database URL; a SQLite file in `folder` where None.
        metric: the metric of a complete cell; of a study that is there, its own.
        make: False for a look at what is there.
        tell: whether to say on stderr that the storage is away; a worker's command says so for it.

    Raises:
        StorageError: the storage cannot be used.
        KeyError: there is no such study, and none is to be made.
    """

    def __init__(
        self,
        folder: Path,
        study: str,
        storage: str | None = None,
        metric: str | None = None,
        *,
        make: bool = True,
        tell: bool = True,
    ) -> None:
        self.folder, self.tell = folder, tell
        file = URL.create("sqlite", database=str(folder.resolve() / "ledger.db"))
        self.url = storage or file.render_as_string()
        self.shown, self.locks = shown(self.url), folder / "locks"
        if (parsed := parse(self.url)).get_backend_name() == "sqlite":  # it may be others' too
            self.locks = Path(parsed.database or "").parent / "locks"
        self.storage = open_storage(self.url, make=make, tell=tell)
        if make:
            self.locks.mkdir(parents=True, exist_ok=True)
        self.study = self._patiently(
            lambda: open_study(self.storage, self.url, study, metric, make=make)
        )
        self._settings: dict[str, dict[str, Any]] = {}  # by arm, what sets it apart
        self._past: set[int] = set()  # trials that had ended before this command
        self._todo: set[str] = set()  # hashes of the cells that this command is to run

    @property
    def dashboard(self) -> str:
        """The command that shows the study in the Optuna dashboard."""
        artifacts = shlex.quote(str(self.folder / FOLDER))
        return (
            f"pip install optuna-dashboard; optuna-dashboard {shlex.quote(self.shown)} "
            f"--artifact-dir {artifacts}"
        )

    def describe(self, cells: Sequence["Cell"], **about: str) -> None:
        """Say on the study what it is about, for the dashboard; `cells` are all of the grid's.

        From here on a new trial also tells its arm's settings: those that differ between arms.
        """
        self._settings = settings(cells)

        def described() -> None:
            for key, value in {**about, "hashes": [cell.hash for cell in cells]}.items():
                self.study.set_user_attr(key, value)

        self._patiently(described)

    def enqueue(self, cells: Sequence["Cell"], *, retry: Retry = "failed") -> list["Cell"]:
        """Make a waiting trial of every cell that is to be run, and return those that are.

        Complete is what the ledger says is complete and whose results are here, or on another
        machine. A trial left running by a worker that died is closed first; one left waiting by
        a command that ended is still wanted.

        Args:
            cells: candidates.
            retry: which cells that did not succeed: "failed" those with fewer than STRIKES
                strikes, "all" every one and those whose results are on another machine, "none"
                only what never failed.
        """
        for cell in cells:
            _check_inside(self.folder / "runs", cell.folder)
        self._past = {t._trial_id for t in self._trials() if t.state.is_finished()}

        def wanted(cell: "Cell", past: Sequence[FrozenTrial]) -> bool:
            return self._state(cell, past).state in RUN_BY[retry]

        todo = self._enqueue(cells, wanted)
        self._todo = {cell.hash for cell in todo}
        return todo

    def revive(self, cells: Sequence["Cell"]) -> None:
        """Give the cells of workers that died under this command another trial.

        Those that another machine gave back too; what was stopped on this one, a person stopped.
        """

        def died(_cell: "Cell", past: Sequence[FrozenTrial]) -> bool:
            return abandoned([trial for trial in past if trial._trial_id not in self._past])

        self._patiently(lambda: close_orphans(self.study, self.storage))
        known = self._attempts(cells)
        if any(died(cell, known[cell.hash]) for cell in cells):
            self._enqueue(cells, died)

    @contextmanager
    def claim(self, cells: Sequence["Cell"]) -> Iterator[Claim | None]:
        """Claim one waiting cell for as long as the context lasts; None when none waits.

        Raises:
            UserError: this process has other code than the command that enqueued the cell.
        """
        by_hash = {cell.hash: cell for cell in cells}
        for trial in self._trials(TrialState.WAITING):
            cell = by_hash.get(trial.user_attrs["hash"])
            if cell is None:
                continue
            _check_code(cell, trial)
            path = lock_path(self.locks, f"{self.study._study_id}-{cell.hash}")
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                claim = Claim(self.storage, self.url, trial._trial_id, path, self.folder, cell)
                if take(claim):
                    with claim:
                        yield claim
                    return
            finally:
                lock.release()
        yield None

    def show(self, claim: Claim, image: Path) -> None:
        """Show an image at a claimed trial."""
        self._patiently(lambda: attach(self.storage, claim.trial_id, image, self.folder))

    def states(self, cells: Sequence["Cell"]) -> dict[str, CellState]:
        """State of each cell by hash."""
        known = self._attempts(cells)
        return {cell.hash: self._state(cell, known[cell.hash]) for cell in cells}

    def superseded(self, cells: Sequence["Cell"]) -> list[CellState]:
        """The complete cells of these seeds that are none of `cells`.

        They are of another definition of arm, data or code, or of an arm that is left out.
        """
        hashes, seeds = {cell.hash for cell in cells}, {cell.seed for cell in cells}
        return [
            state_of(t.user_attrs["arm"], t.user_attrs["seed"], t.user_attrs["hash"], [t])
            for t in self._trials(TrialState.COMPLETE)
            if t.user_attrs["hash"] not in hashes and t.user_attrs["seed"] in seeds
        ]

    def running(self, cells: Sequence["Cell"]) -> list[Running]:
        """The runs that some worker, of this machine or another, is at."""
        by_hash = {cell.hash: cell for cell in cells}
        trials = [(t, by_hash.get(t.user_attrs["hash"])) for t in self._trials(TrialState.RUNNING)]
        return [running(t, cell.config.train.steps) for t, cell in trials if cell is not None]

    def pulse(self, cells: Sequence["Cell"]) -> Pulse:
        """How things stand; on the way the cells of workers that died are returned."""
        self.revive(cells)
        known = self._attempts(cells)
        latest = {key: trials[-1].state for key, trials in known.items() if trials}
        attempts = [trial for trials in known.values() for trial in trials]
        return Pulse(
            total=len(cells),
            done=sum(state == TrialState.COMPLETE for state in latest.values()),
            waiting=sum(latest.get(key) == TrialState.WAITING for key in self._todo),
            begun=sum(trial.state != TrialState.WAITING for trial in attempts),
            running=tuple(self.running(cells)),
            failures=failures(t for t in attempts if t._trial_id not in self._past),
        )

    def _enqueue(self, cells: Sequence["Cell"], wanted: Wanted) -> list["Cell"]:
        """The wanted cells; each has a waiting or running trial afterwards."""

        def enqueued() -> list["Cell"]:
            with exclusive(self.url):
                close_orphans(self.study, self.storage)
                known, todo = self._attempts(cells), []
                for cell in cells:
                    now = {t.state for t in known[cell.hash]} & {*OPEN_STATES}
                    if TrialState.RUNNING in now or wanted(cell, known[cell.hash]):
                        todo.append(cell)
                        if not now:
                            self.study.add_trial(self._trial(cell))
                return todo

        return self._patiently(enqueued)

    def _trial(self, cell: "Cell") -> FrozenTrial:
        return optuna.create_trial(
            state=TrialState.WAITING,
            params={"seed": cell.seed},
            distributions={"seed": SEEDS},
            user_attrs={
                **self._settings.get(cell.arm, {}),
                **cell.identity(),
                "arm": cell.arm,
                "seed": cell.seed,
                "hash": cell.hash,
            },
        )

    def _state(self, cell: "Cell", attempts: Sequence[FrozenTrial]) -> CellState:
        """The state of a cell, by its attempts and by where its results are."""
        found = state_of(cell.arm, cell.seed, cell.hash, attempts)
        if found.state != "complete" or self._here(cell):
            return found
        if self._elsewhere(cell, attempts[-1]):
            reason = f"complete at {found.where}; its files are not here"
            return replace(found, state="elsewhere", reason=reason)
        return replace(found, state="missing", reason="its results are gone")

    def _here(self, cell: "Cell") -> bool:
        """Whether the results of a cell are in this folder."""
        return _results(self.folder, cell).exists()

    def _elsewhere(self, cell: "Cell", trial: FrozenTrial) -> bool:
        """Whether the results of a complete trial, which are not here, are in another folder."""
        run = trial.user_attrs.get(RUN)
        if run is None:
            return False
        there = Path(run["folder"])
        if run["host"] == host():
            return there != self.folder.resolve() and _results(there, cell).exists()
        return True

    def _attempts(self, cells: Sequence["Cell"]) -> dict[str, list[FrozenTrial]]:
        known: dict[str, list[FrozenTrial]] = {cell.hash: [] for cell in cells}
        for trial in self._trials():
            known.get(trial.user_attrs["hash"], []).append(trial)
        return known

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._patiently(
            lambda: self.study.get_trials(deepcopy=False, states=states or None)
        )

    def _patiently(self, call: Callable[[], T]) -> T:
        return patiently(call, self.url, tell=self.tell)


def _results(folder: Path, cell: "Cell") -> Path:
    """The file that a finished run of the cell leaves last."""
    from experiments.results import FINISHED  # torch: no worker needs it

    return folder / "runs" / cell.folder / FINISHED


def _check_code(cell: "Cell", trial: FrozenTrial) -> None:
    """A worker that is started later than its command imports what is on the disk by then."""
    found = cell.identity()["code_digest"]
    expected = trial.user_attrs.get("code_digest", found)  # an earlier version's search has none
    if found != expected:
        raise UserError(
            f"the code was changed while the command ran: {cell.arm} seed {cell.seed} is of code "
            f"{expected}, and on the disk is {found}; start the command again for runs of the "
            "new code, or put the old code back"
        )


def _check_inside(runs: Path, name: str) -> None:
    if not (runs / name).resolve().is_relative_to(runs.resolve()) or "/" in name:
        raise UserError(f"a run's folder would be {runs / name}, expected one inside {runs}")
