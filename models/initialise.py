"""Initial values that depend on (seed, parameter name) alone."""

import hashlib

import torch
from torch import nn

from models.trunk import Trunk


def initialise(model: Trunk, seed: int) -> None:
    """Draw every parameter that was not pretrained from its own stream, in place.

    A model with one module more, or one fewer, shares the initial values of all the others: arms
    of an ablation start from the same point. The global random state is left as it was.
    """
    encoders = [n for n, m in model.named_modules() if n.rpartition(".")[2] == "bb"]
    for name, module in model.named_modules():
        encoder = next((e for e in encoders if f"{name}.".startswith(f"{e}.")), None)
        if encoder is not None and model.pretrained:
            continue
        with torch.random.fork_rng(devices=[]):
            key = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            torch.manual_seed(int.from_bytes(key[:8], "big") >> 1)
            _reset(model.get_submodule(encoder) if encoder else None, module)


def _reset(encoder: nn.Module | None, module: nn.Module) -> None:
    library = getattr(encoder, "net", None)  # transformers has rules of its own
    if library is not None and module is not encoder:
        library._init_weights(module)
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()
