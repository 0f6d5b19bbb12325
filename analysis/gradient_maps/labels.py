"""The gradient labels of a set of images under every definition, and how binary each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

import losses
from analysis.binariness import BIMODAL, NEAR, Binariness, binariness
from analysis.samples import Images, Outputs, inputs, run_config
from analysis.spelling import number

Maps = NDArray[np.float32]
STAND_INS = (1.0, 5.0)  # |logit| of the stand-ins: p .73, an early network; .993, a trained one
KNOBS = ("map", "source", "gate", "dilation", "squash")  # of a label's value
RELEASED: Mapping[str, Any] = {"gate": "logits", "squash": "sigmoid"}
REPAIRED: Mapping[str, Any] = {"gate": "pred", "squash": "abs"}


@dataclass(frozen=True)
class Definition:
    """A way to make a gradient label: the knobs of `losses.gradient_labels` under a name."""

    name: str
    knobs: Mapping[str, Any]

    @property
    def of_logits(self) -> bool:
        """Whether the label follows the network's coarse logits without bound."""
        return bool(self.knobs["gate"] == "logits")


DEFINITIONS = (
    Definition("as released", RELEASED),
    Definition("as released, Sobel", {**RELEASED, "map": "sobel"}),
    Definition("repaired", REPAIRED),
    Definition("repaired, Sobel", {**REPAIRED, "map": "sobel"}),
    Definition("repaired, true gate", {**REPAIRED, "gate": "gt"}),
    Definition("tanh", {**REPAIRED, "squash": "tanh"}),
    Definition("edge of the mask", {**REPAIRED, "gate": "none", "source": "mask"}),
)


@dataclass(frozen=True)
class Labels:
    """The labels (K, H, W) of K images under one definition, and which pixels are object."""

    name: str
    values: Maps
    inside: NDArray[np.bool_]

    def region(self, name: str) -> Maps:
        """The values in the "image", or in its "object" (target > .5), in a row."""
        return self.values.ravel() if name == "image" else self.values[self.inside]


REGIONS = ("image", "object")


def label_maps(images: Images, outputs: Outputs | None = None) -> tuple[Labels, ...]:
    """Labels under every definition.

    Gates by the network's logits need a network: with `outputs` it is the run's, at its finest
    gradient stage. Without, a stand-in that knows the mask, logits ±1 and ±5 (`STAND_INS`) for
    the released definition, as its label follows their size, and ±5 for the others.
    """
    if outputs is not None:
        return tuple(_made(d, d.name, images, outputs.coarse[-1]) for d in DEFINITIONS)
    made = []
    for d in DEFINITIONS:
        for size in STAND_INS if d.knobs == RELEASED else STAND_INS[-1:]:
            name = f"{d.name}, logits ±{size:g}" if d.of_logits else d.name
            made.append(_made(d, name, images, size * (2 * images.targets - 1)))
    return tuple(made)


def own_definition(run: Path) -> Definition:
    """The label that a run was trained on.

    Raises:
        UserError: a folder that is no run.
    """
    knobs = run_config(run)["loss"]["gradient"]
    return Definition("own label", {**RELEASED, **{k: v for k, v in knobs.items() if k in KNOBS}})


def stage_maps(images: Images, outputs: Outputs, definition: Definition) -> list[Maps]:
    """One definition's labels (K, H, W) of the images, for each gradient stage of a run."""
    return _labels(images, outputs.coarse, definition)


def table(labels: Sequence[Labels]) -> pd.DataFrame:
    """`binariness` of every label in every region: columns label, region and the measures."""
    return pd.DataFrame(
        [
            {"label": one.name, "region": region, **binariness(one.region(region)).as_dict()}
            for one in labels
            for region in REGIONS
        ]
    )


_MEASURES = ("near", *(field.name for field in fields(Binariness)))


def markdown(rows: pd.DataFrame, heading: str) -> str:
    """A table of measures as Markdown, what its columns mean below it."""
    first = [str(name) for name in rows.columns if name not in _MEASURES]
    heads = [*first, f"within {NEAR:g} of 0", "of 1", "5 % to 95 %", "mean", "std"]
    heads += ["bimodality", "entropy floor"]
    lines = [f"# {heading}", "", f"| {' | '.join(heads)} |", "|" + "-|" * len(heads)]
    for row in rows.to_dict("records"):
        cells = [_cell(str(row[name])) for name in first]
        cells += [_share(row["near_zero"]), _share(row["near_one"])]
        cells += [f"{number(row['low'], 3)} to {number(row['high'], 3)}"]
        cells += [number(row[key], 3) for key in ("mean", "std", "bimodality", "floor")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_LEGEND, ""])


_LEGEND = (
    "A map that is nearly binary has nearly all values within "
    f"{NEAR:g} of 0 or 1, a bimodality near 1 and an entropy floor near 0.",
    f"Bimodality: Sarle's coefficient, uniform {BIMODAL:.3f}, normal {1 / 3:.3f}, two values 1; "
    "a single skewed peak can exceed the uniform's, so it does not show two modes by itself.",
    "Entropy floor: mean entropy of the label in nats, the BCE that a perfect prediction still "
    "has; ln 2 = .693 where every label is .5.",
)


def _made(d: Definition, name: str, images: Images, coarse: Tensor) -> Labels:
    inside = (images.targets[:, 0] > 0.5).numpy()
    return Labels(name, _labels(images, [coarse], d)[0], inside)


def _labels(images: Images, coarse: Sequence[Tensor], d: Definition) -> list[Maps]:
    """An image at a time: a batch at 1024 px would take gigabytes."""
    x = inputs(images)
    with torch.inference_mode():
        rows = [
            losses.gradient_labels(
                [z[i : i + 1] for z in coarse], x[i : i + 1], images.targets[i : i + 1], **d.knobs
            )
            for i in range(len(x))
        ]
    return [
        np.concatenate([m[:, 0].float().numpy() for m in maps]) for maps in zip(*rows, strict=True)
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _share(value: float) -> str:
    return "—" if np.isnan(value) else f"{100 * value:.1f} %"
