"""A search: which setting of a few knobs is best, by TPE on the validation split.

A setting is one Optuna trial with its seeds inside. The test split is never read and no seed is a
grid's, so a search only proposes arms: what they are worth, a grid decides.
"""

import argparse
import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from experiments import distributed, searches
from experiments import grid as grids
from experiments.cli.job import prepare
from experiments.config import PROJECT, Runtime, run_hash, statements
from experiments.errors import UserError, unknown
from experiments.grid import Arm, Cell, Grid, Preset
from experiments.metrics import LOWER_IS_BETTER

if TYPE_CHECKING:  # it needs a plan
    from experiments.search.study import Settings

FIRST_SEED = 1000  # outside the seeds of every grid; all settings share them and so are paired


@dataclass(frozen=True)
class Search:
    """What is tried; `experiments/searches/<name>.py` holds one as SEARCH.

    `suggest` draws the knobs from a trial one by one, so that a knob may exist only where another
    has some value, and makes an arm of them. `first` are settings tried before any is drawn.
    `trials` is the budget at each preset of `grid`, whose scales and primary metric are used.
    """

    name: str
    question: str
    grid: str
    suggest: Callable[[optuna.trial.BaseTrial], Arm]
    trials: Mapping[str, int]
    first: tuple[Mapping[str, Any], ...] = ()
    seeds: int = 2

    def definition(self, *more: str) -> str:
        """Digest of `more` and of what makes a setting from its number: `suggest` and its module.

        All of the module counts, as `suggest` may call any of it, but for its SEARCH, of which
        question and budget make no setting another one.
        """
        code = statements(Path(inspect.getfile(self.suggest))).splitlines()
        code = [line for line in code if not line.startswith("SEARCH = ")]
        drawn = [self.seeds, *map(dict, self.first), self.suggest.__qualname__, code]
        return hashlib.sha256(json.dumps([*more, *drawn]).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Plan:
    """A search at a preset in a folder: what one command is about."""

    search: Search
    grid: Grid
    preset_name: str
    preset: Preset
    folder: Path
    budget: int
    data_digest: str
    storage: str | None = None  # None: a SQLite file in the folder
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def study(self) -> str:
        """Name of the Optuna study."""
        return f"search/{self.search.name}/{self.preset_name}"

    @property
    def select(self) -> str:
        """The metric whose best value on the validation split is a run's."""
        return self.grid.primary

    @property
    def minimises(self) -> bool:
        """Whether the least value is the best."""
        return self.select in LOWER_IS_BETTER

    def best(self, *values: float) -> float:
        """The best of some values of the metric."""
        return min(values) if self.minimises else max(values)

    def cells(self, arm: Arm) -> list[Cell]:
        """The runs of a setting, one a seed; the first one's hash is the setting's identity."""
        name = self.search.name
        grid = replace(self.grid, arms={**self.grid.arms, name: arm})
        found = []
        for seed in range(FIRST_SEED, FIRST_SEED + self.search.seeds):
            config = grids.resolve(grid, self.preset, name, seed)
            key = run_hash(config, self.data_digest)
            found.append(Cell(name, seed, config, key, self.data_digest))
        return found

    def slots(self) -> list[Cell]:
        """The settings to try as cells of a ledger: the first so many are known by number alone.

        Other data, code, scale or definition make other slots, so that values are never mixed.
        """
        cell = self.cells(self.grid.arms[self.grid.baseline])[0]
        train = replace(cell.config.train, steps=cell.config.train.steps * self.search.seeds)
        config = replace(cell.config, train=train)  # of all seeds, for the bar
        key = self.search.definition(cell.hash)
        return [
            Cell(self.search.name, slot, config, f"{key}-{slot}", self.data_digest)
            for slot in range(self.budget)
        ]


def names() -> list[str]:
    """The searches that `experiments/searches/` holds."""
    return sorted(module.name for module in pkgutil.iter_modules(searches.__path__))


def find(name: str) -> Search:
    """The search of that name.

    Raises:
        UserError: no such search, with the nearest name.
    """
    if name not in names():
        raise unknown("search", name, names())
    search: Search = importlib.import_module(f"experiments.searches.{name}").SEARCH
    return search


def plan(options: argparse.Namespace) -> Plan:
    """Resolve the options to a plan; writes nothing.

    Raises:
        UserError: unknown names, missing data, a budget or a folder that cannot be.
    """
    search = find(options.search)
    if options.trials is not None and options.trials < 1:
        raise UserError(f"--trials is {options.trials}, expected 1 or more")
    if options.launcher != "local" or distributed.launched():
        raise UserError(
            "a search runs by processes of this machine; for several machines start the same "
            "command on each, with one --storage for all"
        )
    for text in options.set:
        if text.startswith(("loss.", "seeds=")):
            raise UserError(f"--set {text}: a search draws its losses, and its seeds are its own")
    job = prepare(argparse.Namespace(**{**vars(options), "grid": search.grid}))
    folder = options.out or PROJECT / "results" / "search" / search.name / job.preset_name
    _check_folder(folder, search.name, job.preset_name)
    return Plan(
        search=search,
        grid=job.grid,
        preset_name=job.preset_name,
        preset=job.preset,
        folder=folder,
        budget=options.trials or search.trials[options.preset],
        data_digest=job.cells[0].data_digest,
        storage=job.storage,
        runtime=job.runtime,
    )


def _check_folder(folder: Path, search: str, preset: str) -> None:
    if (folder / "grid.json").exists():
        raise UserError(f"{folder} is a grid's; a search writes into a folder of its own")
    if (folder / "search.json").is_file():
        there = json.loads((folder / "search.json").read_text(encoding="utf-8"))
        if (there["search"], there["preset"]) != (search, preset):
            raise UserError(
                f"{folder} holds search {there['search']}/{there['preset']}, and this is "
                f"{search}/{preset}; choose another --out"
            )


def run(options: argparse.Namespace) -> int:
    """Try settings until the budget is spent; the same command goes on where it stopped.

    Returns:
        0 only if every setting was tried; 1 if one failed; 2 if nothing can be stored; 128 + the
        signal that stopped it.

    Raises:
        UserError: a mistake in the options; storage or disk are at fault.
    """
    from experiments.search.study import Settings
    from experiments.workers.worker import told_where

    chosen = plan(options)
    if options.list:
        print(_listed(chosen))
        return 0
    try:
        (chosen.folder / "runs").mkdir(parents=True, exist_ok=True)
        settings = Settings(chosen)
    except OSError as error:
        raise UserError(f"cannot write to {chosen.folder}: {error}") from error
    if (begun := settings.plan.budget) > chosen.budget:
        print(f"{begun} settings were begun here before: they are the budget, not {chosen.budget}")
    with told_where(chosen.folder):
        return _start(settings, options) or _conclude(settings)


def _listed(plan: Plan) -> str:
    """The settings and their states; nothing is written."""
    from experiments.search.report import listing
    from experiments.search.study import Settings

    try:
        settings = Settings(plan, make=False)
    except KeyError:  # nothing is there yet
        return f"0 of {plan.budget} settings tried in {plan.folder}"
    return listing(settings)


def _start(settings: "Settings", options: argparse.Namespace) -> int:
    """Try what is left of the budget by processes of this machine; its exit code."""
    from experiments.search import worker as search_worker
    from experiments.search.report import write_summary
    from experiments.workers import supervise, worker

    plan, todo = settings.plan, settings.begin(options.retry)
    write_summary(settings)  # from here on the folder is this search's
    most = worker.at_once(plan.preset.train.threads, plan.runtime.device)
    count = min(options.workers or most, len(todo))
    what = f"trying {len(todo)} with {count} workers" if todo else "nothing to try"
    print(f"{plan.study}: {plan.budget} settings, {settings.tried()} tried; {what}")
    if stale := settings.superseded_settings():
        print(f"{stale} complete settings belong to earlier data, code, scale or definition; kept")
    if not todo:
        return 0
    return supervise.run_workers(
        search_worker.work,
        (plan, settings.slots),
        count,
        lambda: settings.pulse(settings.slots),
        unit="settings",
    )


def _conclude(settings: "Settings") -> int:
    """Write the report, say where it is; 1 if a setting is not tried."""
    from experiments.search.report import write

    print(write(settings))
    print(f"written to {settings.folder}: search.md, search.json")
    print(f"dashboard: {settings.dashboard}")
    if told := untried(settings):
        print(told)
    return int(bool(told))


def untried(settings: "Settings") -> str:
    """How many settings are left and what tries them; "" where none is."""
    from experiments.ledger.attempts import STRIKES

    left, struck = settings.plan.budget - settings.tried(), settings.struck()
    advice = ["the same command goes on"] * (left > struck)
    if struck:
        advice.append(f"{struck} failed {STRIKES} times: --retry all tries them again")
    told = f"{left} of {settings.plan.budget} settings are not tried; {'; '.join(advice)}"
    return told if left else ""
