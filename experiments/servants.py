"""Processes beside a run that decode its images and compute its metrics."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from experiments.errors import UserError

PRELOADED = ["experiments.data.samples", "experiments.scores", "py_sod_metrics"]


def context() -> multiprocessing.context.BaseContext:
    """Processes forked from a server without threads: a fork of a process with threads hangs."""
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(PRELOADED)
    return chosen


def begin(_worker: int = 0) -> None:
    """Leave signals to the run, which stops in its own time and then ends its servants."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _spare_once)
    end_with_parent()


def _spare_once(number: int, _frame: FrameType | None) -> None:
    """Let one request pass: it went to the whole group. The next one is the loader's own."""
    signal.signal(number, signal.SIG_DFL)


def end_with_parent() -> None:
    """End this process when the one that asked for it is gone, killed for instance.

    PyTorch's own watch looks at the parent's number: here that is the server, and lives on.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What a servant says, or its end, as one line.

    Raises:
        UserError: a servant's, or one that was ended.
    """
    try:
        yield
    except UserError as error:  # a servant's has its traceback as the message, what it said last
        said = str(error).strip().splitlines()[-1]
        raise UserError(said.removeprefix("experiments.errors.UserError: ")) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process of data.workers was ended ({' '.join(str(error).split())}): if memory ran "
            "out, set data.workers lower; 0 does its work in the run itself"
        ) from None
