"""A grid under torchrun: its processes train each run together; rank 0 leads."""

import os
from contextlib import suppress

from experiments import distributed, signals
from experiments.cli.job import Job
from experiments.errors import UserError
from experiments.grid import Cell
from experiments.ledger.ledger import Ledger
from experiments.train import train
from experiments.watch import LostClaim, Stopped
from experiments.workers.worker import attempt


def lead(job: Job, ledger: Ledger, todo: list[Cell]) -> int:
    """Claim cell after cell and run each with the other ranks.

    Returns:
        0, or 128 + the number of the signal that stopped it.

    Raises:
        Exception: a run failed in a way that the other ranks may not have seen; torchrun ends
            them, and the same command goes on.
    """
    signals.obey(os.getppid())  # torchrun answers Ctrl-C by SIGTERM to every rank
    while not signals.stopping():
        with ledger.claim(todo) as claim:
            if claim is None:
                break
            _shared(claim.cell)
            error = attempt(ledger, claim, job.runtime)
            if error is not None and not isinstance(error, UserError | Stopped | LostClaim):
                raise error
    _shared(None)
    number = signals.asked()
    return 128 + number if number else 0


def follow(job: Job) -> int:
    """Train with rank 0 what it claims, until it claims nothing."""
    signals.obey(os.getppid())
    while (cell := _shared(None)) is not None:
        run = job.folder / "runs" / cell.folder
        with suppress(UserError, Stopped, LostClaim):  # rank 0 has it too, and records it
            train(cell.config, run, identity=cell.identity(), runtime=job.runtime)
    return 0


def _shared(cell: Cell | None) -> Cell | None:
    """The cell that rank 0 gives; None: there is no more."""
    return distributed.share(cell)
