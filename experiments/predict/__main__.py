"""Masks, or words, for a folder of images, by a run's checkpoint or an official one.

python -m experiments.predict results/grad_loss/laptop/runs/RUN photos --out masks
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from experiments.device import choose
from experiments.errors import UserError
from experiments.evaluate import CHUNK
from experiments.predict.files import batches, found, targets_of
from experiments.predict.masks import Masks
from experiments.predict.source import finished, folder_of, loaded, task_of
from experiments.predict.words import Words, knobs_of
from models.dbnet import DBNet

OF_TEXT = ("form", "cut", "least_score")  # options


class Predictor(Protocol):
    """What turns images into files."""

    @property
    def size(self) -> tuple[int, int]:
        """What the model sees, (H, W)."""
        ...

    def read(self, file: Path) -> Any:
        """An image as the model takes it; UserError where it cannot be read."""
        ...

    def write(self, batch: Sequence[Any], targets: Sequence[Sequence[Path]]) -> list[int]:
        """Predict, and write the files of each image; returns how much each has of it."""
        ...

    def told(self, counts: Sequence[int]) -> str:
        """What was written, from how much each image has of it."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 only if every image has its files."""
    options = parser().parse_args(arguments)
    try:
        failed = run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for reason in failed:
        print(f"left out: {reason}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.predict",
        description="Write a mask for each image: 8-bit grey, at the image's own resolution. Of a "
        "run on text: the words' corners as res_NAME.txt (ICDAR 2015), drawn in NAME.jpg.",
    )
    p.add_argument(
        "model",
        metavar="MODEL",
        help="a run's folder, or an official checkpoint: a file, a folder, or its name on the hub",
    )
    p.add_argument("images", type=Path, metavar="IMAGES", help="a folder of images, or one image")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where files go")
    p.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="what the model sees (default: the run's training size; 1024 1024 if official)",
    )
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    p.add_argument("--batch", type=int, default=CHUNK, metavar="N", help=f"default: {CHUNK}")
    p.add_argument("--overwrite", action="store_true", help="replace files that are there")
    words = p.add_argument_group("of a run on text (default: as the run was tested)")
    words.add_argument(
        "--form",
        choices=("box", "polygon"),
        help="a word's outline: four corners, which ICDAR 2015 takes, or any number (Total-Text)",
    )
    words.add_argument("--cut", type=float, metavar="P", help="probability above which is text")
    words.add_argument("--least-score", type=float, metavar="P", help="a word's mean probability")
    return p


def run(options: argparse.Namespace) -> list[str]:
    """Write the files; returns why an image got none, for each that did not.

    Raises:
        UserError: no such model, no images, files that are there already.
    """
    if options.batch < 1:
        raise UserError(f"--batch is {options.batch}, expected 1 or more")
    if options.size and min(options.size) < 1:
        raise UserError(f"--size is {tuple(options.size)}, expected 1 or more for each side")
    task = task_of(options.model)
    files = found(options.images)
    targets = targets_of(files, options.out, task, overwrite=options.overwrite)
    predictor = predictor_of(options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {options.out}: {error}") from error
    failed, counts = list[str](), list[int]()
    with tqdm(total=len(targets), unit="image", disable=None) as bar:
        for batch in batches(files, predictor.read, options.batch, failed):
            try:
                counts += predictor.write(
                    [one for _, one in batch], [targets[file] for file, _ in batch]
                )
            except OSError as error:
                raise UserError(f"cannot write to {options.out}: {error}") from error
            except ValueError as error:
                raise UserError(f"--size {predictor.size}: {error}") from error
            bar.update(len(batch))
    print(f"{predictor.told(counts)} in {options.out}")
    return failed


def predictor_of(options: argparse.Namespace) -> Predictor:
    """What the model of the options makes of images.

    Raises:
        UserError: no such model; an option that it has no use for.
    """
    given = {name: getattr(options, name) for name in OF_TEXT}
    given = {name: value for name, value in given.items() if value is not None}
    if task_of(options.model) == "text":
        knobs = knobs_of(finished(folder_of(options.model)), given)
    elif given:
        option = next(iter(given)).replace("_", "-")
        raise UserError(f"--{option} is for a run on text; {options.model} makes masks")
    device = choose(options.device)
    model, size = loaded(options.model)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = tuple(options.size) if options.size else size
    if isinstance(model, DBNet):
        return Words(model, size, device, knobs)
    return Masks(model, size, device)


if __name__ == "__main__":
    sys.exit(main())
