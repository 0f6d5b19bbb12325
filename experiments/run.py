"""Run a grid: train every missing cell, then write its table and figures.

python experiments/run.py --grid grad_loss
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from experiments import grid as grids
from experiments import provenance
from experiments.config import PROJECT, code_digest
from experiments.errors import UserError, unknown
from experiments.files import whole
from experiments.grid import Cell, Grid, Preset
from experiments.ledger import Ledger
from experiments.results import FINISHED
from experiments.worker import work


@dataclass(frozen=True)
class Job:
    """A grid at a preset in a folder: what one command is about."""

    grid: Grid
    preset_name: str
    preset: Preset
    folder: Path
    cells: list[Cell]  # all of the grid's
    chosen: list[Cell]  # those to run: all, or those of --arm

    @property
    def study(self) -> str:
        """Name of the Optuna study."""
        return f"{self.grid.name}/{self.preset_name}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0 only if every cell is complete."""
    options = parser().parse_args(arguments)
    try:
        job = prepare(options)
        if options.list:
            print(listing(job))
            return 0
        return run(job, options.workers)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The options, with the grids and their questions below them."""
    lines = []
    for name in grids.names():
        lines.append(f"  {name:<14}{grids.find(name).question}")
        lines += [f"    {p:<12}{preset.about}" for p, preset in grids.find(name).presets.items()]
    p = argparse.ArgumentParser(
        prog="python experiments/run.py",
        description="Train every cell of a grid that is not complete yet, then write its table "
        "and figures. The same command goes on where it stopped.",
        epilog="grids and their presets:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--grid", required=True, metavar="NAME", help="which grid (see below)")
    p.add_argument(
        "--preset", default="laptop", metavar="NAME", help="its scale (default: laptop; see below)"
    )
    p.add_argument(
        "--data", metavar="SET", help="embedded, thin3d, or a folder with {train,val,test}/{im,gt}"
    )
    p.add_argument("--arm", action="append", metavar="NAME", help="only this arm (repeatable)")
    p.add_argument(
        "--loss", action="append", metavar="NAME", help="add this registered loss as an arm"
    )
    p.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="start every run from this official BiRefNet checkpoint, whose model it then is",
    )
    p.add_argument("--out", type=Path, metavar="DIR", help="default: results/<grid>/<preset>")
    p.add_argument(
        "--workers", type=int, metavar="N", help="runs at once (default: cores / threads per run)"
    )
    p.add_argument("--list", action="store_true", help="show each cell and its state, run nothing")
    return p


def prepare(options: argparse.Namespace) -> Job:
    """Resolve the options to a job.

    Raises:
        UserError: unknown names, missing data, an impossible number of workers.
    """
    grid = grids.with_losses(grids.find(options.grid), options.loss or ())
    preset = grids.find_preset(grid, options.preset, options.data)
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers is {options.workers}, expected 1 or more")
    name = options.preset
    if options.start:
        preset = grids.with_start(preset, options.start)
        name = f"{name}-from-{options.start.stem}-{preset.model['start_digest'][:8]}"
    other = f"-{Path(options.data).name}" if options.data else ""
    folder = options.out or PROJECT / "results" / grid.name / f"{name}{other}"
    reference = PROJECT / "results" / "reference"
    if folder.resolve().is_relative_to(reference):
        raise UserError(f"{reference} holds committed results; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error}") from error
    for arm in options.arm or ():
        if arm not in grid.arms:
            raise unknown(f"arm of {grid.name!r}", arm, grid.arms)
    cells = grids.cells(grid, preset)
    chosen = [cell for cell in cells if cell.arm in (options.arm or grid.arms)]
    return Job(grid, name, preset, folder, cells, chosen)


def run(job: Job, workers: int | None) -> int:
    """Run what is missing, then analyse what is there."""
    ledger = Ledger(job.folder, job.study)
    done = {c.hash for c in job.chosen if (job.folder / "runs" / c.folder / FINISHED).exists()}
    ledger.enqueue(job.chosen, done)
    states = ledger.states(job.chosen)
    missing = sum(state != "complete" for state, _ in states.values())
    at_once = torch.cuda.device_count() or (os.cpu_count() or 1) // job.preset.train.threads
    count = min(workers or max(1, at_once), missing)
    print(
        f"{job.study}: {len(job.chosen)} cells, {len(job.chosen) - missing} complete; "
        f"running {missing} with {count} workers"
    )
    stale = ledger.superseded(job.cells)
    if stale:
        print(f"{stale} complete cells belong to an earlier definition of arm, data or code; kept")
    write_grid(job, ledger)
    if missing:
        supervise(job, ledger, count)
        write_grid(job, ledger)
    return conclude(job, ledger)


def supervise(job: Job, ledger: Ledger, count: int) -> None:
    """Start the workers and show the progress until they end."""
    context = multiprocessing.get_context("spawn")
    arguments = (job.folder, job.study, job.chosen, os.getpid())
    processes = [context.Process(target=work, args=(*arguments, i)) for i in range(count)]
    for process in processes:
        process.start()
    form = "{l_bar}{bar}| {n:.1f}/{total} cells [{elapsed} < {remaining}]"
    try:
        with tqdm(total=len(job.chosen), bar_format=form, disable=None) as bar:
            bar.initial = bar.n = bar.last_print_n = ledger.progress(job.chosen)
            while any(process.is_alive() for process in processes):
                time.sleep(1)
                bar.update(max(0.0, ledger.progress(job.chosen) - bar.n))
    except KeyboardInterrupt:
        print("stopping; the same command goes on from here", file=sys.stderr)
        for process in processes:
            process.terminate()
        raise SystemExit(130) from None
    finally:
        for process in processes:
            process.join()
        ledger.close_orphans()


def conclude(job: Job, ledger: Ledger) -> int:
    """Write table and figures, say where they are and what is missing."""
    from analysis.report import write  # matplotlib: not needed by --list and --help

    states = ledger.states(job.chosen)
    bad = [(cell, *states[cell.hash]) for cell in job.chosen if states[cell.hash][0] != "complete"]
    for cell, state, reason in bad:
        print(f"{state}: {cell.arm} seed {cell.seed}: {reason}", file=sys.stderr)
    if len(bad) < len(job.chosen):
        try:
            written = write(job.folder)
        except (ValueError, OSError) as error:
            raise UserError(f"the analysis refused these results: {error}") from error
        print((job.folder / "table.md").read_text(encoding="utf-8"))
        print(f"written to {job.folder}: " + ", ".join(path.name for path in written))
    print(f"dashboard: pip install optuna-dashboard; optuna-dashboard {ledger.url}")
    if bad:
        print(
            f"{len(bad)} of {len(job.chosen)} cells are not complete; the same command tries again"
        )
    return 1 if bad else 0


def listing(job: Job) -> str:
    """The cells and their states, a line each."""
    ledger = Ledger(job.folder, job.study)
    ledger.close_orphans()
    states = ledger.states(job.chosen)
    rows = [
        f"{c.arm:<18}seed {c.seed:<3}{states[c.hash][0]:<10}{c.hash}  {states[c.hash][1]}".rstrip()
        for c in job.chosen
    ]
    done = sum(state == "complete" for state, _ in states.values())
    return "\n".join([*rows, f"{done} of {len(rows)} cells complete in {job.folder}"])


def write_grid(job: Job, ledger: Ledger) -> None:
    """Write `grid.json`: the pre-registration and the state of the cells, for the analysis."""
    grid, states = job.grid, ledger.states(job.cells)
    made_at, made_with = provenance.of_runs(job.folder / "runs" / c.folder for c in job.cells)
    content: dict[str, Any] = {
        "grid": grid.name,
        "preset": job.preset_name,
        "question": grid.question,
        "arms": list(grid.arms),
        "descriptions": {name: arm.about for name, arm in grid.arms.items()},
        "baseline": grid.baseline,
        "contrasts": [{"arm": c.arm, "minus": c.minus, "about": c.about} for c in grid.contrasts],
        "primary": grid.primary,
        "guards": list(grid.guards),
        "margin": grid.margin,
        "seeds": sorted({cell.seed for cell in job.cells}),
        "data": {"name": job.preset.data.name, "digest": job.cells[0].data_digest},
        "commit": made_at,
        "versions": made_with,
        "test": job.preset.test,
        "cells": [
            {
                "arm": cell.arm,
                "seed": cell.seed,
                "state": states[cell.hash][0],
                "hash": cell.hash,
                "run": f"runs/{cell.folder}",
                "code": code_digest(),
            }
            for cell in job.cells
        ],
    }
    with whole(job.folder / "grid.json") as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
