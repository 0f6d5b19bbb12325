"""The state of an unfinished run on disk, so that a killed run goes on where it was."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from experiments import distributed
from experiments.config import RunConfig, deciding
from experiments.errors import UserError
from experiments.files import whole
from experiments.history import History
from experiments.model import Network
from experiments.optim import Optimizer
from experiments.watch import Stopped, Watch

FILE = "training_state.pt"
SHARE = 20  # saving takes at most one part in so many of the time


@dataclass
class Progress:
    """All that training has made so far, besides the weights and the optimizer."""

    step: int = 0
    seconds: float = 0.0
    offset: int = 0  # bytes of the history
    skipped: int = 0  # steps in a row whose gradients overflowed
    best: float = -math.inf  # of the validations, negative where lower is better
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    chosen: dict[str, float] = field(default_factory=dict)  # thresholds, with these weights
    # one entry a moment: (step, label counts, prediction counts), each (stages, 256)
    counts: list[tuple[int, list[list[int]], list[list[int]]]] = field(default_factory=list)


class Checkpoint:
    """A run's state in `folder`: loaded once, saved as often as it is worth."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        model: Network,
        optimizer: Optimizer,
        history: History,
        watch: Watch,
    ) -> None:
        self.file = folder / FILE
        self.config, self.model, self.optimizer = deciding(config), model, optimizer
        self.history, self.watch = history, watch
        self.least, self.steps = config.train.save_seconds, config.train.steps
        self._saved = self._counted = time.monotonic()
        self._took = 0.0

    def due(self) -> bool:
        """Whether the time since the last one is worth a checkpoint."""
        return time.monotonic() - self._saved > max(self.least, SHARE * self._took)

    def save(self, progress: Progress) -> None:
        """Write the state; a kill while writing leaves the one before."""
        self.watch.before_write()
        progress.offset = self.history.offset()
        started = time.monotonic()
        self.count(progress)
        with whole(self.file) as draft:
            state = {
                "config": self.config,
                "world": distributed.world(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": vars(progress),
            }
            torch.save(state, draft)
        self._saved = time.monotonic()
        self._took = self._saved - started

    def leave_if_asked(self, progress: Progress) -> None:
        """Write the state and leave if the one who watches asks for it.

        Raises:
            Stopped: they did.
        """
        if self.watch.stop():
            self.save(progress)
            raise Stopped(f"stopped after step {progress.step} of {self.steps}")

    def count(self, progress: Progress) -> None:
        """Add the time since the last call to the run's."""
        now = time.monotonic()
        progress.seconds += now - self._counted
        self._counted = now

    def load(self) -> Progress:
        """The state of a killed run, into model and optimizer, and how far it was.

        Raises:
            UserError: a file that cannot be read, of another configuration or of another number
                of processes; under torchrun, one that not every machine sees.
        """
        progress = distributed.together(lambda: self._load() if self.file.exists() else Progress())
        if distributed.mean(torch.tensor([float(progress.step)])).item() != progress.step:
            raise UserError(
                f"{self.file} is not seen by every process of this run: under torchrun the "
                "results folder must be one that all machines share"
            )
        return progress

    def _load(self) -> Progress:
        remedy = f"delete {self.file}, and the run starts anew"
        try:
            saved = torch.load(self.file, map_location="cpu", weights_only=True)
            if saved["config"] != self.config:
                raise UserError(f"checkpoint of a run with another configuration; {remedy}")
            if saved["world"] != distributed.world():  # its ranks' draws are others
                raise UserError(
                    f"checkpoint of a run on {saved['world']} processes, and this is on "
                    f"{distributed.world()}; start as many as then, or {remedy}"
                )
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            return Progress(**saved["progress"])
        except (OSError, UserError):
            raise
        except Exception as error:  # whatever a damaged or an older file makes torch raise
            reason = str(error).strip().splitlines()[:1]
            raise UserError(
                f"checkpoint cannot be read ({type(error).__name__}: {' '.join(reason)}); {remedy}"
            ) from error


def learned(model: Network) -> dict[str, Tensor]:
    """A copy of the weights that training changes: all but those of a frozen backbone."""
    frozen = not any(p.requires_grad for p in model.bb.parameters())
    kept = {k: v for k, v in model.state_dict().items() if not (frozen and k.startswith("bb."))}
    return {k: v.detach().cpu().clone().contiguous() for k, v in kept.items()}
