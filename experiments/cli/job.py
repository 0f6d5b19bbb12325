"""What one command is about: a grid at a preset in a folder, resolved from the options."""

import argparse
import hashlib
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments import distributed
from experiments import grid as grids
from experiments.cli.start import with_start
from experiments.config import PROJECT, Runtime
from experiments.data import DataConfig
from experiments.data.splits import terms
from experiments.data.text_layouts import holds
from experiments.errors import UserError, unknown
from experiments.grid import Cell, Grid, Preset

PLAIN = re.compile(r"[^A-Za-z0-9_.,=+-]+")  # what a name of a folder is not made of
LONGEST = 120


@dataclass(frozen=True)
class Job:
    """A grid at a preset in a folder: what one command is about."""

    grid: Grid
    preset_name: str  # with what options changed in it: a study and a folder of their own
    preset: Preset
    folder: Path
    cells: list[Cell]  # all of the grid's
    chosen: list[Cell]  # those to run: all, or those of --arm
    storage: str | None  # None: a SQLite file in the folder
    runtime: Runtime
    workers: int | None = None  # None: as many as this machine carries
    command: str = ""  # that runs the same cells again

    @property
    def study(self) -> str:
        """Name of the Optuna study."""
        return f"{self.grid.name}/{self.preset_name}"


def prepare(options: argparse.Namespace) -> Job:
    """Resolve the options to a job; writes nothing.

    Raises:
        UserError: unknown names, missing data, a value that cannot be, a folder of committed
            results.
    """
    grid, preset, name = resolve(options)
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers is {options.workers}, expected 1 or more")
    if options.workers is not None and distributed.launched():
        raise UserError(
            "--workers under torchrun: its processes train each run together, one run after "
            "another; leave --workers out"
        )
    folder = options.out or PROJECT / "results" / grid.name / name
    check_folder(folder, grid.name, name)
    if options.search is None and (folder / "search.json").exists():
        raise UserError(f"{folder} is a search's; a grid writes into a folder of its own")
    for arm in options.arm:
        if arm not in grid.arms:
            raise unknown(f"arm of {grid.name!r}", arm, grid.arms)
    try:
        cells = grids.cells(grid, preset)
    except UserError as error:
        raise (mistaken(grid, preset.data) or error) from None
    chosen = [cell for cell in cells if cell.arm in (options.arm or grid.arms)]
    return Job(
        grid=grid,
        preset_name=name,
        preset=preset,
        folder=folder,
        cells=cells,
        chosen=chosen,
        storage=options.storage,
        runtime=Runtime(device=options.device, tensorboard=options.tensorboard),
        workers=options.workers or (1 if options.launcher == "slurm" else None),
        command=command(options),
    )


def mistaken(grid: Grid, data: DataConfig) -> UserError | None:
    """The error of masks for a grid of text, or the other way round; None: it is another."""
    roots = [root for _, root in terms(data.name)]
    kinds = {holds(root, data.image_dir, data.mask_dir) for root in roots} - {None}
    if not kinds or grid.task in kinds:
        return None
    task, nouns = ("text", "words and no masks")
    if grid.task == "text":
        task, nouns = ("masks", "masks and no words")
    fit = [name for name in grids.names() if grids.find(name).task == task]
    return UserError(
        f"{data.name} has {nouns}, and {grid.name!r} is a grid of {grid.task}; of {task}: "
        f"{', '.join(fit)}"
    )


def resolve(options: argparse.Namespace) -> tuple[Grid, Preset, str]:
    """Grid and preset with everything that options change in them, and what that is called."""
    grid = grids.with_losses(grids.find(options.grid), options.loss)
    preset = grids.find_preset(
        grid, options.preset, options.data, options.image_dir, options.mask_dir
    )
    name = options.preset
    if options.start:
        if grid.task != "masks":
            raise UserError(f"--start: an official BiRefNet does not fit a grid of {grid.task}")
        preset = with_start(preset, options.start)
        name += f"-from-{label(options.start.stem)}-{preset.model['start_digest'][:8]}"
    if options.data and preset.data != grid.presets[options.preset].data:
        name += f"-{label(data_name(options.data))}"
    settings = [*options.set, *(["train.deterministic=true"] if options.deterministic else [])]
    if settings:
        from experiments.cli import (
            overrides,  # it knows the models, which --help need not wait for
        )

        grid, preset, changed = overrides.apply(grid, preset, settings, options.arm)
        name += f"+{label(changed)}" if changed else ""
    return grid, preset, name


def command(options: argparse.Namespace) -> str:
    """The command that names the same cells in the same folder: of the options those that decide
    a result or where it lies."""
    words = ["python", "experiments/run.py"]
    for name in ("grid", "search", "preset", "data", "image_dir", "mask_dir", "start", "out"):
        if value := getattr(options, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    for name in ("loss", "set"):
        words += [word for value in getattr(options, name) for word in (f"--{name}", value)]
    return shlex.join([*words, *(["--deterministic"] if options.deterministic else [])])


def check_folder(folder: Path, grid: str, preset: str) -> None:
    """Refuse a folder whose results this job would mix with its own.

    Raises:
        UserError: it holds committed results, those of another grid or preset, or a grid.json
            that is none.
    """
    reference = PROJECT / "results" / "reference"
    if folder.resolve().is_relative_to(reference):
        raise UserError(f"{reference} holds committed results; choose another --out")
    check_same(folder, "grid", grid, preset)


def check_same(folder: Path, kind: Literal["grid", "search"], name: str, preset: str) -> None:
    """Refuse a folder whose `grid.json` or `search.json` belongs to another name or preset.

    Raises:
        UserError: it does, or it is no JSON.
    """
    file = folder / f"{kind}.json"
    if not file.is_file():
        return
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{file} is no JSON ({error}); delete it, and it is written anew"
        ) from error
    theirs = there.get(kind), there.get("preset")
    if theirs != (name, preset):
        raise UserError(
            f"{folder} holds {kind} {theirs[0]}/{theirs[1]}, and this is {name}/{preset}; "
            "choose another --out"
        )


def label(text: str) -> str:
    """A text as a part of a folder's name; where that loses something, with a digest.

    >>> label("train.lr=0.0001"), label("/data/my set")
    ('train.lr=0.0001', 'data-my-set-95f6e628')
    """
    plain = PLAIN.sub("-", text).strip("-.")[:LONGEST]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def data_name(text: str) -> str:
    """What `--data` is called in a study's name: its label, or its folders.

    >>> data_name("/data/DUTS/"), data_name("DIS5K=/data/v1"), data_name("train=/a/b+/c/d,test=e")
    ('DUTS', 'DIS5K', 'b+d,e')
    """
    if named := re.match(r"(?!train=|val=|test=)([^=/\\+,]+)=", text):
        return named[1]
    return re.sub(r"[^+,]+", lambda part: Path(part[0].rpartition("=")[2]).resolve().name, text)
