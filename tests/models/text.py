"""What the tests of DBNet share: a narrow one, and its loss."""

from typing import Any

import torch
from torch import Tensor

import losses
import models
from models import DBNet, DBOutput
from tests.models.small import SMALL

BODIES = ("fpn", "birefnet")
NARROW: dict[str, dict[str, Any]] = {
    "fpn": {"channels": 16},
    "birefnet": {"channels": 16, **SMALL},
}


def lite(body: str = "fpn", **switches: Any) -> DBNet:
    model = DBNet.preset("lite", body=body, **{**NARROW[body], **switches})
    models.initialise(model, 0)
    return model


def loss(out: DBOutput, **knobs: Any) -> Tensor:
    """That of a box of text in each image."""
    text, border = torch.zeros_like(out.logits), torch.zeros_like(out.logits)
    text[..., 20:40, 16:48] = 1
    border[..., 14:46, 10:54] = 1
    maps = (out.logits, out.threshold, text, 0.3 + 0.4 * border, border)
    return losses.build("db", **knobs)(*maps)
