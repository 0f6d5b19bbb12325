"""A model's metrics on a split, image by image, each mask at its own resolution."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from experiments import distributed
from experiments.config import TrainConfig, Variant
from experiments.data import Samples, normalise, to_tensors
from experiments.data.decode import Pixels
from experiments.gradient_record import common_scores
from experiments.metrics import GRADIENT, LOWER_IS_BETTER, MAXIMA, METRICS
from experiments.scores import Output, Scored, Scorer, scored
from models.birefnet import BiRefNet

CHUNK = 8  # images a forward pass, at most
ALL = METRICS + GRADIENT


@dataclass(frozen=True)
class Evaluation:
    """The scores of a split."""

    table: pd.DataFrame  # long: image, group, area, outline, components, metric, value
    scores: dict[str, float]  # mean over images of each metric; MAXIMA of the mean curves
    small: list[tuple[Pixels, Pixels]]  # predictions and masks at the size of thumbnails
    chosen: dict[str, float] = field(default_factory=dict)  # thresholds that served it best
    found: Sequence[Sequence[Any]] = ()  # of text: each image's detections


def at_once(t: TrainConfig) -> int:
    """Images of a forward pass outside training: no more than training has at once, or CHUNK."""
    return max(1, min(CHUNK, t.batch // (t.accumulate * distributed.world())))


def evaluate(
    model: BiRefNet,
    samples: Samples,
    names: tuple[str, ...],
    device: torch.device,
    between: Callable[[], None] = lambda: None,
    size: int = CHUNK,
    workers: int = 0,
    variant: Variant = "plain",
) -> Evaluation:
    """The named metrics of a split; the model stays in training mode.

    Args:
        names: of ALL; those of GRADIENT are left out where the model predicts no gradient.
        between: called before each chunk of `size` images; may raise.
        workers: processes that compute metrics while the model goes on; 0: none.
        variant: of the metrics.

    Raises:
        UserError: a mask that cannot be read; a process that was ended.
    """
    scorer = Scorer(samples.source, tuple(n for n in names if n not in GRADIENT), variant)
    model.eval()
    outputs = _outputs(model, samples, names, device, between, size)
    found = list(scored(scorer, outputs, workers))
    model.train()
    small = [one.small for one in found]
    return Evaluation(_table(samples, found), _scores(found), small)


def _outputs(
    model: BiRefNet,
    samples: Samples,
    names: Sequence[str],
    device: torch.device,
    between: Callable[[], None],
    size: int,
) -> Iterator[Output]:
    wanted = [name for name in names if name in GRADIENT]
    for start in range(0, len(samples), size):
        between()
        chosen = range(start, min(start + size, len(samples)))
        images, targets = (x.to(device) for x in to_tensors([samples[i] for i in chosen]))
        inputs = normalise(images)
        with torch.inference_mode():
            out = model(inputs)
        known = common_scores(out, inputs, targets) if wanted else [{}] * len(chosen)
        for i, logits, values in zip(chosen, out.logits.float().cpu(), known, strict=True):
            kept = {name: values[name] for name in wanted if name in values}
            yield Output(i, logits.numpy(), kept)


def _table(samples: Samples, found: Sequence[Scored]) -> pd.DataFrame:
    rows = [
        {
            "image": samples.names[one.index],
            "group": samples.groups[one.index],
            **one.shape,
            "metric": metric,
            "value": value,
        }
        for one in found
        for metric, value in one.scores.values.items()
    ]
    return pd.DataFrame(rows)


def _scores(found: Sequence[Scored]) -> dict[str, float]:
    first = found[0].scores
    means = {
        name: float(np.mean([one.scores.values[name] for one in found])) for name in first.values
    }
    for name, of in MAXIMA.items():
        if of in first.curves:
            curve = np.mean([one.scores.curves[of] for one in found], axis=0)
            means[name] = float(curve.max())
    return means


def signed(metric: str, value: float) -> float:
    """The value, higher better; its own inverse."""
    return -value if metric in LOWER_IS_BETTER else value
