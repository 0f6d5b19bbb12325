"""The model that predicts: of a run's folder, or of an official checkpoint."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

import models
from experiments.config import LossConfig, RunConfig, TaskName, TrainConfig
from experiments.data import DataConfig
from experiments.errors import UserError
from experiments.model import Network, build_model
from experiments.results import FINISHED
from models.birefnet import BiRefNet
from models.dbnet import DBNet

WEIGHTS = "checkpoint.safetensors"
OFFICIAL = (1024, 1024)  # what the official checkpoints are made for


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
