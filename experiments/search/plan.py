"""A search at a preset in a folder: resolved from the options, before anything is written."""

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments import distributed
from experiments import grid as grids
from experiments.cli.job import check_same, prepare
from experiments.config import PROJECT, Runtime, run_hash
from experiments.errors import UserError
from experiments.grid import Arm, Cell, Grid, Preset
from experiments.metrics import LOWER_IS_BETTER
from experiments.search.search import Search, find

FIRST_SEED = 1000  # outside the seeds of every grid; all settings share them and so are paired


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
    if options.trials is None and options.preset not in search.trials:
        raise UserError(
            f"search {search.name!r} names no budget for preset {options.preset!r} (for: "
            f"{', '.join(search.trials)}): give --trials"
        )
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
    check_same(folder, "search", search, preset)
