"""Masks of images, as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.data import normalise, to_tensors
from experiments.data.decode import Pixels, read_image
from experiments.files import whole
from experiments.scores import at_resolution
from models.birefnet import BiRefNet


@dataclass(frozen=True)
class Read:
    """An image as the model takes it, and its own shape."""

    pixels: Pixels  # (h, w, 3), at the model's size
    shape: tuple[int, int]  # (H, W) of the file, upright


@dataclass(frozen=True)
class Masks:
    """Writes 8-bit masks, each at its image's own resolution; 255 is the object."""

    model: BiRefNet
    size: tuple[int, int]
    device: torch.device

    def read(self, file: Path) -> Read:
        """An image at the model's size."""
        return Read(*read_image(file, self.size))

    def write(self, batch: Sequence[Read], targets: Sequence[Sequence[Path]]) -> list[int]:
        """Write a mask (H, W) for each image."""
        images, _ = to_tensors([(one.pixels, one.pixels[..., 0]) for one in batch])
        with torch.inference_mode():
            logits = self.model(normalise(images.to(self.device))).logits.cpu()
        for one, read, (target,) in zip(logits, batch, targets, strict=True):
            mask = (255 * at_resolution(one, read.shape)).round().astype(np.uint8)
            with whole(target) as draft:
                Image.fromarray(mask).save(draft)
        return [1] * len(batch)

    def told(self, counts: Sequence[int]) -> str:
        """How many masks there are."""
        return f"{len(counts)} mask{'s' * (len(counts) != 1)}"
