"""Metrics of a model's outputs, in this process or by others, each mask at its own resolution."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments import servants
from experiments.config import Variant
from experiments.data.decode import Pixels
from experiments.data.samples import Source
from experiments.metrics import ImageScores, image_metrics, mask_shape

SMALL = 256  # pixels of a thumbnail's longer side


@dataclass(frozen=True)
class Output:
    """What a model gives for an image of a split."""

    index: int
    logits: NDArray[np.float32]  # (1, h, w)
    values: dict[str, float]  # metrics that are known already


@dataclass(frozen=True)
class Scored:
    """An image's metrics, and what its mask is like."""

    index: int
    shape: dict[str, float]
    scores: ImageScores
    small: tuple[Pixels, Pixels]  # prediction and mask, to look at


@dataclass(frozen=True)
class Scorer(Dataset[Scored]):
    """Scores outputs against the masks of `source`, which it reads when their turn comes."""

    source: Source
    names: tuple[str, ...]
    variant: Variant = "plain"

    def __getitem__(self, output: Output) -> Scored:
        mask = self.source.mask(output.index)
        found = at_resolution(torch.from_numpy(output.logits), mask.shape)
        scores = image_metrics(found, mask, self.names, self.variant)
        values = {**scores.values, **output.values}
        small = shrunk(np.rint(255 * found).astype(np.uint8)), shrunk(mask)
        return Scored(output.index, mask_shape(mask), ImageScores(values, scores.curves), small)


def scored(scorer: Scorer, outputs: Iterable[Output], workers: int = 0) -> Iterator[Scored]:
    """Yields the outputs' scores in their order, computed by `workers` processes (0: this one).

    How many they are changes nothing but the time. Outputs are taken as they are needed: two for
    each process are under way.

    Raises:
        UserError: a mask that cannot be read; a process that was ended.
    """
    loader = DataLoader(
        scorer,
        batch_size=None,
        sampler=outputs,
        collate_fn=_as_it_is,
        num_workers=workers,
        multiprocessing_context=servants.context() if workers else None,
        worker_init_fn=servants.begin if workers else None,
    )
    with servants.plain_errors():
        yield from loader


def at_resolution(logits: Tensor, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Probabilities (H, W) of one image's logits (1, h, w), at the mask's own resolution."""
    with _one_thread():
        probability = torch.sigmoid(logits.float())[None]
        if probability.shape[-2:] != shape:
            probability = torch.nn.functional.interpolate(probability, shape, mode="bilinear")
        return probability[0, 0].double().clamp(0, 1).numpy()


def shrunk(picture: Pixels) -> Pixels:
    """A picture (H, W), at most SMALL pixels a side, its proportions kept."""
    factor = SMALL / max(picture.shape)
    if factor >= 1:
        return picture
    height, width = (max(1, round(factor * n)) for n in picture.shape)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As a loader's processes have it: more threads differ in the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _as_it_is(found: Any) -> Any:
    return found
