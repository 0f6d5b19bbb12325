"""A grid: the question, the arms, the contrasts and the margin, fixed before the runs."""

import importlib
import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from experiments import grids, text
from experiments import task as tasks
from experiments.config import (
    Knobs,
    LossConfig,
    RunConfig,
    TaskName,
    TrainConfig,
    code_digest,
    run_hash,
)
from experiments.data import DataConfig
from experiments.data.sources import SHIPPED, WORDS, configure
from experiments.errors import UserError, misnamed, unknown
from experiments.files import weights_digest
from experiments.metrics import GRADIENT, MAXIMA, METRICS

SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]*")  # what names are: they become those of folders
VALIDATED = {"masks": METRICS, "text": text.VALIDATED}  # what may pick the checkpoint
MEASURED = {"masks": (*METRICS, *GRADIENT, *MAXIMA), "text": text.MEASURED}  # and judge the test


@dataclass(frozen=True)
class Arm:
    """One setting under comparison: its losses and model switches, as plain data."""

    about: str
    loss: LossConfig
    model: Knobs = field(default_factory=dict)
    boxes: Knobs = field(default_factory=dict)  # before those of the preset


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
    minutes: float | None = None  # a run takes, two at once on 2 cores; None: not measured
    test: bool = True  # False: the table shows no test and no verdict
    boxes: Knobs = field(default_factory=dict)  # of text: how a map becomes boxes


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
    task: TaskName = "masks"

    def __post_init__(self) -> None:
        for kind, names in (("grid", [self.name]), ("preset", self.presets), ("arm", self.arms)):
            for name in names:
                check_name(kind, name)
        for arm in (self.baseline, *(a for c in self.contrasts for a in (c.arm, c.minus))):
            if arm not in self.arms:
                raise unknown(f"arm in grid {self.name!r}", arm, self.arms)
        self._check_contrasts()
        if self.primary not in VALIDATED[self.task]:
            known = VALIDATED[self.task]
            raise unknown(f"primary metric in grid {self.name!r}", self.primary, known)
        for metric in self.guards:
            if metric not in MEASURED[self.task]:
                raise unknown(f"guard in grid {self.name!r}", metric, MEASURED[self.task])
        if self.margin <= 0:
            raise UserError(f"grid {self.name!r}: margin is {self.margin}, expected above 0")

    def _check_contrasts(self) -> None:
        """Each pair of arms once: p is adjusted for the number of contrasts."""
        pairs: set[frozenset[str]] = set()
        for contrast in self.contrasts:
            pair = frozenset((contrast.arm, contrast.minus))
            if len(pair) < 2 or pair in pairs:
                raise UserError(
                    f"grid {self.name!r}: contrast {contrast.arm!r} minus {contrast.minus!r} "
                    "compares an arm with itself or is there already, reversed perhaps"
                )
            pairs.add(pair)


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
        from experiments.provenance import commit, versions  # pandas: --help needs none of it

        return {
            "arm": self.arm,
            "hash": self.hash,
            "data_digest": self.data_digest,
            "code_digest": code_digest(),
            "commit": commit(),
            "versions": json.dumps(versions()),
        }


def check_name(kind: str, name: str) -> None:
    """Refuse a name that could lead out of the results folder, or that no shell likes.

    Raises:
        UserError: anything but small letters, digits, "_", "." and "-".
    """
    if not SLUG.fullmatch(name):
        raise UserError(
            f"{kind} is named {name!r}, expected small letters, digits, '_', '.' and '-', the "
            "first a letter or digit"
        )


def names() -> list[str]:
    """The grids that `experiments/grids/` holds."""
    return sorted(module.name for module in pkgutil.iter_modules(grids.__path__))


def find(name: str) -> Grid:
    """The grid of that name.

    Raises:
        UserError: no such grid, with the nearest name; a file whose grid has another name, whose
            results would be among those of the grid it was copied from.
    """
    if name not in names():
        raise unknown("grid", name, names())
    grid: Grid = importlib.import_module(f"experiments.grids.{name}").GRID
    if grid.name != name:
        raise misnamed("grid", name, grid.name)
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
            spec = tasks.main_loss(name, grid.task)
        except ValueError as error:
            raise UserError(f"--loss: {error}") from error
        about = (spec.fn.__doc__ or name).strip().splitlines()[0]
        loss = replace(grid.arms[grid.baseline].loss, pixel={"name": name})
        arms[name] = replace(grid.arms[grid.baseline], about=about, loss=loss)
        contrasts += (Contrast(name, grid.baseline, f"{name} instead of {grid.baseline}"),)
    return replace(grid, arms=arms, contrasts=contrasts)


def find_preset(
    grid: Grid,
    name: str,
    data: str | None = None,
    image_dir: str | None = None,
    mask_dir: str | None = None,
) -> Preset:
    """A preset of a grid, on other data if `data` names some.

    Raises:
        UserError: no such preset; no data named where the preset needs it.
    """
    if name not in grid.presets:
        raise unknown(f"preset of {grid.name!r}", name, grid.presets)
    preset = grid.presets[name]
    if data in (*SHIPPED, WORDS) and (image_dir or mask_dir):
        raise UserError(
            f"--image-dir and --mask-dir are for data of yours; {data!r} ships with the project"
        )
    if data:
        return replace(preset, data=configure(preset.data, data, image_dir, mask_dir))
    if not preset.data.name:
        noun, folders = {"masks": ("masks", "im/ and gt/"), "text": ("annotations", "img/, gts/")}[
            grid.task
        ]
        raise UserError(
            f"preset {name!r} ships no data: give --data PATH, a folder with train/, val/ and "
            f"test/, each with images and {noun} in folders such as {folders}"
        )
    if image_dir or mask_dir:
        raise UserError(
            "--image-dir and --mask-dir tell what is in the folders of --data: give it"
        )
    return preset


def data_digest(data: DataConfig, task: TaskName = "masks") -> str:
    """Digest over the three splits."""
    return "-".join(samples.digest[:8] for samples in tasks.find(task).splits(data))


def cells(grid: Grid, preset: Preset) -> list[Cell]:
    """The cells of a grid, seeds outermost: a grid that is stopped early still has whole pairs.

    Raises:
        UserError: two arms that are the same setting.
    """
    digest = data_digest(preset.data, grid.task)
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
    """The configuration of one cell; weights from a file count by what is in it."""
    chosen = grid.arms[arm]
    model = {**preset.model, **chosen.model}
    if found := weights_digest(model):
        model["weights_digest"] = found
    return RunConfig(
        seed=seed,
        data=preset.data,
        model=model,
        train=preset.train,
        loss=chosen.loss,
        select=grid.primary,
        task=grid.task,
        boxes={**preset.boxes, **chosen.boxes},
    )
