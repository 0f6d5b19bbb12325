"""Masks, or words, for a folder of images, by a run's checkpoint or an official one.

python -m experiments.predict results/grad_loss/laptop/runs/RUN photos --out masks
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm import tqdm

import models
from experiments import predict_masks, predict_text
from experiments.config import LossConfig, RunConfig, TaskName, TrainConfig
from experiments.data import DataConfig
from experiments.device import choose
from experiments.errors import UserError
from experiments.evaluate import CHUNK
from experiments.model import Network, build_model
from experiments.predict_files import batches, found, targets_of
from experiments.results import FINISHED
from models.birefnet import BiRefNet
from models.dbnet import DBNet

OF_TEXT = ("form", "cut", "least_score")  # options
WEIGHTS = "checkpoint.safetensors"
OFFICIAL = (1024, 1024)  # what the official checkpoints are made for


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
        help="a run's folder, or an official checkpoint: a file, or its name on the hub",
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
        knobs = predict_text.knobs_of(finished(folder_of(options.model)), given)
    elif given:
        option = next(iter(given)).replace("_", "-")
        raise UserError(f"--{option} is for a run on text; {options.model} makes masks")
    device = choose(options.device)
    model, size = loaded(options.model)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = tuple(options.size) if options.size else size
    if isinstance(model, DBNet):
        return predict_text.Words(model, size, device, knobs)
    return predict_masks.Masks(model, size, device)


def folder_of(source: str) -> Path:
    """The folder of a run that is named by it, or by its checkpoint.

    Raises:
        UserError: a folder of runs, with one of them.
    """
    path = Path(source)
    runs = path if path.name == "runs" else path / "runs"
    if runs.is_dir():
        ready = sorted(run.parent for run in runs.glob(f"*/{FINISHED}"))
        hint = f"name one of them, such as {ready[0]}" if ready else "none of them is finished"
        raise UserError(f"{source} is a folder of runs; {hint}")
    return path.parent if path.name == WEIGHTS else path


def finished(folder: Path) -> Path:
    """The folder of a run; UserError where it is not finished."""
    if not (folder / FINISHED).exists():
        raise UserError(f"{folder} is a run that is not finished; the grid's command goes on")
    return folder


def task_of(source: str) -> TaskName:
    """What a model was trained for; an official checkpoint, and one that is not there: masks."""
    try:
        plain = json.loads((folder_of(source) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "masks"
    return "text" if isinstance(plain, dict) and plain.get("task") == "text" else "masks"


def load(source: str) -> tuple[BiRefNet, tuple[int, int]]:
    """A model that makes masks, in evaluation mode, and the size (H, W) it was trained at.

    `source` is a run's folder, or its checkpoint, or what `models.load_official` takes.

    Raises:
        UserError: nothing there, a run that is not finished or on text, a checkpoint that does
            not fit.
    """
    model, size = loaded(source)
    if isinstance(model, DBNet):
        raise UserError(f"{source} is a run on text; expected one that makes masks")
    return model, size


def loaded(source: str) -> tuple[Network, tuple[int, int]]:
    """As `load`, for a model of any task."""
    path, folder = Path(source), folder_of(source)
    if (folder / "config.json").exists() and not (folder / "model.safetensors").exists():
        return _of_run(folder)
    if not path.exists() and (path.is_absolute() or source.count("/") != 1):
        raise UserError(f"{source}: no such run or checkpoint")
    try:
        return models.load_official(source), OFFICIAL
    except ValueError as error:
        raise UserError(f"{source} is neither a run's folder nor a checkpoint: {error}") from error


def _of_run(folder: Path) -> tuple[Network, tuple[int, int]]:
    finished(folder)
    try:
        plain = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        height, width = plain["data"]["size"]
        data, training = DataConfig(size=(height, width)), TrainConfig(steps=1, batch=1, lr=1.0)
        # A model depends on its switches and, where an encoder is frozen as drawn, on the seed.
        config = RunConfig(
            plain["seed"], data, plain["model"], training, LossConfig(), "", task_of(str(folder))
        )
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


if __name__ == "__main__":
    sys.exit(main())
