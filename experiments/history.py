"""history.csv: a row a step, there to be read while the run goes on."""

import csv
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from experiments.config import RunConfig
from experiments.errors import UserError
from experiments.files import whole
from experiments.task import Task

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FILE = "history.csv"
FLUSH_SECONDS = 5.0  # who plots a running run sees it no later than that


def columns(config: RunConfig, task: Task) -> tuple[str, ...]:
    """The columns of a run's history, known before it starts."""
    skipped = ("skipped",) if config.train.precision == "float16" else ()
    steps = ("step", "loss", "lr", *task.TERMS, "grad_norm", *skipped)
    return (*steps, *task.RECORDS, f"val_{config.select}")


class History:
    """Appends rows to a run's history; a column that a row does not have stays empty.

    A checkpoint keeps `offset()`, and a run that goes on from it opens the file at that place:
    the rows after it are cut off, so none is there twice and none is missing.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...], tensorboard: bool = False) -> None:
        self.folder, self.columns, self.tensorboard = folder, columns, tensorboard
        self._file: TextIO | None = None
        self._board: SummaryWriter | None = None
        self._flushed = time.monotonic()

    def open(self, offset: int, step: int) -> None:
        """Start the file, or go on after its first `offset` bytes, with the row of `step`.

        It is a new file either way: a process that was given up for dead and still writes does so
        into the old one, which has no name any more.

        Raises:
            UserError: the file is shorter than `offset`; TensorBoard is asked for and not there.
        """
        path = self.folder / FILE
        kept = (",".join(self.columns) + "\n").encode()
        if offset:
            kept = path.read_bytes()[:offset] if path.exists() else b""
            if len(kept) < offset:
                raise UserError(
                    f"{path} has {len(kept)} bytes, and had {offset} when the run's checkpoint "
                    "was saved; delete the checkpoint beside it, and the run starts anew"
                )
        with whole(path) as draft:
            draft.write_bytes(kept)
        self._file = path.open("a", newline="", encoding="utf-8")
        if self.tensorboard:
            self._board = board()(self.folder / "tensorboard", purge_step=step)

    def add(self, row: Mapping[str, float], *, flush: bool = False) -> None:
        """Append a row."""
        csv.DictWriter(self._opened, self.columns, restval="", lineterminator="\n").writerow(row)
        if self._board:
            for name in row.keys() - {"step"}:
                self._board.add_scalar(name, row[name], int(row["step"]))
        if flush or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._opened.flush()
            self._flushed = time.monotonic()

    def offset(self) -> int:
        """Bytes so far, all of them on the disk."""
        self._opened.flush()
        os.fsync(self._opened.fileno())
        return os.fstat(self._opened.fileno()).st_size

    def close(self) -> None:
        """Write what is left, if it was ever opened."""
        for opened in (self._file, self._board):
            if opened is not None:
                opened.close()

    @property
    def _opened(self) -> TextIO:
        assert self._file is not None, "open it first"
        return self._file


def board() -> "type[SummaryWriter]":
    """What writes for TensorBoard.

    Raises:
        UserError: it is not there.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            f'TensorBoard is not installed ({error}): pip install -e ".[tensorboard]"'
        ) from error
    return SummaryWriter
