"""The model of a run, and what it is trained by."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import models
from experiments.config import RunConfig, TaskName, TrainConfig
from experiments.errors import UserError
from experiments.files import file_digest, weights_digest
from experiments.seeding import stream_seed
from experiments.task import Criterion, Terms
from models.birefnet import BiRefNet
from models.dbnet import DBNet

Network = BiRefNet | DBNet
MAKERS: dict[TaskName, Callable[..., Network]] = {"masks": BiRefNet.preset, "text": DBNet.preset}


def build_model(config: RunConfig) -> Network:
    """The model of a run; a parameter starts at a value of (seed, its name) alone.

    With `start` among the switches it is an official checkpoint's, the same for every seed.
    `perturb` e makes it a copy that differs by chance alone: every initial parameter, those of a
    frozen backbone too, is multiplied by 1 + e n, n standard normal of (seed, its name).

    Raises:
        UserError: an unknown or impossible switch; weights that changed or do not fit.
    """
    switches = dict(config.model)
    digest = switches.pop("weights_digest", "")
    if digest and weights_digest(switches) != digest:
        raise UserError(
            f"the weights of this run (digest {digest}) are not what its model names any more: "
            f"pretrained={switches.get('pretrained')!r}, backbone={switches.get('backbone')!r}"
        )
    amount = switches.pop("perturb", 0.0)
    if not isinstance(amount, (int, float)) or not 0 <= amount < 1:
        raise UserError(f"model.perturb is {amount!r}, expected a number from 0 to below 1")
    model = _initial(config, switches)
    if amount:
        perturb(model, config.seed, amount)
    return model


def _initial(config: RunConfig, switches: dict[str, Any]) -> Network:
    try:
        if "start" in switches:
            file, digest = Path(switches.pop("start")), switches.pop("start_digest")
            if not file.is_file() or file_digest(file) != digest:
                raise UserError(f"{file} is not the file (digest {digest}) of this run any more")
            official = models.load_official(file, **switches)
            official.train()
            return official
        model = MAKERS[config.task](switches.pop("preset"), **switches)
    except ValueError as error:
        raise UserError(f"model of this arm: {error}") from error
    models.initialise(model, config.seed)
    return model


def perturb(model: nn.Module, seed: int, amount: float) -> None:
    """Multiply every parameter, in place, by 1 + amount n, n standard normal of (seed, name)."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            draw = torch.Generator().manual_seed(stream_seed(seed, "perturb", name))
            values.mul_(1 + amount * torch.randn(values.shape, generator=draw))


class Supervised(nn.Module):
    """A model with its objective: the module that data-parallel training wraps.

    Arms leave different parameters without a gradient; torch finds out which by following what
    the module returns, so it returns the losses.
    """

    def __init__(self, model: Network, objective: Criterion, t: TrainConfig) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.dtype = getattr(torch, t.precision)
        self._compiled = torch.compile(model) if t.compile else model

    def forward(
        self, inputs: Tensor, targets: Tensor, u: float, eager: bool
    ) -> tuple[Tensor, Terms, Any]:
        """Loss, its terms and the detached output, at progress `u` in [0, 1].

        `inputs` (B, 3, H, W) are ImageNet-normalised. `eager` is for those who go back through
        the graph twice, which a compiled one does not allow.
        """
        half = self.dtype is not torch.float32
        with torch.autocast(inputs.device.type, self.dtype if half else None, enabled=half):
            out = (self.model if eager else self._compiled)(inputs)
        terms = self.objective(out, inputs, targets, u)
        return self.objective.total(terms), terms, _detached(out)


def _detached(out: Any) -> Any:
    """A model's output without its graph."""
    if isinstance(out, Tensor):
        return out.detach()
    if isinstance(out, list):
        return [_detached(x) for x in out]
    return out if out is None else type(out)(*map(_detached, out))
