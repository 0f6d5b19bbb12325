"""A process that claims cells of a grid and runs them until none is left."""

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from traceback import format_exception

from tqdm import tqdm

from experiments import signals
from experiments.config import Runtime
from experiments.errors import UserError, one_line
from experiments.files import whole
from experiments.grid import Cell
from experiments.ledger.claim import Claim
from experiments.ledger.ledger import Ledger
from experiments.ledger.outage import StorageError
from experiments.train import train
from experiments.watch import LostClaim, Stopped
from experiments.workers.disk import disk_at_fault, no_room
from experiments.workers.slots import deal_gpu
from experiments.workers.supervise import HALT


def work(
    folder: Path,
    study: str,
    storage: str | None,
    cells: Sequence[Cell],
    runtime: Runtime,
    parent: int,
    index: int,
) -> None:
    """The life of a worker process: `claim_and_run` under the signals and GPU of its slot.

    Leaves with exit code HALT where going on is useless: storage or disk are at fault.
    """
    signals.obey(parent)
    if runtime.device != "cpu":
        deal_gpu(index)
    try:
        claim_and_run(folder, study, storage, cells, runtime, tell=False)
    except UserError as error:
        tqdm.write(f"error: {error}", sys.stderr)
        raise SystemExit(HALT) from None


def claim_and_run(
    folder: Path,
    study: str,
    storage: str | None,
    cells: Sequence[Cell],
    runtime: Runtime,
    *,
    tell: bool = True,
) -> Cell | None:
    """Run waiting cells one after another until none waits or this process is to stop.

    Returns:
        The cell it gave back as it was to stop.

    Raises:
        UserError: storage or disk are at fault; the cell is given back.
    """
    ledger = Ledger(folder, study, storage, tell=tell)
    while not signals.stopping():
        with ledger.claim(cells) as claim:
            if claim is None:
                return None
            if isinstance(attempt(ledger, claim, runtime), Stopped):
                return claim.cell
    return None


def attempt(ledger: Ledger, claim: Claim, runtime: Runtime) -> Exception | None:
    """Run a claimed cell and close it: complete, failed or given back.

    Returns:
        What ended the run before it was complete.

    Raises:
        StorageError: the ledger cannot be told.
        UserError: the disk is at fault; the cell is given back.
    """
    run = ledger.folder / "runs" / claim.cell.folder
    try:
        claim.complete(_run(ledger, claim, run, runtime))
    except (SystemExit, KeyboardInterrupt):
        claim.give_back(f"interrupted at step {claim.step}")
        raise
    except StorageError:
        raise
    except Exception as error:
        with suppress(LostClaim):  # then another worker has it, and all there is to tell
            close(ledger, claim, run, error)
        return error
    return None


def close(ledger: Ledger, claim: Claim, run: Path, error: Exception) -> None:
    """Close the claim of a run that `error` ended.

    Raises:
        LostClaim: it was given to another worker.
        UserError: the disk is at fault; the cell is given back.
    """
    if isinstance(error, LostClaim):
        return
    if isinstance(error, Stopped):
        claim.give_back(f"stopped at step {claim.step}")
    elif isinstance(error, UserError):
        claim.fail(" ".join(str(error).split()))
    elif disk_at_fault(error, ledger.folder):
        told = no_room(ledger.folder, error)
        claim.give_back(str(told))
        raise told from error
    else:
        run.mkdir(parents=True, exist_ok=True)
        with whole(run / "error.txt") as draft:
            draft.write_text("".join(format_exception(error)), encoding="utf-8")
        claim.fail(one_line(error))


def _run(ledger: Ledger, claim: Claim, run: Path, runtime: Runtime) -> float:
    cell = claim.cell
    value = train(cell.config, run, claim, identity=cell.identity(), runtime=runtime)
    if math.isnan(value):
        raise UserError(f"{cell.config.select} of the test split is NaN")
    (run / "error.txt").unlink(missing_ok=True)  # of an earlier attempt
    ledger.show(claim, run / "preview.png")
    return value
