"""One split of a data set, and the batches a run draws from it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments.data.cache import Shelf
from experiments.data.decode import Pixels
from experiments.errors import UserError
from experiments.seeding import numpy_stream
from experiments.servants import begin, context, plain_errors

KEEP_BYTES = 1 << 30  # splits up to this size stay decoded in memory
# The mean and spread of ImageNet's pixels: what the model, and its gradient label, take.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class Source(Protocol):
    """What samples are made from."""

    def pair(self, i: int, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Image (H, W, 3) and mask (H, W) of sample `i` at `size` (H, W)."""
        ...

    def mask(self, i: int) -> Pixels:
        """The mask of sample `i` at its own resolution."""
        ...


@dataclass(frozen=True)
class Samples(Dataset[tuple[Pixels, Pixels]]):
    """Images (H, W, 3) and masks (H, W), uint8, all of one training size.

    A small split stays in memory; of a large one the resized samples lie on `shelf`, if there is
    one. The mask at its own resolution is what the metrics are computed against.
    """

    names: list[str]
    groups: list[str]
    size: tuple[int, int]
    source: Source
    digest: str
    shelf: Shelf | None = None
    keep: int = KEEP_BYTES
    _kept: dict[int, tuple[Pixels, Pixels]] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        if index in self._kept:
            return self._kept[index]
        if len(self) * 4 * self.size[0] * self.size[1] <= self.keep:
            self._kept[index] = self.source.pair(index, self.size)
            return self._kept[index]
        sample = self.shelf.get(index) if self.shelf else None
        if sample is None:
            sample = self.source.pair(index, self.size)
            if self.shelf:
                self.shelf.put(index, *sample)
        return sample

    def native_mask(self, index: int) -> Pixels:
        """The mask (H, W) at its own resolution."""
        return self.source.mask(index)


def stack(pairs: list[tuple[Pixels, Pixels]]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) and targets (B, 1, H, W), still uint8."""
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None]


def to_tensors(pairs: list[tuple[Pixels, Pixels]]) -> tuple[Tensor, Tensor]:
    """Stack samples: images (B, 3, H, W) and targets (B, 1, H, W), float32 in [0, 1]."""
    images, targets = stack(pairs)
    return images.float() / 255, targets.float() / 255


def order(seed: int, length: int, batch: int, start: int, steps: int) -> Iterator[list[int]]:
    """Index batches for steps `start` to `steps`: each epoch a permutation, the rest dropped.

    A pure function of (seed, step): a resumed run goes on with the batch it would have had.
    """
    per_epoch = length // batch
    shown, shuffled = -1, np.empty(0, np.int64)
    for step in range(start, steps):
        epoch, place = divmod(step, per_epoch)
        if epoch != shown:
            shown, shuffled = epoch, numpy_stream(seed, "order", epoch).permutation(length)
        yield shuffled[place * batch : (place + 1) * batch].tolist()


def batches(
    samples: Samples,
    *,
    seed: int,
    batch: int,
    start: int,
    steps: int,
    workers: int,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches for steps `start` to `steps`, float32 in [0, 1], on `device`.

    Decoded by `workers` processes (0: this one), which changes nothing but the time. `batch` is
    the whole batch, of which each of `world` ranks gets its slice.

    Raises:
        UserError: a batch that does not divide by the ranks, or is larger than the data; a file
            that cannot be read.
    """
    share = checked_share(len(samples), batch, rank, world)
    kept = replace(samples, keep=samples.keep // workers) if workers else samples
    rows = Order(seed, len(samples), batch, start, steps, share)
    # bytes: a quarter of what floats would take between processes
    for images, targets in loaded(kept, rows, stack, workers, device):
        yield images.float() / 255, targets.float() / 255


def checked_share(length: int, batch: int, rank: int, world: int) -> slice:
    """The part of a batch from `length` samples that is a rank's.

    Raises:
        UserError: a batch that does not divide by the ranks, or is larger than the data.
    """
    if batch % world or not 0 < batch <= length:
        raise UserError(
            f"a batch of {batch} from {length} samples for {world} processes: expected a "
            "multiple of the processes, and no more than the samples"
        )
    return slice(rank * batch // world, (rank + 1) * batch // world)


def loaded(
    samples: Dataset[Any],
    rows: Iterable[list[Any]],
    collate: Callable[[list[Any]], tuple[Tensor, Tensor]],
    workers: int,
    device: torch.device | str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the samples of each row of keys, collated, on `device`.

    Made by `workers` processes (0: this one).

    Raises:
        UserError: a file that cannot be read; a process that was ended.
    """
    on_gpu = torch.device(device).type == "cuda"
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=rows,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context=context() if workers else None,
        worker_init_fn=begin if workers else None,
        pin_memory=on_gpu,
    )
    with plain_errors():
        for images, targets in loader:
            yield images.to(device, non_blocking=on_gpu), targets.to(device, non_blocking=on_gpu)


@dataclass(frozen=True)
class Order:
    """The index batches of one rank, drawn as they are needed."""

    seed: int
    length: int
    batch: int
    start: int
    steps: int
    share: slice

    def __iter__(self) -> Iterator[list[int]]:
        rows = order(self.seed, self.length, self.batch, self.start, self.steps)
        return (row[self.share] for row in rows)


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] to ImageNet's mean and spread: what the model and its labels take."""
    return (images - MEAN.to(images.device)) / STD.to(images.device)
