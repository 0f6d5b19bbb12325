"""Pairs of images and masks: folders of them, and the batches drawn from a set."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.data import Samples, batches
from experiments.data.splits import SPLITS


def write_pair(
    root: Path, name: str, size: tuple[int, int] = (20, 30), splits: tuple[str, ...] = SPLITS
) -> None:
    for split in splits:
        rng = np.random.default_rng(list(f"{split}/{name}".encode()))  # no two alike
        for kind, shape in (("im", (*size, 3)), ("gt", size)):
            folder = root / split / kind
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.png")


def write_mask(path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(np.zeros(size, np.uint8)).save(path)


def drawn(samples: Samples, **options: int) -> list[torch.Tensor]:
    settings = {"seed": 0, "batch": 4, "start": 0, "steps": 3, "workers": 0, **options}
    return [x for pair in batches(samples, **settings) for x in pair]


def equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return len(one) == len(two) and all(map(torch.equal, one, two))
