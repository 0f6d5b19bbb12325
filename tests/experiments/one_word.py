"""Data of text for small runs: one image with one word, and how many are drawn."""

import numpy as np
import torch

from experiments.data import Counts
from experiments.data.text import Word
from experiments.data.text_sets import TextSplit
from experiments.text.samples import Pictures

CPU = torch.device("cpu")
SMALL = Counts(train=8, val=4, test=6)


class One:
    """A split of one image with one white word on black."""

    polygon = np.array([[30.0, 20], [90, 20], [90, 40], [30, 40]])

    def read(self, i: int):
        image = np.zeros((*self.shape(i), 3), np.uint8)
        if i == 0:
            image[20:40, 30:90] = 255
        return image, self.words(i)

    def words(self, i: int) -> tuple[Word, ...]:
        return (Word(self.polygon),) if i == 0 else ()

    def shape(self, i: int) -> tuple[int, int]:  # noqa: ARG002
        return 96, 128


def one(count: int = 1) -> Pictures:
    names = [f"i{k}" for k in range(count)]
    return Pictures(TextSplit(names, names, One(), "digest"))
