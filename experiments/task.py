"""The two things a run can learn, and what training asks of each: masks, and words in images."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

import losses
from experiments.config import LossConfig, RunConfig, TaskName
from experiments.data import DataConfig

if TYPE_CHECKING:  # these know the task
    from experiments.checkpoint import Progress
    from experiments.evaluate import Evaluation

Terms = dict[str, Tensor]
Files = Mapping[str, Callable[[Path], Any]]  # by name, below the run's folder: what writes each


class Split(Protocol):
    """One split of a data set."""

    @property
    def digest(self) -> str:
        """Digest of its contents."""
        ...

    def __len__(self) -> int: ...


class Criterion(Protocol):
    """What a run minimises."""

    def __call__(self, out: Any, image: Tensor, target: Tensor, u: float) -> Terms:
        """The terms at progress `u` in [0, 1]."""
        ...

    def total(self, terms: Terms) -> Tensor:
        """Their weighted sum."""
        ...


class Task(Protocol):
    """A module with these names: `experiments.masks` or `experiments.text.task`."""

    TERMS: tuple[str, ...]  # of the loss, as the history names them
    RECORDS: tuple[str, ...]  # what the moments add to the history
    KINDS: tuple[str, ...]  # of registered losses that can be the main one

    def splits(self, data: DataConfig) -> tuple[Split, Split, Split]:
        """The training, validation and test splits; UserError where they cannot be."""
        ...

    def objective(self, loss: LossConfig) -> Criterion:
        """The loss of an arm; UserError for an unknown one or a knob out of range."""
        ...

    def stream(
        self, samples: Any, config: RunConfig, start: int, device: torch.device
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yields (step, images in [0, 1], targets) from `start` on, this rank's, augmented."""
        ...

    def record(
        self,
        model: Any,
        objective: Any,
        terms: Terms,
        out: Any,
        inputs: Tensor,
        target: Tensor,
        scale: float,
    ) -> dict[str, float]:
        """RECORDS of a batch, whose graph is still there; `scale` is float16's."""
        ...

    def probe(
        self, objective: Any, model: Any, samples: Any, config: RunConfig, device: torch.device
    ) -> tuple[list[list[int]], list[list[int]]] | None:
        """Histograms to keep of a moment, of labels and predictions."""
        ...

    def evaluate(
        self,
        model: Any,
        samples: Any,
        config: RunConfig,
        device: torch.device,
        *,
        final: Mapping[str, float] | None = None,
        between: Callable[[], None] = lambda: None,
    ) -> "Evaluation":
        """Scores of a split.

        `final` None is a validation, which may choose thresholds; the test is given those.
        """
        ...

    def keep(
        self,
        config: RunConfig,
        state: "Progress",
        objective: Any,
        model: Any,
        samples: Any,
        tested: "Evaluation | None",
        device: torch.device,
    ) -> Files:
        """What a finished run leaves to look at, of `samples`."""
        ...


def find(name: TaskName) -> Task:
    """The task of that name."""
    if name == "text":
        import experiments.text.task as words

        return words
    from experiments import masks

    return masks


def main_loss(name: str, task: TaskName) -> losses.Spec:
    """The declaration of a loss that can be the main one of a task.

    Raises:
        ValueError: an unknown name, or a kind of loss that the task's model has no outputs for.
    """
    spec, kinds = losses.spec(name), find(task).KINDS
    if spec.kind not in kinds:
        wanted = " or ".join(map(repr, kinds))
        raise ValueError(
            f"{name!r} is of kind {spec.kind!r}: a main loss of {task} is of kind {wanted}"
        )
    return spec
