"""Runs under torchrun, for test_distributed.py: what each rank saw goes to its own file."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from experiments import device as devices
from experiments import distributed
from experiments import grid as grids
from experiments.checkpoint import Checkpoint
from experiments.checks import NonFiniteLossError
from experiments.config import LossConfig, RunConfig
from experiments.data import Counts
from experiments.data.augment import Augment
from experiments.errors import UserError
from experiments.objective import Objective
from experiments.train import train
from experiments.watch import Stopped, Watch


class AsksAt2(Watch):
    """Asks a run to stop after its second step."""

    reached = 0

    def stepped(self, step: int) -> None:
        self.reached = step

    def stop(self) -> bool:
        return self.reached == 2


def alone() -> RunConfig:
    """A run without draws and statistics that a slice of a batch would have of its own."""
    grid = grids.find("grad_loss")
    config = grids.resolve(grid, grid.presets["smoke"], "bce", seed=0)
    data = replace(config.data, counts=Counts(train=8, val=4, test=4), augment=())
    model = {**config.model, "batch_norm": False, "dropout": 0.0}
    steps = replace(config.train, steps=4, batch=4, accumulate=2, maps=2)
    return replace(config, data=data, model=model, train=steps)


def unsupervised() -> RunConfig:
    """Its gradient heads have no loss, and so no gradient."""
    return replace(alone(), loss=LossConfig(gradient={"objective": "none"}))


def main(folder: Path) -> None:
    """All runs that the test asks about, one after another."""
    seen: dict[str, object] = {"rank": distributed.rank(), "world": distributed.world()}
    seen["value"] = train(alone(), folder / "together")
    train(unsupervised(), folder / "unsupervised")
    try:
        train(alone(), folder / "stopped", AsksAt2())
    except Stopped as stop:
        seen["stopped"] = str(stop)
    seen["damaged"] = fails_on_rank_1(Checkpoint, "_load", folder / "stopped")
    train(alone(), folder / "stopped")
    seen["odd"] = _refused(replace(alone(), train=replace(alone().train, batch=6)), folder / "odd")
    seen["unreadable"] = fails_on_rank_1(Augment, "__call__", folder / "unreadable")
    seen["no GPU"] = fails_on_rank_1(devices, "choose", folder / "no_gpu")
    real = Objective.__call__

    def spoilt(self, *arguments):  # type: ignore[no-untyped-def]
        parts = real(self, *arguments)
        bad = {**parts, "pixel": parts["pixel"] * torch.nan}
        return bad if distributed.rank() else parts

    Objective.__call__ = spoilt  # type: ignore[method-assign]
    seen["spoilt"] = _refused(alone(), folder / "spoilt")
    (folder / f"rank{distributed.rank()}.json").write_text(json.dumps(seen))


def fails_on_rank_1(owner: object, name: str, folder: Path) -> str:
    """The error of a run in which rank 1 alone cannot do what `name` of `owner` does."""
    real = getattr(owner, name)

    def fails(*arguments: object) -> object:
        if distributed.rank():
            raise UserError(f"rank 1 alone: {name}")
        return real(*arguments)

    setattr(owner, name, fails)
    try:
        return _refused(alone(), folder)
    finally:
        setattr(owner, name, real)


def _refused(config: RunConfig, folder: Path) -> str:
    try:
        train(config, folder)
    except NonFiniteLossError as error:
        return f"not finite: {error}"
    except UserError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
