"""A model's metrics on a split, image by image, each mask at its own resolution."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments import distributed
from experiments.config import TrainConfig
from experiments.data import Samples, to_tensors
from experiments.data.samples import normalise
from experiments.metrics import LOWER_IS_BETTER, image_metrics
from models.birefnet import BiRefNet

CHUNK = 8  # images a forward pass, at most


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
) -> pd.DataFrame:
    """Long table (image, group, metric, value) of a split; the model stays in training mode.

    `between` is called before each chunk of `size` images, and may raise.
    """
    model.eval()
    rows = []
    for start in range(0, len(samples), size):
        between()
        chosen = range(start, min(start + size, len(samples)))
        images, _ = to_tensors([samples[i] for i in chosen])
        with torch.inference_mode():
            logits = model(normalise(images.to(device))).logits.cpu()
        for i, one in zip(chosen, logits, strict=True):
            mask = samples.native_mask(i)
            for metric, value in image_metrics(
                at_resolution(one, mask.shape), mask, names
            ).items():
                rows.append((samples.names[i], samples.groups[i], metric, value))
    model.train()
    return pd.DataFrame(rows, columns=["image", "group", "metric", "value"])


def mean_scores(table: pd.DataFrame) -> dict[str, float]:
    """Mean over images of each metric."""
    means = table.groupby("metric")["value"].mean()
    return {str(metric): float(value) for metric, value in means.items()}


def signed(metric: str, value: float) -> float:
    """The value, higher better; its own inverse."""
    return -value if metric in LOWER_IS_BETTER else value


def at_resolution(logits: Tensor, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Probabilities (H, W) of one image's logits (1, h, w), at the mask's own resolution."""
    probability = torch.sigmoid(logits.float())[None]
    if probability.shape[-2:] != shape:
        probability = torch.nn.functional.interpolate(probability, shape, mode="bilinear")
    return probability[0, 0].double().clamp(0, 1).numpy()
