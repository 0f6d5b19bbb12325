"""Stop requests: the first one lets runs save their checkpoint, the second one ends at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

_asked: int | None = None  # the signal that asked this process to stop
_parent: int | None = None  # the process without which this one is to stop


def obey(parent: int | None = None, *, to: tuple[int, ...] = (signal.SIGTERM,)) -> None:
    """Make this process, a worker, note a stop request for its run to find between two steps.

    Args:
        parent: the process that started it, without which it stops as well. A terminal's Ctrl-C
            goes to both; the parent alone answers it, by SIGTERM.
        to: the signals that ask to stop, besides Ctrl-C; others are left to their handlers.
    """
    global _asked, _parent
    _asked, _parent = None, parent
    signal.signal(signal.SIGINT, signal.SIG_IGN if parent else _note)
    for number in to:
        signal.signal(number, _note)


def stopping() -> bool:
    """Whether this worker has been asked to stop, or its parent is gone; costs next to nothing."""
    return _asked is not None or (_parent is not None and os.getppid() != _parent)


def asked() -> int | None:
    """The signal that asked this process to stop, if one did."""
    return _asked


class Stop:
    """The parent's side: what it was asked, and the workers it has to tell."""

    def __init__(self, tell: Callable[[], list[BaseProcess]], said: str) -> None:
        self.tell = tell
        self.said = said
        self.signal: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """The handler: pass the request on; at the second one kill and leave."""
        if self.signal is not None:
            for process in self.tell():
                process.kill()
            os._exit(128 + number)
        self.signal = number
        os.write(2, f"\n{self.said}\n".encode())  # print may not be entered twice
        for process in self.tell():
            process.terminate()


@contextmanager
def passing_on(stop: Stop) -> Iterator[Stop]:
    """SIGINT and SIGTERM go to `stop` for as long as the context lasts."""
    before: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Ctrl-C waits until the context ends; a process started in it never gets one."""
    resource_tracker.ensure_running()  # starting it would let Ctrl-C through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _note(number: int, _frame: FrameType | None) -> None:
    global _asked
    if _asked is not None and number == signal.SIGINT:
        os._exit(128 + number)  # a second Ctrl-C; clusters repeat the others
    if _asked is None:
        _asked = number
