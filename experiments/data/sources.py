"""Where samples come from: composed on the fly, or read from folders."""

import csv
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from experiments.data.samples import Pixels, Samples
from experiments.errors import UserError, unknown
from experiments.seeding import numpy_stream

HERE = Path(__file__).parent
SHIPPED = ("embedded", "thin3d")
Split = Literal["train", "val", "test"]
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Counts:
    """How many samples each split has; 0 takes all there are, and is refused where composed."""

    train: int = 0
    val: int = 0
    test: int = 0


@dataclass(frozen=True)
class DataConfig:
    """Which data, at which training size (H, W)."""

    name: str = "embedded"
    size: tuple[int, int] = (128, 128)
    counts: Counts = field(default_factory=Counts)
    augment: tuple[str, ...] = ("flip",)
    workers: int = 0  # decoding processes; 0 decodes in the training process


def load_splits(data: DataConfig) -> tuple[Samples, Samples, Samples]:
    """The training, validation and test splits."""
    n = data.counts
    return (
        load(data.name, "train", size=data.size, count=n.train),
        load(data.name, "val", size=data.size, count=n.val),
        load(data.name, "test", size=data.size, count=n.test),
    )


def load(name: str, split: Split, *, size: tuple[int, int], count: int = 0) -> Samples:
    """One split of a data set at a training size (H, W).

    `name` is "embedded", "thin3d", or a folder that holds `{train,val,test}/{im,gt}/`.
    `count` limits the split to its first samples (0: all); "embedded" composes exactly `count`.

    Raises:
        UserError: unknown name, missing folder, image without mask, unreadable or unequal files.
    """
    if name == "embedded":
        return _embedded(split, size, count)
    if name == "thin3d":
        with (HERE / "thin3d" / "manifest.csv").open(encoding="utf-8") as file:
            groups = {row["file"]: row["objects"] for row in csv.DictReader(file)}
        return _folder(HERE / "thin3d", split, size, count, groups)
    if not Path(name).is_dir():
        if "/" not in name and "\\" not in name:
            raise unknown("data set", name, SHIPPED)
        raise UserError(f"no data at {name!r}: expected a folder with {split}/im and {split}/gt")
    return _folder(Path(name), split, size, count, {})


# --- composed: rendered objects with exact alpha, pasted on photographs --------------------------


@cache
def _index() -> dict[str, list[dict[str, str]]]:
    index: dict[str, list[dict[str, str]]] = json.loads(
        (HERE / "embedded" / "index.json").read_text(encoding="utf-8")
    )
    return index


@cache
def _open(file: str) -> Image.Image:
    image = Image.open(HERE / "embedded" / file)
    image.load()
    return image


def _embedded(split: Split, size: tuple[int, int], count: int) -> Samples:
    if count < 1:
        raise UserError(f"'embedded' composes its samples: give a count above 0 for {split!r}")
    fg, bg = ([e for e in _index()[kind] if e["split"] == split] for kind in ("fg", "bg"))
    names = [f"{split}_{i:04d}" for i in range(count)]

    files = [HERE / "embedded" / e["file"] for e in fg + bg]
    return Samples(
        names=names,
        groups=[fg[i % len(fg)]["group"] for i in range(count)],
        size=size,
        read=partial(_compose, fg, bg, split, size),
        digest=_digest(files, size, count),
    )


def _compose(
    objects: list[dict[str, str]],
    backgrounds: list[dict[str, str]],
    split: str,
    size: tuple[int, int],
    i: int,
) -> tuple[Pixels, Pixels]:
    """Sample `i` of a split: a crop of a photograph, an object over it, the mask its alpha.

    Drawn from the stream (split, i) alone: neither the run's seed nor other samples matter.
    """
    rng = numpy_stream(0, "embedded", split, i)
    height, width = size
    photo = _open(backgrounds[int(rng.integers(len(backgrounds)))]["file"]).convert("RGB")
    scale = rng.uniform(0.6, 1.0) * min(photo.width / width, photo.height / height)
    w, h = scale * width, scale * height
    x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    canvas = photo.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))

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


# --- folders: <split>/im and <split>/gt, matched by stem -----------------------------------------


def _folder(
    root: Path, split: Split, size: tuple[int, int], count: int, groups: dict[str, str]
) -> Samples:
    images, masks = _by_stem(root / split / "im"), _by_stem(root / split / "gt")
    for have, lack, what in ((images, masks, "mask in gt/"), (masks, images, "image in im/")):
        alone = sorted(set(have) - set(lack))
        if alone:
            raise UserError(
                f"{root / split}: {len(alone)} files have no {what}, the first {alone[0]!r}; "
                "image and mask must share their name before the ending"
            )
    names = sorted(images)[: count or None]
    if len(names) < count:
        raise UserError(f"{root / split} has {len(names)} samples, {count} were asked for")

    files = [(images[name], masks[name]) for name in names]
    return Samples(
        names=names,
        groups=[groups.get(name, name) for name in names],
        size=size,
        read=partial(_read, files),
        digest=_digest([file for pair in files for file in pair], size, count),
    )


def _read(files: list[tuple[Path, Path]], i: int) -> tuple[Pixels, Pixels]:
    image, mask = _decode(files[i][0], "RGB"), _decode(files[i][1], "L")
    if image.shape[:2] != mask.shape:
        raise UserError(f"{files[i][0]} is {image.shape[:2]} (H, W) but its mask is {mask.shape}")
    return image, mask


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(
            f"no folder {folder}: a data set holds train/, val/ and test/ with im/, gt/"
        )
    files = [f for f in sorted(folder.iterdir()) if f.suffix.lower() in IMAGE_ENDINGS]
    if not files:
        raise UserError(f"{folder} holds no image ({', '.join(IMAGE_ENDINGS)})")
    found: dict[str, Path] = {}
    for file in files:
        if file.stem in found:
            raise UserError(f"{file} and {found[file.stem].name} share the name {file.stem!r}")
        found[file.stem] = file
    return found


def _decode(file: Path, mode: Literal["RGB", "L"]) -> Pixels:
    try:
        return np.array(Image.open(file).convert(mode))
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"cannot read {file} as an image: {error}") from error


def _digest(files: list[Path], size: tuple[int, int], count: int) -> str:
    """Digest of a split: contents of files, of sets above 256 MB only names and sizes."""
    sizes = [file.stat().st_size for file in files]
    digest = hashlib.sha256(f"{size} {count}".encode())
    small = sum(sizes) < 1 << 28
    for file, length in zip(files, sizes, strict=True):
        digest.update(f"{file.name} {length} ".encode())
        if small:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
