"""The task of segmentation: BiRefNet's levels against a mask, and gradient supervision."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from experiments import distributed
from experiments import gradient_record as gradients
from experiments.checkpoint import Progress
from experiments.config import LossConfig, RunConfig
from experiments.data import Samples, batches, load_splits
from experiments.data.augment import Augment
from experiments.errors import UserError
from experiments.evaluate import ALL, Evaluation, at_once
from experiments.evaluate import evaluate as score
from experiments.objective import KINDS, Objective
from experiments.preview import preview
from experiments.seeding import seed_torch
from experiments.task import Files, Terms
from experiments.thumbnails import thumbnails
from models.birefnet import BiRefNet, BiRefNetOutput

__all__ = ["KINDS", "RECORDS", "TERMS", "evaluate", "keep", "objective", "probe", "record",
           "splits", "stream"]  # fmt: skip

TERMS: tuple[str, ...] = ("pixel", "gradient")
RECORDS: tuple[str, ...] = ("grad_share", "excess_bce")
splits = load_splits


def objective(loss: LossConfig) -> Objective:
    """The loss of an arm.

    Raises:
        UserError: labels of a text detector; an unknown loss or knob, or a knob out of range.
    """
    if loss.labels:
        raise UserError(f"loss.labels are {dict(loss.labels)}: masks have none, words have")
    return Objective(loss)


def stream(
    samples: Samples, config: RunConfig, start: int, device: torch.device
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yields (step, images, soft masks (B, 1, H, W)) from `start` on, all in [0, 1]."""
    t, d = config.train, config.data
    augment = Augment(d.augment, d.size)
    loaded = batches(
        samples,
        seed=config.seed,
        batch=t.batch,
        start=start,
        steps=t.steps,
        workers=d.workers,
        rank=distributed.rank(),
        world=distributed.world(),
        device=device,
    )
    for step, (images, targets) in enumerate(loaded, start=start):
        seed_torch(config.seed, "augment", step, *distributed.stream())
        yield step, *augment(images, targets)


def record(
    model: BiRefNet,
    objective: Objective,
    terms: Terms,
    out: BiRefNetOutput,
    inputs: Tensor,
    target: Tensor,
    scale: float,
) -> dict[str, float]:
    """The gradient loss's share of the decoder's gradient, and how far it is from its floor."""
    weighted = terms["gradient"] * objective.weight
    return {
        "grad_share": gradients.grad_share(model, terms["pixel"], weighted, scale),
        "excess_bce": gradients.excess_bce(objective, out, inputs, target),
    }


def probe(
    objective: Objective,
    model: BiRefNet,
    samples: Samples,
    config: RunConfig,
    device: torch.device,
) -> tuple[list[list[int]], list[list[int]]]:
    """Histograms of gradient labels and predictions."""
    return gradients.probe(objective, model, samples, device, at_once(config.train))


def evaluate(
    model: BiRefNet,
    samples: Samples,
    config: RunConfig,
    device: torch.device,
    *,
    final: Mapping[str, float] | None = None,
    between: Callable[[], None] = lambda: None,
) -> Evaluation:
    """The metric that picks the checkpoint, or of the test all of them."""
    return score(
        model,
        samples,
        (config.select,) if final is None else ALL,
        device,
        between,
        size=at_once(config.train),
        workers=config.data.workers,
        variant=config.train.metrics,
    )


def keep(
    config: RunConfig,
    state: Progress,
    objective: Objective,
    model: BiRefNet,
    samples: Samples,
    tested: Evaluation | None,
    device: torch.device,
) -> Files:
    """Thumbnails of every image; maps, masks and a preview of the first ones; histograms."""
    t = config.train
    maps = gradients.final_maps(objective, model, samples, t.maps, device, at_once(t))
    masks = zip(maps["names"], maps["prediction"], strict=True)
    files: dict[str, Callable[..., Any]] = {
        "gradient_maps.npz": partial(_write_maps, maps={**maps, **_histograms(state)}),
        "preview.png": preview(maps).save,
        **{f"predictions/{name}.png": Image.fromarray(mask).save for name, mask in masks},
    }
    if tested is not None:
        pictures = (samples[i][0] for i in range(len(samples)))
        table = thumbnails(samples.names, pictures, tested.small)
        files["thumbnails.parquet"] = partial(table.to_parquet, index=False)
    return files


def _write_maps(file: Any, maps: dict[str, Any]) -> None:
    np.savez_compressed(file, **maps)


def _histograms(state: Progress) -> dict[str, Any]:
    """Counts of gradient labels and predictions (moments, stages, 256), and their steps."""
    steps, labels, found = zip(*state.counts, strict=True) if state.counts else ((), (), ())
    return {
        "moments": np.array(steps),
        "hist_label": np.array(labels),
        "hist_prediction": np.array(found),
    }
