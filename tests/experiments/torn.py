"""Masks that break who reads them, for processes that should not wait for the tests' imports."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from experiments.data.decode import Pixels
from experiments.errors import UserError
from experiments.scores import Output


@dataclass(frozen=True)
class Torn:
    """Masks of which the third cannot be read, or ends the process that reads it."""

    kill: bool = False

    def pair(self, i: int, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        raise AssertionError(f"the image of sample {i} was asked for at {size}")

    def mask(self, i: int) -> Pixels:
        if i == 2 and self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if i == 2:
            raise UserError("cannot read 2.png as an image: torn")
        return np.full((16, 16), 255, np.uint8)


def outputs(count: int) -> list[Output]:
    """Outputs for the first samples."""
    return [Output(i, np.full((1, 8, 8), i / 10, np.float32), {}) for i in range(count)]
