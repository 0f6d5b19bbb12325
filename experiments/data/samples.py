"""One split of a data set, and the batches a run draws from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments.seeding import numpy_stream

Pixels = NDArray[np.uint8]
KEEP_BYTES = 1 << 30  # splits up to this size stay decoded in memory
# The mean and spread of ImageNet's pixels: what the model, and its gradient label, take.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Samples(Dataset[tuple[Pixels, Pixels]]):
    """Images (H, W, 3) and masks (H, W), uint8, all of one training size.

    `read(i)` gives image and mask as stored; both are resized to `size`. The mask at its own
    resolution is what the metrics are computed against.
    """

    names: list[str]
    groups: list[str]
    size: tuple[int, int]
    read: Callable[[int], tuple[Pixels, Pixels]]
    digest: str
    _kept: dict[int, tuple[Pixels, Pixels]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        if index not in self._kept:
            image, mask = self.read(index)
            sample = resized(image, self.size), resized(mask, self.size)
            if len(self) * 4 * self.size[0] * self.size[1] > KEEP_BYTES:
                return sample
            self._kept[index] = sample
        return self._kept[index]

    def native_mask(self, index: int) -> Pixels:
        """The mask (H, W) at its own resolution."""
        return self.read(index)[1]


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """An image or a mask at `size` (H, W), bilinear."""
    if pixels.shape[:2] == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))


def to_tensors(pairs: list[tuple[Pixels, Pixels]]) -> tuple[Tensor, Tensor]:
    """Stack samples: images (B, 3, H, W) and targets (B, 1, H, W), float32 in [0, 1]."""
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    targets = torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None]
    return images.float() / 255, targets.float() / 255


def order(seed: int, length: int, batch: int, start: int, steps: int) -> Iterator[list[int]]:
    """Index batches for steps `start` to `steps`: each epoch a permutation, the rest dropped.

    A pure function of (seed, step): a resumed run goes on with the batch it would have had.
    """
    per_epoch = length // batch
    for step in range(start, steps):
        epoch, place = divmod(step, per_epoch)
        shuffled = numpy_stream(seed, "order", epoch).permutation(length)
        yield shuffled[place * batch : (place + 1) * batch].tolist()


def batches(
    samples: Samples, *, seed: int, batch: int, start: int, steps: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches for steps `start` to `steps`, decoded by `workers` processes (0: here)."""
    loader: DataLoader[tuple[Pixels, Pixels]] = DataLoader(
        samples,
        batch_sampler=list(order(seed, len(samples), batch, start, steps)),
        collate_fn=to_tensors,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    yield from loader


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] to ImageNet's mean and spread: what the model and its labels take."""
    return (images - MEAN.to(images.device)) / STD.to(images.device)
