"""Losses of segmentation-models-pytorch and MONAI for the same laws, where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Fn = Callable[..., Tensor]
_BINARY: dict[str, object] = {"mode": "binary"}
_SIGMOID: dict[str, object] = {"sigmoid": True}
# Where each library has its losses, and the arguments that make them ones of binary logits.
_SETTINGS: dict[str, dict[str, dict[str, object]]] = {
    "segmentation_models_pytorch.losses": {
        "DiceLoss": _BINARY,
        "JaccardLoss": _BINARY,
        "TverskyLoss": _BINARY,
        "LovaszLoss": _BINARY,
        "FocalLoss": _BINARY,
        "SoftBCEWithLogitsLoss": {},
    },
    "monai.losses": {
        "DiceLoss": _SIGMOID,
        "GeneralizedDiceLoss": _SIGMOID,
        "TverskyLoss": _SIGMOID,
        "DiceCELoss": _SIGMOID,
        "FocalLoss": {},
    },
}

__all__ = ["Library", "installed"]


@dataclass(frozen=True)
class Library:
    """Another library: its losses by class name, or why it could not be imported."""

    name: str
    losses: Mapping[str, Fn]
    trouble: str = ""


def installed() -> list[Library]:
    """Libraries of losses that are there; one that fails on import says why."""
    return [_load(path) for path in _SETTINGS if importlib.util.find_spec(path.split(".")[0])]


def _load(path: str) -> Library:
    try:
        module = importlib.import_module(path)
    except Exception as error:
        return Library(path, {}, f"{type(error).__name__}: {error}")
    made = {
        name: getattr(module, name)(**arguments)
        for name, arguments in _SETTINGS[path].items()
        if hasattr(module, name)
    }
    return Library(path, made)
