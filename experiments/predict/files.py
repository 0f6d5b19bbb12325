"""The images that are predicted, and the files that each becomes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from experiments.config import TaskName
from experiments.data.layouts import is_image
from experiments.errors import UserError

T = TypeVar("T")
# What an image's files are called.
NAMES: dict[TaskName, tuple[str, ...]] = {"masks": ("{}.png",), "text": ("res_{}.txt", "{}.jpg")}
NOUN: dict[TaskName, str] = {"masks": "mask", "text": "file"}


def found(images: Path) -> list[Path]:
    """The image files of a folder, or the one file.

    Raises:
        UserError: nothing there, or no image.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise UserError(f"{images}: no such file or folder")
    files = sorted(f for f in images.iterdir() if is_image(f.name) and not f.is_dir())
    if not files:
        raise UserError(f"{images} holds no image; folders inside it are not read")
    return files


def targets_of(
    images: Sequence[Path], out: Path, task: TaskName, *, overwrite: bool
) -> dict[Path, tuple[Path, ...]]:
    """Where each image's files go, named as the image.

    Raises:
        UserError: two images of one name; a file that is there; the images' own folder.
    """
    noun = NOUN[task]
    targets = {
        file: tuple(out / name.format(file.stem) for name in NAMES[task]) for file in images
    }
    by_target = {names[0]: file for file, names in targets.items()}
    for file, (target, *_) in targets.items():
        if by_target[target] != file:
            raise UserError(
                f"{file.name} and {by_target[target].name} would have the same {noun} "
                f"{target.name}"
            )
    there = [
        first for names in targets.values() if (first := next(filter(Path.exists, names), None))
    ]
    if out.resolve() == images[0].parent.resolve():
        raise UserError(f"--out {out} is the images' own folder; {noun}s need one of their own")
    if there and not overwrite:
        raise UserError(
            f"{len(there)} of {len(targets)} {noun}s are there already, such as {there[0]}; give "
            "another --out, or --overwrite"
        )
    return targets


def batches(
    files: Sequence[Path], read: Callable[[Path], T], count: int, failed: list[str]
) -> Iterator[list[tuple[Path, T]]]:
    """Yields images with their files, `count` at a time; `failed` tells which cannot be read."""
    ready: list[tuple[Path, T]] = []
    for file in files:
        try:
            ready.append((file, read(file)))
        except UserError as error:
            failed.append(str(error))
        if len(ready) == count:
            yield ready
            ready = []
    if ready:
        yield ready
