"""The task of text detection: a DB head's maps against labels made from words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments import distributed
from experiments.checkpoint import Progress
from experiments.config import LossConfig, RunConfig
from experiments.data import Counts, DataConfig
from experiments.data.augment import Augment
from experiments.data.samples import Order, checked_share, loaded
from experiments.data.sources import WORDS
from experiments.data.text import LabelKnobs
from experiments.data.text_sets import load_text
from experiments.errors import UserError, unknown
from experiments.evaluate import Evaluation
from experiments.gradient_record import grad_share
from experiments.preview import preview
from experiments.seeding import seed_torch
from experiments.task import Files, Terms
from experiments.text.boxes import box_knobs
from experiments.text.evaluate import evaluate
from experiments.text.maps import final_maps, write_submission
from experiments.text.objective import KINDS, TERMS, Objective
from experiments.text.samples import (
    COLOURS,
    MOVES,
    Keys,
    Lessons,
    Pictures,
    collate,
)
from experiments.thumbnails import thumbnails
from models.dbnet import DBNet

__all__ = ["KINDS", "RECORDS", "TERMS", "evaluate", "keep", "objective", "probe", "record",
           "splits", "stream"]  # fmt: skip

RECORDS: tuple[str, ...] = ("grad_share",)


def splits(data: DataConfig) -> tuple[Pictures, Pictures, Pictures]:
    """The training, validation and test splits.

    Raises:
        UserError: an augmentation that moves masks alone; as `load_text`.
    """
    for name in data.augment:
        if name not in (*MOVES, *COLOURS):
            raise unknown("augmentation of words", name, (*MOVES, *COLOURS))
    if data.name == WORDS:
        return _drawn(data.size, data.counts)
    train, val, test = map(Pictures, load_text(data))
    return train, val, test


@lru_cache(maxsize=1)
def _drawn(size: tuple[int, int], counts: Counts) -> tuple[Pictures, Pictures, Pictures]:
    """Words drawn at run time, which a worker's next run need not draw again."""
    data = DataConfig(name=WORDS, size=size, counts=counts)
    train, val, test = map(Pictures, load_text(data))
    return train, val, test


def objective(loss: LossConfig) -> Objective:
    """The loss of an arm.

    Raises:
        UserError: gradient supervision; an unknown loss, or a knob of it or of the labels.
    """
    if loss.gradient.get("objective", "none") != "none":
        raise UserError("loss of this arm: a text detector predicts no image gradient")
    label_knobs(loss)
    return Objective(loss)


def label_knobs(loss: LossConfig) -> tuple[LabelKnobs, float]:
    """The labels' knobs, and the shrink ratio at the end of training.

    Raises:
        UserError: an unknown knob or a value out of its range.
    """
    given = dict(loss.labels)
    end = given.pop("shrink_end", None)
    known = LabelKnobs.__dataclass_fields__
    for name in given:
        if name not in known:
            raise unknown("knob of labels", name, (*known, "shrink_end"))
    check_numbers(given if end is None else loss.labels)
    knobs = LabelKnobs(**given)
    return knobs, knobs.shrink if end is None else replace(knobs, shrink=end).shrink


def check_numbers(knobs: Mapping[str, Any]) -> None:
    """Refuse what is no number.

    Raises:
        UserError: the knob is named.
    """
    for name, value in knobs.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{name} is {value!r}, expected a number")


def stream(
    samples: Pictures, config: RunConfig, start: int, device: torch.device
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yields (step, images in [0, 1], labels (B, 4, H, W)) from `start` on."""
    t, d = config.train, config.data
    box_knobs(config.boxes)  # rather now than at the first validation
    knobs, shrink_end = label_knobs(config.loss)
    lessons = Lessons(
        pictures=replace(samples, keep=samples.keep // d.workers) if d.workers else samples,
        size=d.size,
        moves=tuple(name for name in MOVES if name in d.augment),
        labels=knobs,
        shrink_end=shrink_end,
        seed=config.seed,
        steps=t.steps,
    )
    share = checked_share(len(samples), t.batch, distributed.rank(), distributed.world())
    keys = Keys(Order(config.seed, len(samples), t.batch, start, t.steps, share))
    colour = Augment([name for name in COLOURS if name in d.augment], d.size)
    pairs = loaded(lessons, keys, collate, d.workers, device)
    for step, (images, labels) in enumerate(pairs, start=start):
        seed_torch(config.seed, "augment", step, *distributed.stream())
        yield step, *colour(images.float() / 255, labels)


def record(
    model: DBNet,
    objective: Objective,  # noqa: ARG001
    terms: Terms,
    out: Any,  # noqa: ARG001
    inputs: Tensor,  # noqa: ARG001
    target: Tensor,  # noqa: ARG001
    scale: float,
) -> dict[str, float]:
    """The threshold and binary terms' share of the decoder's gradient."""
    others = terms["threshold"] + terms["binary"]
    return {"grad_share": grad_share(model, terms["probability"], others, scale)}


def probe(
    objective: Objective,
    model: DBNet,
    samples: Pictures,
    config: RunConfig,
    device: torch.device,
) -> None:
    """Nothing: there is no gradient label."""


def keep(
    config: RunConfig,
    state: Progress,  # noqa: ARG001
    objective: Objective,
    model: DBNet,
    samples: Pictures,
    tested: Evaluation | None,
    device: torch.device,
) -> Files:
    """Maps and a preview of a few images; thumbnails and boxes of every test image."""
    knobs, shrink_end = label_knobs(config.loss)
    labels = replace(knobs, shrink=shrink_end)
    maps = final_maps(model, samples, config, labels, device, objective.of_threshold)
    files: dict[str, Callable[[Path], Any]] = {
        "text_maps.npz": partial(_write_maps, maps=maps),
        "preview.png": preview(maps).save,
    }
    if tested is not None:
        names = samples.split.names
        pictures = (samples[i][0] for i in range(len(samples)))
        table = thumbnails(names, pictures, tested.small)
        files["thumbnails.parquet"] = partial(table.to_parquet, index=False)
        files["submission.zip"] = partial(write_submission, names=names, found=tested.found)
    return files


def _write_maps(file: Path, maps: dict[str, Any]) -> None:
    np.savez_compressed(file, **maps)
