"""The images whose maps are drawn, and what a run's model says of them; imports torch."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from analysis.figures import save
from experiments.data import SHIPPED, load, normalise, to_tensors
from experiments.data.decode import read_pair
from experiments.data.folders import match
from experiments.data.layouts import Folders, find
from experiments.data.splits import split_of, terms
from experiments.errors import UserError, unknown
from experiments.objective import grown
from experiments.predict.source import load as load_model

AT_ONCE = 8


@dataclass(frozen=True)
class Images:
    """Images `pixels` (B, 3, H, W) and their masks `targets` (B, 1, H, W), in [0, 1]."""

    data: str
    names: tuple[str, ...]
    pixels: Tensor
    targets: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.pixels.shape[2]), int(self.pixels.shape[3])

    def first(self, count: int) -> "Images":
        """The first images alone."""
        return Images(self.data, self.names[:count], self.pixels[:count], self.targets[:count])


@dataclass(frozen=True)
class Outputs:
    """What a run's model makes of the images: lists of logits, from coarse to fine.

    `coarse` (B, 1, h, w) are the levels whose stages predict gradients, `gradients` (B, 1, H, W)
    those predictions, brought to the images' size as the loss does it; none if it predicts none.
    """

    coarse: list[Tensor]
    gradients: list[Tensor]


def read_images(
    data: str, size: tuple[int, int], count: int, image_dir: str = "", mask_dir: str = ""
) -> Images:
    """At most `count` test images of a data set at `size` (H, W), evenly spaced over its names.

    `data` is "embedded", "thin3d", or as a grid takes it; of a folder that names no test split
    all images count, as nothing is trained here.

    Raises:
        UserError: a count or size below 1, an unknown name, folders or files that do not fit.
    """
    if count < 1 or min(size) < 1:
        raise UserError(f"{count} images of size {size}: expected 1 or more of each")
    if data in SHIPPED:
        samples = load(data, "test", size=size, count=count if data == "embedded" else 0)
        chosen = _spread(len(samples), count)
        names, pairs = [samples.names[i] for i in chosen], [samples[i] for i in chosen]
    else:
        files = _files(data, image_dir, mask_dir)
        keys = sorted(files)
        names = [keys[i] for i in _spread(len(keys), count)]
        pairs = [read_pair(*files[name], size) for name in names]
    return Images(Path(data).name or data, tuple(names), *to_tensors(pairs))


def inputs(images: Images) -> Tensor:
    """The images as models and gradient labels take them, ImageNet-normalised."""
    return normalise(images.pixels)


def outputs(run: Path, images: Images) -> Outputs:
    """Run the checkpoint of a finished run on the images, in evaluation.

    Raises:
        UserError: a folder that is no finished run, or a size that its model does not take.
    """
    model, _ = load_model(str(run))
    parts = []
    try:
        with torch.inference_mode():
            for x in inputs(images).split(AT_ONCE):
                out = model(x)
                parts.append((out.levels, out.gradient_logits))
    except ValueError as error:
        raise UserError(f"size {images.size}: {error}") from error
    levels, gradients = (
        [torch.cat(maps).float() for maps in zip(*lists, strict=True)]
        for lists in zip(*parts, strict=True)
    )
    return Outputs(levels[: len(gradients) or 3], grown(gradients, images.size))


def run_config(run: Path) -> dict[str, Any]:
    """The configuration of a run, as its folder has it.

    Raises:
        UserError: a folder that is no run, or one of text detection.
    """
    try:
        plain = json.loads((run / "config.json").read_text(encoding="utf-8"))
        found = {key: plain[key] for key in ("data", "loss")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run} is no run's folder, or is damaged: {error}") from error
    if plain.get("task", "masks") != "masks":
        raise UserError(
            f"{run} is a run of {plain['task']} detection, which learns no gradient; the report "
            "of its grid draws its maps"
        )
    return found


def trained_on(run: Path) -> tuple[str, tuple[int, int]]:
    """The data set and the size (H, W) that a run was trained on.

    Raises:
        UserError: a folder that is no run.
    """
    data = run_config(run)["data"]
    height, width = data["size"]
    return str(data["name"]), (int(height), int(width))


def add_options(parser: argparse.ArgumentParser, *, images: int, data: str | None) -> None:
    """The options that say which images; `data` is the default, None if it is another option's."""
    parser.add_argument(
        "--data",
        default=data,
        metavar="SET",
        help="embedded, thin3d, or a folder of images and masks "
        + (f"(default: {data})" if data else "(default: the run's, else embedded)"),
    )
    parser.add_argument("--image-dir", default="", metavar="NAME", help="its folder of images")
    parser.add_argument("--mask-dir", default="", metavar="NAME", help="its folder of masks")
    parser.add_argument(
        "--images", type=int, default=images, metavar="N", help=f"how many (default: {images})"
    )


def write(
    folder: Path, stem: str, rows: pd.DataFrame, text: str, figures: Mapping[str, Figure]
) -> list[Path]:
    """Write a table as <stem>.md, which is `text`, and <stem>.csv, unless it has no rows, and
    every figure by its name as .png and .pdf; returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    if len(rows):
        paths = [folder / f"{stem}.md", folder / f"{stem}.csv"]
        paths[0].write_text(text, encoding="utf-8", newline="\n")
        rows.to_csv(paths[1], index=False, lineterminator="\n", float_format="%.6g")
    for name, figure in figures.items():
        files = [folder / f"{name}.png", folder / f"{name}.pdf"]
        save(figure, files)
        paths += files
    return paths


def status(command: Callable[[], list[Path]]) -> int:
    """Run a command and print the files it wrote; 0, or 2 with the reason on standard error."""
    try:
        paths = command()
    except (UserError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(path)
    return 0


def _files(data: str, image_dir: str, mask_dir: str) -> dict[str, tuple[Path, Path]]:
    """Image and mask by name, of the test folders if any folder tells that it is one."""
    if not any(mark in data for mark in "/\\=+.") and not Path(data).is_dir():
        raise unknown("data set", data, SHIPPED)
    places = [
        (split or split_of(root, folders), folders)
        for split, root in terms(data)
        for folders in find(root, image_dir, mask_dir)
    ]
    tested = [folders for split, folders in places if split == "test"]
    chosen = tested or [folders for _, folders in places]
    files: dict[str, tuple[Path, Path]] = {}
    for folders in chosen:
        files |= {_name(folders, stem, chosen): pair for stem, pair in _matched(folders).items()}
    return files


def _matched(folders: Folders) -> dict[str, tuple[Path, Path]]:
    pairs, problems = match(folders)
    if problems:
        raise UserError(problems[0])
    return pairs


def _name(folders: Folders, stem: str, chosen: Sequence[Folders]) -> str:
    return stem if len(chosen) == 1 else f"{folders.images}/{stem}"


def _spread(length: int, count: int) -> list[int]:
    """`count` places evenly over `length`, all of them if there are no more."""
    places = np.linspace(0, length - 1, min(length, count)).round()
    return [int(i) for i in places]
