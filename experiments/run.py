"""Run a grid: train every missing cell, then write its report.

python experiments/run.py --grid grad_loss
"""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cli.options import parser
from experiments.errors import UserError

if TYPE_CHECKING:  # torch takes seconds; --help needs none
    from experiments.cli.job import Job
    from experiments.grid import Cell
    from experiments.ledger.attempts import CellState
    from experiments.ledger.ledger import Ledger


def main(arguments: list[str] | None = None) -> int:
    """The command line.

    Returns:
        0 only if every chosen cell is complete and the report is written; 1 if some is not
        complete; 2 for a mistake in the command, or where nothing can be stored, also if a worker
        found that while it ran; 3 if all are complete and only their report failed; 128 + the
        signal that stopped it.
    """
    options = parser().parse_args(arguments)
    try:
        return _search(options) if options.search else _grid(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `--list | head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _search(options: argparse.Namespace) -> int:
    from experiments.search import run as search

    return search.run(options)


def _grid(options: argparse.Namespace) -> int:
    from experiments import distributed
    from experiments.cli.job import prepare

    job = prepare(options)
    if distributed.rank() and (options.list or options.dry_run):
        return 0  # rank 0 tells it
    if options.list:
        from experiments.cli.listing import listing

        print(listing(job))
        return 0
    if options.dry_run:
        from experiments.cli.estimate import report

        print(report(job, options.retry))
        return 0
    if distributed.rank():
        from experiments.workers.ranks import follow

        return follow(job)
    return run(job, options)


def run(job: "Job", options: argparse.Namespace) -> int:
    """Run what is missing, then analyse what is there."""
    from experiments.ledger.registration import write_grid
    from experiments.workers.disk import told_where

    ledger = opened(job)
    with told_where(job.folder):
        todo = ledger.enqueue(job.chosen, retry=options.retry)
        write_grid(job, ledger)
        code = start(job, options, ledger, todo)
        write_grid(job, ledger)
        return code or conclude(job, ledger)


def opened(job: "Job") -> "Ledger":
    """The job's ledger, which knows what it is about.

    Raises:
        UserError: the results folder cannot be written to; the storage cannot be used.
    """
    from experiments.ledger.ledger import Ledger

    try:
        (job.folder / "runs").mkdir(parents=True, exist_ok=True)
        ledger = Ledger(job.folder, job.study, job.storage, job.grid.primary)
    except OSError as error:
        raise UserError(f"cannot write to {job.folder}: {error}") from error
    ledger.describe(
        job.cells, grid=job.grid.name, preset=job.preset_name, question=job.grid.question
    )
    return ledger


def start(job: "Job", options: argparse.Namespace, ledger: "Ledger", todo: "list[Cell]") -> int:
    """Run `todo` by processes of this machine, jobs of a cluster or the ranks of torchrun.

    Returns:
        0; 2 where nothing can be stored; or 128 + the signal that stopped it.

    Raises:
        UserError: what this machine lacks, where the runs are to be on it.
    """
    from experiments import distributed
    from experiments.workers import launch, slots, supervise, worker
    from experiments.workers.ranks import lead

    if todo and options.launcher == "local":
        slots.check(job.runtime)
    waiting = sum(state.state != "running" for state in ledger.states(todo).values())
    most = slots.at_once(job.preset.train.threads, job.runtime.device)
    count = min(job.workers or most, max(1, waiting))
    by = f"with {count} workers"
    if distributed.launched():
        by = f"one after another by {distributed.world()} processes together"
    complete = sum(s.state == "complete" for s in ledger.states(job.chosen).values())
    print(
        f"{job.study}: {len(job.chosen)} cells, {complete} complete; "
        + (f"running {waiting} {by}" if todo else "nothing to run")
        + (f"; {len(todo) - waiting} run already" if waiting < len(todo) else "")
    )
    if stale := ledger.superseded(job.cells):
        print(
            f"{len(stale)} complete cells are of an earlier definition of arm, data or code, or "
            "of an arm that this command leaves out; kept"
        )
    if distributed.launched():  # the other ranks wait to hear that there is nothing, too
        return lead(job, ledger, todo)
    if not todo:
        return 0
    if options.launcher == "slurm":
        return launch.launch(job, options.launcher_set, ledger, todo, count)
    return supervise.run_workers(
        worker.work,
        (job.folder, job.study, job.storage, todo, job.runtime),
        count,
        lambda: ledger.pulse(job.chosen),
    )


def conclude(job: "Job", ledger: "Ledger") -> int:
    """Write the report, say where it is and what is missing."""
    states = ledger.states(job.chosen)
    bad = [state for state in states.values() if state.state != "complete"]
    for state in bad:
        print(f"{state.state}: {state.arm} seed {state.seed}: {state.reason}", file=sys.stderr)
    reported = len(bad) == len(job.chosen) or analyse(job.folder)
    print(f"dashboard: {ledger.dashboard}")
    if bad:
        print(f"{len(bad)} of {len(job.chosen)} cells are not complete; {advice(bad)}")
    return 1 if bad else 0 if reported else 3


def analyse(folder: Path) -> bool:
    """Write the report of a grid's folder and tell it in short.

    Returns:
        Whether that went well. Where it did not, the runs are there all the same, and the
        message has the command that makes the report of them.
    """
    try:
        from analysis.report import report  # matplotlib: not needed by --list and --help

        print(report(folder))
    except Exception as error:
        again = f"python -m analysis.report {shlex.quote(str(folder))}"
        print(
            f"the runs are kept, but their report failed: {type(error).__name__}: {error}\n"
            f"to make it again: {again}",
            file=sys.stderr,
        )
        return False
    return True


def advice(bad: "list[CellState]") -> str:
    """What to do about cells that are not complete."""
    from experiments.ledger.attempts import STRIKES

    kinds = {state.state for state in bad}
    advice = []
    if kinds - {"struck", "elsewhere"}:
        advice.append("the same command tries again")
    if "struck" in kinds:
        advice.append(f"those struck failed {STRIKES} times: --retry all tries them again")
    if "elsewhere" in kinds:
        advice.append(
            "those elsewhere: copy their folders in runs/ to here, or let --out be a folder that "
            "the machines share; --retry all runs them here"
        )
    return "; ".join(advice)


if __name__ == "__main__":
    sys.exit(main())
