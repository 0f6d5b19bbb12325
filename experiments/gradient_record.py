"""What a run keeps of its gradient supervision: histograms over training, maps at the end."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import losses
from experiments.objective import Objective, grown
from models.birefnet import BiRefNetOutput

BINS = 256
Arrays = dict[str, NDArray[np.generic]]


def excess_bce(objective: Objective, out: BiRefNetOutput, image: Tensor, target: Tensor) -> float:
    """Mean over stages of BCE minus the label's entropy: what is left to learn, in nats."""
    labels = objective.labels(out, image, target)
    logits = grown([z.detach() for z in out.gradient_logits], image.shape[-2:])
    values = [losses.excess_bce(z, t).mean() for z, t in zip(logits, labels, strict=True)]
    return float(torch.stack(values).mean()) if values else float("nan")


def histograms(
    objective: Objective, out: BiRefNetOutput, image: Tensor, target: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts (stages, 256) over [0, 1] of the gradient labels and of the predictions."""
    labels = objective.labels(out, image, target)
    found = [z.detach().float().sigmoid() for z in out.gradient_logits]
    return _counts(labels), _counts(found)


def final_maps(
    objective: Objective, out: BiRefNetOutput, image: Tensor, pixels: Tensor, target: Tensor
) -> Arrays:
    """Maps (K, H, W) of K test images, at the training size; the finest of the gradient stages.

    `image` is ImageNet-normalised, `pixels` the same in [0, 1].
    """
    size = image.shape[-2:]
    labels = objective.labels(out, image, target)
    weight = losses.boundary_weight(target)
    maps: Arrays = {
        "image": _bytes(pixels).transpose(0, 2, 3, 1),
        "target": _bytes(target)[:, 0],
        "prediction": _bytes(out.logits.float().sigmoid())[:, 0],
        "edge_weight": weight[:, 0].cpu().numpy().astype(np.float16),
    }
    if labels:
        finest = grown(out.gradient_logits[-1:], size)[0].sigmoid()
        maps["gradient_label"] = labels[-1][:, 0].cpu().numpy().astype(np.float16)
        maps["gradient_prediction"] = finest[:, 0].cpu().numpy().astype(np.float16)
    return maps


def _counts(maps: list[Tensor]) -> NDArray[np.int64]:
    rows = [np.histogram(m.cpu().numpy(), bins=BINS, range=(0, 1))[0] for m in maps]
    return np.array(rows, dtype=np.int64).reshape(len(rows), BINS)


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    return (values.clamp(0, 1) * 255).round().byte().cpu().numpy()
