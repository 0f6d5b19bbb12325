"""Which images of words a run takes, and its splits: drawn at run time, or read from folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import ExifTags

from experiments.data.annotations import read_words, tells_difficulty
from experiments.data.composed import EMBEDDED
from experiments.data.decode import SIDEWAYS, Pixels, opened, read_image
from experiments.data.folders import Pair, pairs_of
from experiments.data.sources import SHIPPED, WORDS, DataConfig, digest
from experiments.data.splits import SPLITS, Split, label, places
from experiments.data.text import Word
from experiments.data.text_layouts import TEXT, find
from experiments.data.words import DrawnWords, font_files
from experiments.errors import UserError


class TextSource(Protocol):
    """What images of words are made from."""

    def read(self, i: int) -> tuple[Pixels, tuple[Word, ...]]:
        """Image (H, W, 3) at its own resolution, and its words."""
        ...

    def words(self, i: int) -> tuple[Word, ...]:
        """The words alone."""
        ...

    def shape(self, i: int) -> tuple[int, int]:
        """(H, W) of the image."""
        ...


@dataclass(frozen=True)
class TextSplit:
    """Images of words with a name and a group each; images of one group are alike."""

    names: list[str]
    groups: list[str]
    source: TextSource
    digest: str

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class TextFiles:
    """Image files with the words of their annotations.

    Coordinates are those of the upright image, as OpenCV reads it: an EXIF orientation is applied.
    """

    images: tuple[Path, ...]
    annotated: tuple[tuple[Word, ...], ...]

    def read(self, i: int) -> tuple[Pixels, tuple[Word, ...]]:
        """Image (H, W, 3) and words of sample `i`."""
        return read_image(self.images[i], self.shape(i))[0], self.annotated[i]

    def words(self, i: int) -> tuple[Word, ...]:
        """The words of sample `i`."""
        return self.annotated[i]

    def shape(self, i: int) -> tuple[int, int]:
        """(H, W) of sample `i`, upright."""
        return upright(self.images[i])


def upright(file: Path) -> tuple[int, int]:
    """(H, W) of an image as it is meant to be seen.

    Raises:
        UserError: a file that cannot be read.
    """
    with opened(file) as image:
        sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
        return image.size if sideways else image.size[::-1]


def load_text(data: DataConfig) -> tuple[TextSplit, TextSplit, TextSplit]:
    """The training, validation and test splits.

    `data.name` is "words", drawn at `data.size` and as many as `data.counts` says; or as
    `splits.places` takes it, for folders in a layout that `text_layouts` and `annotations` know,
    of which `data.counts` takes the first (0: all).

    Raises:
        UserError: unknown name, missing folder, image without annotation or the other way round,
            malformed line, a test image that is also trained on.
    """
    if data.name == WORDS:
        train, val, test = (_drawn(s, data.size, getattr(data.counts, s)) for s in SPLITS)
        return train, val, test
    pairs = _pairs(data)
    train, val, test = (
        _folder(data, split, pairs[split], getattr(data.counts, split)) for split in SPLITS
    )
    return train, val, test


def describe_text(data: DataConfig) -> str:
    """The splits in a line: how many images of which sets, and what was held out."""
    if data.name == WORDS:
        return data.name
    found = places(data.name, data.image_dir, data.mask_dir, find)
    sets = {split: ", ".join(map(label, found[split])) for split in SPLITS}
    sets["val"] = sets["val"] or "a tenth of train, by a hash of the name"
    return "; ".join(f"{s} {len(pairs)} ({sets[s]})" for s, pairs in _pairs(data).items())


def _pairs(data: DataConfig) -> dict[Split, list[Pair]]:
    if not any(mark in data.name for mark in "/\\=+") and not Path(data.name).is_dir():
        masks = data.name in SHIPPED
        seen = f"{data.name!r} has masks" if masks else f"no text set or folder {data.name!r}"
        raise UserError(f"{seen}: expected {WORDS!r}, or a folder of images with annotations")
    return pairs_of(data.name, data.image_dir, data.mask_dir, TEXT)


def _drawn(split: Split, size: tuple[int, int], count: int) -> TextSplit:
    if count < 1:
        raise UserError(f"{WORDS!r} draws its images: give a count above 0 for {split!r}")
    source = DrawnWords(split, size)
    photographs = source.photographs
    names = [f"{split}_{i:04d}" for i in range(count)]
    groups = [photographs[i % len(photographs)]["key"] for i in range(count)]
    files = [EMBEDDED / entry["file"] for entry in photographs] + font_files()
    return TextSplit(names, groups, source, digest(files, [*names, *groups], size))


def _folder(data: DataConfig, split: Split, pairs: list[Pair], count: int) -> TextSplit:
    chosen = pairs[: count or None]
    if len(chosen) < max(1, count):
        raise UserError(f"{split} of {data.name} has {len(pairs)} images, {count} were asked for")
    names = [pair.name for pair in chosen]
    files = [file for pair in chosen for file in (pair.image, pair.mask)]
    texts = [pair.mask for pair in chosen]
    source = TextFiles(tuple(pair.image for pair in chosen), tuple(read_words(texts)))
    # The same files mean something else below another folder's name.
    rated = [f"rated {text.name}" for text in texts if tells_difficulty(text)]
    return TextSplit(names, names, source, digest(files, [*names, *rated], data.size, set(texts)))
