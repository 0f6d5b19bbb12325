"""Run a grid: train every missing cell, then write its table and figures.

python experiments/run.py --grid grad_loss
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import grid as grids
from experiments.config import PROJECT, code_digest
from experiments.errors import UserError
from experiments.grid import Cell, Grid, Preset
from experiments.ledger import Ledger
from experiments.worker import work

VERSIONS = ("torch", "kornia", "transformers", "pysodmetrics", "numpy", "optuna")


@dataclass(frozen=True)
class Job:
    """A grid at a preset in a folder: what one command is about."""

    grid: Grid
    preset_name: str
    preset: Preset
    folder: Path
    cells: list[Cell]

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
    lines = [f"  {name:<16}{grids.find(name).question}" for name in grids.names()]
    p = argparse.ArgumentParser(
        prog="python experiments/run.py",
        description="Train every cell of a grid that is not complete yet, then write its table "
        "and figures. The same command goes on where it stopped.",
        epilog="grids:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--grid", required=True, metavar="NAME", help="which grid (see below)")
    p.add_argument(
        "--preset", default="laptop", metavar="NAME", help="smoke, laptop (default), bench, paper"
    )
    p.add_argument(
        "--data", metavar="SET", help="embedded, thin3d, or a folder with {train,val,test}/{im,gt}"
    )
    p.add_argument("--arm", action="append", metavar="NAME", help="only this arm (repeatable)")
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
    grid = grids.find(options.grid)
    preset = grids.find_preset(grid, options.preset, options.data)
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers is {options.workers}, expected 1 or more")
    folder = options.out or PROJECT / "results" / grid.name / options.preset
    reference = PROJECT / "results" / "reference"
    if folder.resolve().is_relative_to(reference):
        raise UserError(f"{reference} holds committed results; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error}") from error
    cells = grids.cells(grid, preset, options.arm)
    return Job(grid, options.preset, preset, folder, cells)


def run(job: Job, workers: int | None) -> int:
    """Run what is missing, then analyse what is there."""
    ledger = Ledger(job.folder, job.study)
    ledger.enqueue(job.cells)
    states = ledger.states(job.cells)
    missing = sum(state != "complete" for state, _ in states.values())
    threads = job.preset.train.threads
    count = min(workers or max(1, (os.cpu_count() or 1) // threads), missing)
    print(
        f"{job.study}: {len(job.cells)} cells, {len(job.cells) - missing} complete; "
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
    arguments = (job.folder, job.study, job.cells, os.getpid())
    processes = [context.Process(target=work, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    form = "{l_bar}{bar}| {n:.1f}/{total} cells [{elapsed} < {remaining}]"
    try:
        with tqdm(total=len(job.cells), bar_format=form, disable=None) as bar:
            bar.initial = bar.n = bar.last_print_n = ledger.progress(job.cells)
            while any(process.is_alive() for process in processes):
                time.sleep(1)
                bar.update(max(0.0, ledger.progress(job.cells) - bar.n))
    except KeyboardInterrupt:
        print("stopping; the same command goes on from here", file=sys.stderr)
        for process in processes:
            process.terminate()
        raise SystemExit(130) from None
    finally:
        for process in processes:
            process.join()


def conclude(job: Job, ledger: Ledger) -> int:
    """Write table and figures, say where they are and what is missing."""
    from analysis.report import write  # matplotlib: not needed by --list and --help

    states = ledger.states(job.cells)
    bad = [(cell, *states[cell.hash]) for cell in job.cells if states[cell.hash][0] != "complete"]
    for cell, state, reason in bad:
        print(f"{state}: {cell.arm} seed {cell.seed}: {reason}", file=sys.stderr)
    if len(bad) < len(job.cells):
        try:
            written = write(job.folder)
        except ValueError as error:
            raise UserError(f"the analysis refused these results: {error}") from error
        print((job.folder / "table.md").read_text(encoding="utf-8"))
        print("written: " + ", ".join(str(path) for path in written))
    print(f"dashboard: pip install optuna-dashboard; optuna-dashboard {ledger.url}")
    if bad:
        print(
            f"{len(bad)} of {len(job.cells)} cells are not complete; the same command tries again"
        )
    return 1 if bad else 0


def listing(job: Job) -> str:
    """The cells and their states, a line each."""
    states = Ledger(job.folder, job.study).states(job.cells)
    rows = [
        f"{c.arm:<18}seed {c.seed:<3}{states[c.hash][0]:<10}{c.hash}  {states[c.hash][1]}".rstrip()
        for c in job.cells
    ]
    done = sum(state == "complete" for state, _ in states.values())
    return "\n".join([*rows, f"{done} of {len(rows)} cells complete in {job.folder}"])


def write_grid(job: Job, ledger: Ledger) -> None:
    """Write `grid.json`: the pre-registration and the state of the cells, for the analysis."""
    grid, states = job.grid, ledger.states(job.cells)
    arms = [arm for arm in grid.arms if any(cell.arm == arm for cell in job.cells)]
    content: dict[str, Any] = {
        "grid": grid.name,
        "preset": job.preset_name,
        "question": grid.question,
        "arms": arms,
        "descriptions": {arm: grid.arms[arm].about for arm in arms},
        "baseline": grid.baseline,
        "contrasts": [
            {"arm": c.arm, "minus": c.minus, "about": c.about}
            for c in grid.contrasts
            if c.arm in arms and c.minus in arms
        ],
        "primary": grid.primary,
        "guards": list(grid.guards),
        "margin": grid.margin,
        "seeds": sorted({cell.seed for cell in job.cells}),
        "data": {"name": job.preset.data.name, "digest": job.cells[0].data_digest},
        "commit": commit(),
        "versions": {name: version(name) for name in VERSIONS},
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
    (job.folder / "grid.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def commit() -> str:
    """The project's commit, marked if the tree has changes; empty outside a checkout."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
