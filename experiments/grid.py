"""A grid: the question, the arms, the contrasts and the margin, fixed before the runs."""

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments import grids
from experiments.config import Knobs, LossConfig, RunConfig, TrainConfig, code_digest, run_hash
from experiments.data import Counts, DataConfig, load_splits
from experiments.errors import UserError, unknown
from experiments.files import file_digest
from experiments.metrics import METRICS
from experiments.objective import main_loss
from experiments.provenance import commit, versions

OF_TRAINING = ("freeze_backbone", "dropout", "drop_path", "checkpoint")  # switches of the model
EMBEDDED = Counts(train=488, val=40, test=92)  # 8, 2 and 4 compositions of each object


@dataclass(frozen=True)
class Arm:
    """One setting under comparison: its losses and model switches, as plain data."""

    about: str
    loss: LossConfig
    model: Knobs = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """A comparison named beforehand: `arm` minus `minus`, which should differ in one thing."""

    arm: str
    minus: str
    about: str


@dataclass(frozen=True)
class Preset:
    """A scale at which a grid is run."""

    about: str
    data: DataConfig
    model: Knobs
    train: TrainConfig
    seeds: int = 8
    test: bool = True  # False: the table shows no test and no verdict


@dataclass(frozen=True)
class Grid:
    """An ablation, pre-registered; `experiments/grids/<name>.py` holds one as GRID."""

    name: str
    question: str
    baseline: str
    arms: Mapping[str, Arm]
    contrasts: tuple[Contrast, ...]
    primary: str
    guards: tuple[str, ...]
    margin: float
    presets: Mapping[str, Preset]

    def __post_init__(self) -> None:
        for arm in (self.baseline, *(a for c in self.contrasts for a in (c.arm, c.minus))):
            if arm not in self.arms:
                raise unknown(f"arm in grid {self.name!r}", arm, self.arms)
        for metric in (self.primary, *self.guards):
            if metric not in METRICS:
                raise unknown(f"metric in grid {self.name!r}", metric, METRICS)
        if self.margin <= 0:
            raise UserError(f"grid {self.name!r}: margin is {self.margin}, expected above 0")


@dataclass(frozen=True)
class Cell:
    """One run of a grid: an arm at a seed, resolved."""

    arm: str
    seed: int
    config: RunConfig
    hash: str
    data_digest: str

    @property
    def folder(self) -> str:
        """Name of the run's folder under `runs/`."""
        return f"{self.arm}-seed{self.seed}-{self.hash}"

    def identity(self) -> dict[str, str]:
        """What a run's summary says of where it belongs."""
        return {
            "arm": self.arm,
            "hash": self.hash,
            "data_digest": self.data_digest,
            "code_digest": code_digest(),
            "commit": commit(),
            "versions": json.dumps(versions()),
        }


def names() -> list[str]:
    """The grids that `experiments/grids/` holds."""
    return sorted(module.name for module in pkgutil.iter_modules(grids.__path__))


def find(name: str) -> Grid:
    """The grid of that name.

    Raises:
        UserError: no such grid, with the nearest name.
    """
    if name not in names():
        raise unknown("grid", name, names())
    grid: Grid = importlib.import_module(f"experiments.grids.{name}").GRID
    return grid


def with_losses(grid: Grid, names: Sequence[str]) -> Grid:
    """The grid with registered losses as further arms, each compared with the baseline.

    Such an arm has its loss, with default knobs, for the baseline's pixel loss.

    Raises:
        UserError: an unknown loss, or the name of an arm that is there.
    """
    arms, contrasts = dict(grid.arms), grid.contrasts
    for name in names:
        if name in arms:
            raise UserError(f"--loss {name}: {grid.name!r} has an arm of that name")
        try:
            spec = main_loss(name)
        except ValueError as error:
            raise UserError(f"--loss: {error}") from error
        about = (spec.fn.__doc__ or name).strip().splitlines()[0]
        loss = replace(grid.arms[grid.baseline].loss, pixel={"name": name})
        arms[name] = replace(grid.arms[grid.baseline], about=about, loss=loss)
        contrasts += (Contrast(name, grid.baseline, f"{name} instead of {grid.baseline}"),)
    return replace(grid, arms=arms, contrasts=contrasts)


def find_preset(grid: Grid, name: str, data: str | None = None) -> Preset:
    """A preset of a grid, on other data if `data` names some.

    Raises:
        UserError: no such preset; no data named where the preset needs it.
    """
    if name not in grid.presets:
        raise unknown(f"preset of {grid.name!r}", name, grid.presets)
    preset = grid.presets[name]
    if data is not None and data != preset.data.name:
        counts = EMBEDDED if data == "embedded" else Counts()  # of other sets, all there is
        preset = replace(preset, data=replace(preset.data, name=data, counts=counts))
    if not preset.data.name:
        raise UserError(
            f"preset {name!r} ships no data: give --data PATH, a folder with train/, val/ and "
            "test/, each with im/ and gt/"
        )
    return preset


def with_start(preset: Preset, file: Path) -> Preset:
    """The preset with every run starting from an official checkpoint of BiRefNet.

    The checkpoint decides what the model is made of; the preset's switches of training stay.

    Raises:
        UserError: no such file.
    """
    if not file.is_file():
        raise UserError(f"--start {file}: no such file; expected a .pth or .safetensors file")
    kept = {key: value for key, value in preset.model.items() if key in OF_TRAINING}
    start = {"start": str(file.resolve()), "start_digest": file_digest(file)}
    return replace(preset, model={**start, **kept})


def data_digest(data: DataConfig) -> str:
    """Digest over the three splits."""
    return "-".join(samples.digest[:8] for samples in load_splits(data))


def cells(grid: Grid, preset: Preset) -> list[Cell]:
    """The cells of a grid, seeds outermost: a grid that is stopped early still has whole pairs.

    Raises:
        UserError: two arms that are the same setting.
    """
    digest = data_digest(preset.data)
    resolved = []
    for seed in range(preset.seeds):
        for name in grid.arms:
            config = resolve(grid, preset, name, seed)
            resolved.append(Cell(name, seed, config, run_hash(config, digest), digest))
    twins = {cell.hash: cell.arm for cell in resolved}
    for cell in resolved:
        if twins[cell.hash] != cell.arm:
            raise UserError(
                f"arms {cell.arm!r} and {twins[cell.hash]!r} of {grid.name!r} are the same setting"
            )
    return resolved


def resolve(grid: Grid, preset: Preset, arm: str, seed: int) -> RunConfig:
    """The configuration of one cell."""
    chosen = grid.arms[arm]
    return RunConfig(
        seed=seed,
        data=preset.data,
        model={**preset.model, **chosen.model},
        train=preset.train,
        loss=chosen.loss,
        select=grid.primary,
    )
