"""Masks for a folder of images, by a run's checkpoint or an official one.

python -m experiments.predict results/grad_loss/laptop/runs/RUN photos --out masks
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm import tqdm

import models
from experiments.config import LossConfig, RunConfig, TrainConfig
from experiments.data import DataConfig, normalise, to_tensors
from experiments.data.decode import Pixels, read_image
from experiments.data.layouts import is_image
from experiments.device import choose
from experiments.errors import UserError
from experiments.evaluate import CHUNK
from experiments.files import whole
from experiments.model import build_model
from experiments.results import FINISHED
from experiments.scores import at_resolution
from models.birefnet import BiRefNet

WEIGHTS = "checkpoint.safetensors"
OFFICIAL = (1024, 1024)  # what the official checkpoints are made for


@dataclass(frozen=True)
class Read:
    """An image as the model takes it, and its own shape."""

    file: Path
    pixels: Pixels  # (h, w, 3), at the model's size
    shape: tuple[int, int]  # (H, W) of the file, upright


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 only if every image has its mask."""
    options = parser().parse_args(arguments)
    try:
        failed = run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for reason in failed:
        print(f"no mask: {reason}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.predict",
        description="Write a mask for each image: 8-bit grey, at the image's own resolution.",
    )
    p.add_argument(
        "model",
        metavar="MODEL",
        help="a run's folder, or an official checkpoint: a file, or its name on the hub",
    )
    p.add_argument("images", type=Path, metavar="IMAGES", help="a folder of images, or one image")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where masks go")
    p.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="what the model sees (default: the run's training size; 1024 1024 if official)",
    )
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    p.add_argument("--batch", type=int, default=CHUNK, metavar="N", help=f"default: {CHUNK}")
    p.add_argument("--overwrite", action="store_true", help="replace masks that are there")
    return p


def run(options: argparse.Namespace) -> list[str]:
    """Write the masks; returns why an image got none, for each that did not.

    Raises:
        UserError: no such model, no images, masks that are there already.
    """
    if options.batch < 1:
        raise UserError(f"--batch is {options.batch}, expected 1 or more")
    if options.size and min(options.size) < 1:
        raise UserError(f"--size is {tuple(options.size)}, expected 1 or more for each side")
    targets = masks_of(found(options.images), options.out, overwrite=options.overwrite)
    device = choose(options.device)
    model, size = load(options.model)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = tuple(options.size) if options.size else size
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {options.out}: {error}") from error
    failed: list[str] = []
    with tqdm(total=len(targets), unit="image", disable=None) as bar:
        for batch in batches(list(targets), size, options.batch, failed):
            for one, mask in zip(batch, predict(model, batch, device), strict=True):
                write(mask, targets[one.file])
            bar.update(len(batch))
    print(f"{len(targets) - len(failed)} masks in {options.out}")
    return failed


def write(mask: Pixels, file: Path) -> None:
    """Write a mask.

    Raises:
        UserError: the disk does not take it.
    """
    try:
        with whole(file) as draft:
            Image.fromarray(mask).save(draft)
    except OSError as error:
        raise UserError(f"cannot write to {file.parent}: {error}") from error


def found(images: Path) -> list[Path]:
    """The image files of a folder, or the one file.

    Raises:
        UserError: nothing there, or no image.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise UserError(f"{images}: no such file or folder")
    files = sorted(f for f in images.iterdir() if is_image(f.name) and f.is_file())
    if not files:
        raise UserError(f"{images} holds no image; folders inside it are not read")
    return files


def masks_of(images: Sequence[Path], out: Path, *, overwrite: bool) -> dict[Path, Path]:
    """Where each image's mask goes: the same name, as .png.

    Raises:
        UserError: two images of one name; a mask that is there; the images' own folder.
    """
    targets = {file: out / f"{file.stem}.png" for file in images}
    by_target = {target: file for file, target in targets.items()}
    for file, target in targets.items():
        if by_target[target] != file:
            raise UserError(
                f"{file.name} and {by_target[target].name} would have the same mask {target.name}"
            )
    there = [target for target in targets.values() if target.exists()]
    if out.resolve() == images[0].parent.resolve():
        raise UserError(f"--out {out} is the images' own folder; masks need one of their own")
    if there and not overwrite:
        raise UserError(
            f"{len(there)} of {len(targets)} masks are there already, such as {there[0]}; give "
            "another --out, or --overwrite"
        )
    return targets


def load(source: str) -> tuple[BiRefNet, tuple[int, int]]:
    """A model in evaluation mode, and the size (H, W) it was trained at.

    `source` is a run's folder, or its checkpoint, or what `models.load_official` takes.

    Raises:
        UserError: nothing there, a run that is not finished, a checkpoint that does not fit.
    """
    path = Path(source)
    folder = path.parent if path.name == WEIGHTS else path
    if (folder / "config.json").exists() and not (folder / "model.safetensors").exists():
        return _of_run(folder)
    if not path.exists() and (path.is_absolute() or source.count("/") != 1):
        raise UserError(f"{source}: no such run or checkpoint")
    try:
        return models.load_official(source), OFFICIAL
    except ValueError as error:
        raise UserError(f"{source} is neither a run's folder nor a checkpoint: {error}") from error


def _of_run(folder: Path) -> tuple[BiRefNet, tuple[int, int]]:
    if not (folder / FINISHED).exists():
        raise UserError(f"{folder} is a run that is not finished; the grid's command goes on")
    try:
        plain = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        height, width = plain["data"]["size"]
        data, training = DataConfig(size=(height, width)), TrainConfig(steps=1, batch=1, lr=1.0)
        # A model depends on its switches and, where an encoder is frozen as drawn, on the seed.
        config = RunConfig(plain["seed"], data, plain["model"], training, LossConfig(), "")
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder} is no run's folder, or is damaged: {error}") from error
    model = build_model(config)
    frozen = not any(p.requires_grad for p in model.bb.parameters())
    try:
        missing, left = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise UserError(f"{folder / WEIGHTS} does not fit its config.json: {error}") from error
    missing = [key for key in missing if not (frozen and key.startswith("bb."))]
    if missing or left:
        raise UserError(
            f"{folder / WEIGHTS} does not fit its config.json: {len(missing)} weights are "
            f"missing, {len(left)} left over, such as {[*missing, *left][0]}"
        )
    return model.eval(), (height, width)


def batches(
    files: Sequence[Path], size: tuple[int, int], count: int, failed: list[str]
) -> Iterator[list[Read]]:
    """Yields images, `count` at a time; those that cannot be read are told in `failed`."""
    ready: list[Read] = []
    for file in files:
        try:
            ready.append(Read(file, *read_image(file, size)))
        except UserError as error:
            failed.append(str(error))
        if len(ready) == count:
            yield ready
            ready = []
    if ready:
        yield ready


def predict(model: BiRefNet, batch: Sequence[Read], device: torch.device) -> list[Pixels]:
    """8-bit masks (H, W), each at its image's own resolution; 255 is the object."""
    images, _ = to_tensors([(one.pixels, one.pixels[..., 0]) for one in batch])
    try:
        with torch.inference_mode():
            logits = model(normalise(images.to(device))).logits.cpu()
    except ValueError as error:
        raise UserError(f"--size {tuple(batch[0].pixels.shape[:2])}: {error}") from error
    found = (at_resolution(one, read.shape) for one, read in zip(logits, batch, strict=True))
    return [(255 * p).round().astype(np.uint8) for p in found]


if __name__ == "__main__":
    sys.exit(main())
