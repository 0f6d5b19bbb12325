"""Text sets as folders: made for a test, and loaded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.data import DataConfig
from experiments.data.text_sets import TextSplit, load_text

QUAD = "2,3,20,3,20,9,2,9"
CORNERS = [(2, 3), (20, 3), (20, 9), (2, 9)]
ICDAR: Callable[[str], str] = "gt_{}.txt".format


def fill(
    root: Path,
    images: str,
    texts: str,
    *,
    name: Callable[[str], str] = ICDAR,
    line: str = f"{QUAD},word",
    stems: str = "ab",
) -> Path:
    """A folder of images, no two alike, and a folder of their annotations."""
    for folder in (images, texts):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stem in stems:
        colour = tuple(np.random.default_rng([*f"{images}/{stem}".encode()]).integers(0, 256, 3))
        Image.new("RGB", (40, 30), tuple(map(int, colour))).save(root / images / f"{stem}.png")
        (root / texts / name(stem)).write_text(f"{line}\n", encoding="utf-8")
    return root


def both(root: Path, **knobs: object) -> Path:
    """Folders img and gts in train, val and test."""
    for split in ("train", "val", "test"):
        fill(root, f"{split}/img", f"{split}/gts", **knobs)
    return root


def load(name: Path | str, **knobs: object) -> tuple[TextSplit, TextSplit, TextSplit]:
    return load_text(DataConfig(name=str(name), **knobs))
