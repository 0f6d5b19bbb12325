"""A process that claims cells of a grid and runs them until none is left."""

import math
import os
import traceback
from pathlib import Path

import torch

from experiments.errors import UserError
from experiments.grid import Cell
from experiments.ledger import Claim, Ledger
from experiments.train import train


def work(folder: Path, study: str, cells: list[Cell], parent: int, index: int) -> None:
    """Run waiting cells one after another; a cell that fails is recorded and the next one taken.

    `index` counts this machine's workers and deals out its GPUs. Ends when no cell waits, or,
    between cells, when the process that started it is gone.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    ledger = Ledger(folder, study)
    while os.getppid() == parent:
        with ledger.claim(cells) as claim:
            if claim is None:
                return
            try:
                value = _run(folder, claim)
            except UserError as error:
                ledger.fail(claim, str(error))
            except Exception as error:
                run = folder / "runs" / claim.cell.folder
                run.mkdir(parents=True, exist_ok=True)
                (run / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
                ledger.fail(claim, f"{type(error).__name__}: {error}")
            else:
                ledger.complete(claim, value)


def _run(folder: Path, claim: Claim) -> float:
    cell = claim.cell
    value = train(
        cell.config,
        folder / "runs" / cell.folder,
        report=lambda step, value: claim.trial.report(value, step),
        identity=cell.identity(),
    )
    if math.isnan(value):
        raise UserError(f"{cell.config.select} of the test split is NaN")
    return value
