"""A disk that takes nothing is told as what it is: no fault of the run that met it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.errors import UserError, one_line
from experiments.ledger.outage import room

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM)
# torch and safetensors raise errors of their own, which tell the system's in words.
DISK_WORDS = (
    "PytorchStreamWriter",
    "unexpected pos",
    "iostream error",
    *(f"(os error {number})" for number in DISK),
)


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
        f"cannot write to {folder}: {one_line(error)}; {room(folder)}; make room, and the same "
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
        if any(text in str(error) for text in DISK_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
