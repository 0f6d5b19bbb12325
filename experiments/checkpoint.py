"""The state of an unfinished run on disk, so that a killed run goes on where it was."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from experiments.files import whole
from models.birefnet import BiRefNet

FILE = "training_state.pt"


@dataclass
class Progress:
    """All that training has made so far, besides the weights and the optimizer."""

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    # one entry a moment: (step, label counts, prediction counts), each (stages, 256)
    counts: list[tuple[int, list[list[int]], list[list[int]]]] = field(default_factory=list)


def save(
    folder: Path, model: BiRefNet, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write the training state; a kill while writing leaves the one before."""
    with whole(folder / FILE) as draft:
        torch.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": vars(progress),
            },
            draft,
        )


def resume(folder: Path, model: BiRefNet, optimizer: torch.optim.Optimizer) -> Progress:
    """Load the training state of a killed run, if there is one, and say how far it was."""
    if not (folder / FILE).exists():
        return Progress()
    saved = torch.load(folder / FILE, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["progress"])


def learned(model: BiRefNet) -> dict[str, Tensor]:
    """A copy of the weights that training changes: all but those of a frozen backbone."""
    frozen = not any(p.requires_grad for p in model.bb.parameters())
    kept = {k: v for k, v in model.state_dict().items() if not (frozen and k.startswith("bb."))}
    return {k: v.detach().cpu().clone().contiguous() for k, v in kept.items()}
