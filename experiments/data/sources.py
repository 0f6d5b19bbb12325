"""Which data a run takes, and its splits: composed on the fly, or read from folders."""

import csv
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from experiments.data.cache import Shelf
from experiments.data.composed import EMBEDDED, Composed
from experiments.data.folders import Files, Pair, pairs_of
from experiments.data.samples import Samples
from experiments.data.splits import SPLITS, Split, label, places
from experiments.errors import UserError, unknown

HERE = Path(__file__).parent
SHIPPED = ("embedded", "thin3d")
WORDS = "words"  # ships too, for text: see text_sets
SMALL = 1 << 28  # bytes; larger splits are not read whole for their digest
Augmentation = Literal["background", "flip", "crop", "rotate", "enhance", "pepper", "dynamic"]


@dataclass(frozen=True)
class Counts:
    """How many samples each split has; 0 takes all there are, and is refused where composed."""

    train: int = 0
    val: int = 0
    test: int = 0


DEFAULT_COUNTS = {
    "embedded": Counts(train=488, val=40, test=92),  # 8, 2, 4 of each object
    WORDS: Counts(train=400, val=40, test=150),
}


@dataclass(frozen=True)
class DataConfig:
    """Which data, at which training size (H, W).

    Where the data lie (`name`, `image_dir`, `mask_dir`) and how they are read (`workers`,
    `cache`) are no part of a run's identity: its digest of the contents is.
    """

    name: str = "embedded"  # shipped, a folder, folders joined by +, or train=A+B,val=C,test=D
    size: tuple[int, int] = (128, 128)
    counts: Counts = field(default_factory=Counts)
    augment: tuple[Augmentation, ...] = ("flip",)
    workers: int = 0  # decoding processes; 0 decodes in the training process
    image_dir: str = ""  # the image and mask folders of a layout that is not known
    mask_dir: str = ""
    cache: bool = True  # keep resized samples of large sets on disk

    def __post_init__(self) -> None:
        for step in self.augment:
            if step not in get_args(Augmentation):
                raise unknown("augmentation", step, get_args(Augmentation))
        if len(self.size) != 2 or min(self.size) < 1:
            raise UserError(f"data.size is {self.size}, expected (height, width) above 0")
        if min(self.workers, self.counts.train, self.counts.val, self.counts.test) < 0:
            raise UserError("data.workers and data.counts are 0 or more")
        if bool(self.image_dir) != bool(self.mask_dir):
            raise UserError("give both, --image-dir and --mask-dir, or neither")


def configure(
    base: DataConfig, name: str, image_dir: str | None = None, mask_dir: str | None = None
) -> DataConfig:
    """`base` on other data: all of them, or the default number of compositions.

    Raises:
        UserError: an augmentation or folders that cannot be.
    """
    counts = base.counts
    if name != base.name:
        counts = DEFAULT_COUNTS.get(name, Counts())
    return replace(
        base, name=name, counts=counts, image_dir=image_dir or "", mask_dir=mask_dir or ""
    )


def load_splits(data: DataConfig) -> tuple[Samples, Samples, Samples]:
    """The training, validation and test splits.

    Raises:
        UserError: as `load`.
    """
    if data.name == "embedded":
        train, val, test = (
            load(data.name, s, size=data.size, count=getattr(data.counts, s)) for s in SPLITS
        )
        return train, val, test
    pairs = _pairs(data)
    train, val, test = (
        _folder(data, split, pairs[split], getattr(data.counts, split)) for split in SPLITS
    )
    return train, val, test


def load(name: str, split: Split, *, size: tuple[int, int], count: int = 0) -> Samples:
    """One split of a data set at a training size (H, W).

    `name` is "embedded", "thin3d", or as `splits.places` takes it. `count` limits the split to
    its first samples (0: all); "embedded" composes exactly `count`.

    Raises:
        UserError: unknown name, missing folder, image without mask, unreadable or unequal files.
    """
    if name == "embedded":
        return _embedded(split, size, count)
    data = DataConfig(name=name, size=size)
    return _folder(data, split, _pairs(data)[split], count)


def describe(data: DataConfig) -> str:
    """The splits in a line: how many samples of which sets, and what was held out."""
    if data.name in SHIPPED:
        return data.name
    found = places(data.name, data.image_dir, data.mask_dir)
    sets = {split: ", ".join(map(label, found[split])) for split in SPLITS}
    sets["val"] = sets["val"] or "a tenth of train, by a hash of the name"
    return "; ".join(f"{s} {len(pairs)} ({sets[s]})" for s, pairs in _pairs(data).items())


def _embedded(split: Split, size: tuple[int, int], count: int) -> Samples:
    if count < 1:
        raise UserError(f"'embedded' composes its samples: give a count above 0 for {split!r}")
    source = Composed(split, size)
    objects, photographs = source.parts
    names = [f"{split}_{i:04d}" for i in range(count)]
    groups = [objects[i % len(objects)]["group"] for i in range(count)]
    files = [EMBEDDED / entry["file"] for entry in objects + photographs]
    return Samples(names, groups, size, source, digest(files, [*names, *groups], size))


def _folder(data: DataConfig, split: Split, pairs: list[Pair], count: int) -> Samples:
    chosen = pairs[: count or None]
    if len(chosen) < max(1, count):
        raise UserError(f"{split} of {data.name} has {len(pairs)} samples, {count} were asked for")
    groups = _groups() if data.name == "thin3d" else {}
    names = [pair.name for pair in chosen]
    found = [groups.get(name, name) for name in names]
    files = [file for pair in chosen for file in (pair.image, pair.mask)]
    shelf = Shelf(files, data.size, len(names)) if data.cache else None
    contents = digest(files, [*names, *found], data.size, {pair.mask for pair in chosen})
    return Samples(names, found, data.size, Files(tuple(chosen)), contents, shelf)


def _pairs(data: DataConfig) -> dict[Split, list[Pair]]:
    name = data.name
    if name == WORDS:
        raise UserError(f"{WORDS!r} are words and have no masks: grids of text take them")
    if name == "thin3d":
        name = str(HERE / "thin3d")
    elif not any(mark in name for mark in "/\\=+") and not Path(name).is_dir():
        none = unknown("data set", name, SHIPPED)
        raise UserError(f"{none}, and there is no folder {Path(name).absolute()}")
    return pairs_of(name, data.image_dir, data.mask_dir)


def _groups() -> dict[str, str]:
    with (HERE / "thin3d" / "manifest.csv").open(encoding="utf-8") as file:
        return {row["file"]: row["objects"] for row in csv.DictReader(file)}


def digest(
    files: list[Path],
    names: list[str],
    size: tuple[int, int],
    masks: Collection[Path] = (),
) -> str:
    """Digest of a split: names, sizes and contents of its files.

    Of a split above 256 MB the contents of the masks alone, which are what people correct: an
    image that changes there without its size is not noticed.
    """
    lengths = [file.stat().st_size for file in files]
    digest = hashlib.sha256(f"{size} {' '.join(names)}".encode())
    small = sum(lengths) < SMALL
    for file, length in zip(files, lengths, strict=True):
        digest.update(f"{file.name} {length} ".encode())
        if small or file in masks:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
