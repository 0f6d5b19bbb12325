"""Samples composed on the fly: rendered objects with exact alpha, pasted on photographs."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.data.decode import Pixels
from experiments.seeding import numpy_stream

EMBEDDED = Path(__file__).parent / "embedded"


@cache
def index() -> dict[str, list[dict[str, str]]]:
    """Objects ("fg") and photographs ("bg"), each with its file, split and group."""
    found: dict[str, list[dict[str, str]]] = json.loads(
        (EMBEDDED / "index.json").read_text(encoding="utf-8")
    )
    return found


@cache
def _open(file: str) -> Image.Image:
    image = Image.open(EMBEDDED / file)
    image.load()
    return image


def crop(file: str, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A part of a photograph, .6 to all of what fits, at `size` (H, W)."""
    height, width = size
    photo = _open(file).convert("RGB")
    scale = rng.uniform(0.6, 1.0) * min(photo.width / width, photo.height / height)
    w, h = scale * width, scale * height
    x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    return photo.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))


@dataclass(frozen=True)
class Composed:
    """Crops of photographs with an object over each; the mask is the object's alpha."""

    split: str
    native: tuple[int, int]  # (H, W)

    @property
    def parts(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Objects and photographs of the split."""
        objects, photographs = (
            [entry for entry in index()[kind] if entry["split"] == self.split]
            for kind in ("fg", "bg")
        )
        return objects, photographs

    def pair(self, i: int, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Sample `i` at `size` (H, W).

        Drawn from the stream (split, i) alone: neither the run's seed nor other samples matter.
        """
        objects, photographs = self.parts
        rng = numpy_stream(0, "embedded", self.split, i)
        height, width = size
        canvas = crop(photographs[int(rng.integers(len(photographs)))]["file"], size, rng)

        thing = _open(objects[i % len(objects)]["file"])
        ratio = rng.uniform(0.5, 0.95) * min(width / thing.width, height / thing.height)
        shape = max(1, round(thing.width * ratio)), max(1, round(thing.height * ratio))
        thing = thing.resize(shape, Image.Resampling.BICUBIC)
        if rng.random() < 0.5:
            thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        corner = (
            int(rng.integers(width - thing.width + 1)),
            int(rng.integers(height - thing.height + 1)),
        )
        canvas.paste(thing, corner, thing)
        mask = Image.new("L", (width, height))
        mask.paste(thing.getchannel("A"), corner)
        return np.array(canvas), np.array(mask)

    def mask(self, i: int) -> Pixels:
        """The mask of sample `i`; a composed sample has no other resolution."""
        return self.pair(i, self.native)[1]
