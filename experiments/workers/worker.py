"""A process that claims cells of a grid and runs them until none is left."""

import errno
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import format_exception

from tqdm import tqdm

from experiments import signals
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.files import whole
from experiments.grid import Cell
from experiments.ledger.claim import Claim
from experiments.ledger.ledger import Ledger
from experiments.ledger.outage import StorageError, room
from experiments.train import train
from experiments.watch import LostClaim, Stopped
from experiments.workers.supervise import HALT

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM)
# torch and safetensors raise errors of their own, which tell the system's in words.
DISK_WORDS = (
    "PytorchStreamWriter",
    "unexpected pos",
    "iostream error",
    *(f"(os error {number})" for number in DISK),
)


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
) -> None:
    """Run waiting cells one after another until none waits or this process is to stop.

    Raises:
        UserError: storage or disk are at fault; the cell is given back.
    """
    ledger = Ledger(folder, study, storage, tell=tell)
    while not signals.stopping():
        with ledger.claim(cells) as claim:
            if claim is None:
                return
            attempt(ledger, claim, runtime)


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
        claim.fail(_words(error))


def _run(ledger: Ledger, claim: Claim, run: Path, runtime: Runtime) -> float:
    cell = claim.cell
    value = train(cell.config, run, claim, identity=cell.identity(), runtime=runtime)
    if math.isnan(value):
        raise UserError(f"{cell.config.select} of the test split is NaN")
    (run / "error.txt").unlink(missing_ok=True)  # of an earlier attempt
    ledger.show(claim, run / "preview.png")
    return value


@contextmanager
def told_where(folder: Path) -> Iterator[None]:
    """A disk that takes nothing is told as what it is, with the folder that is on it.

    Raises:
        UserError: it is.
    """
    try:
        yield
    except OSError as error:
        if not disk_at_fault(error, folder):
            raise
        raise no_room(folder, error) from error


def no_room(folder: Path, error: Exception) -> UserError:
    """The error for a folder whose disk takes nothing."""
    return UserError(
        f"cannot write to {folder}: {_words(error)}; {room(folder)}; make room, and the same "
        "command goes on"
    )


def disk_at_fault(error: BaseException | None, folder: Path) -> bool:
    """Whether an error says that nothing can be written, not that the run is wrong."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK:
            denied = error.errno in (errno.EACCES, errno.EPERM)  # of data it is the run's trouble
            inside = Path(str(error.filename)).is_relative_to(folder)
            if inside or not denied:
                return True
        if any(words in str(error) for words in DISK_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def deal_gpu(index: int) -> None:
    """Show this process one of the machine's GPUs, by its slot; before CUDA is initialised."""
    import torch

    chosen = gpu_of(index, torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if chosen is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen


def gpu_of(index: int, count: int, visible: str | None) -> str | None:
    """The GPU of a worker in slot `index` as CUDA_VISIBLE_DEVICES names it; None without one.

    Args:
        index: slot, from 0; more slots than GPUs share them.
        count: GPUs that can be used.
        visible: CUDA_VISIBLE_DEVICES as it is, indices or UUIDs; None where it is not set.

    >>> gpu_of(3, 2, None), gpu_of(1, 2, "4,GPU-8f1e"), gpu_of(0, 0, None)
    ('1', 'GPU-8f1e', None)
    """
    if not count:
        return None
    names = visible.split(",") if visible else [str(number) for number in range(count)]
    return names[index % min(count, len(names))].strip()


def at_once(threads: int, device: str) -> int:
    """How many runs this machine does at once: one a GPU, else one for so many threads."""
    import torch

    gpus = torch.cuda.device_count() if device != "cpu" else 0
    return gpus or max(1, cores() // threads)


def cores() -> int:
    """How many cores this process may use: fewer than the machine's in a container or a job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _words(error: BaseException) -> str:
    """An error on one line; error.txt has all of it."""
    return " ".join(f"{type(error).__name__}: {error}".split())
