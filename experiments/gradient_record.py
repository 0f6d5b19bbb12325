"""What a run keeps of its gradient supervision: histograms over training, maps at the end."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import losses
from experiments.data import Samples, normalise, to_tensors
from experiments.objective import Objective, grown
from models.birefnet import BiRefNet, BiRefNetOutput
from models.trunk import Trunk

BINS = 256
PROBED = 8  # samples of a histogram


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


def probe(
    objective: Objective,
    model: BiRefNet,
    samples: Samples,
    device: torch.device,
    size: int = PROBED,
) -> tuple[list[list[int]], list[list[int]]]:
    """Histograms of labels and predictions on the first samples, `size` at once, in evaluation."""
    parts = [
        histograms(objective, out, inputs, targets)
        for inputs, _, targets, out in _seen(model, samples, PROBED, device, size)
    ]
    labels, found = (np.sum(counts, axis=0).tolist() for counts in zip(*parts, strict=True))
    return labels, found


def final_maps(
    objective: Objective,
    model: BiRefNet,
    samples: Samples,
    count: int,
    device: torch.device,
    size: int = PROBED,
) -> dict[str, Any]:
    """Names and maps (K, H, W) of the first K samples, `size` at once, at the training size.

    Of the gradient stages the finest.
    """
    parts = [_maps(objective, *seen) for seen in _seen(model, samples, count, device, size)]
    maps = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"names": samples.names[: len(maps["image"])], **maps}


def _maps(
    objective: Objective, inputs: Tensor, pixels: Tensor, target: Tensor, out: BiRefNetOutput
) -> dict[str, NDArray[Any]]:
    labels = objective.labels(out, inputs, target)
    maps: dict[str, NDArray[Any]] = {
        "image": _bytes(pixels).transpose(0, 2, 3, 1),
        "target": _bytes(target)[:, 0],
        "prediction": _bytes(out.logits.float().sigmoid())[:, 0],
        "edge_weight": _half(losses.boundary_weight(target)),
    }
    if labels:
        finest = grown(out.gradient_logits[-1:], tuple(inputs.shape[-2:]))[0].sigmoid()
        maps["gradient_label"] = _half(labels[-1])
        maps["gradient_prediction"] = _half(finest)
    return maps


def common_scores(out: BiRefNetOutput, inputs: Tensor, target: Tensor) -> list[dict[str, float]]:
    """G_MAE and G_corr of each image: its finest predicted gradient on one label for all arms.

    Mean absolute error in [0, 1] and Pearson's correlation against |Laplacian of the image| gated
    by the ground truth, whatever label the arm learns, over the object's pixels (target > .5), at
    the training size. Without an object the error is that of all pixels and the correlation 0, as
    it is where prediction or label is constant. Empty dicts of a model that predicts no gradient.
    """
    if not out.gradient_logits:
        return [{} for _ in target]
    coarse = out.levels[: len(out.gradient_logits)]
    with torch.inference_mode():
        labels = losses.gradient_labels(coarse, inputs, target, gate="gt", squash="abs")[-1]
        found = grown(out.gradient_logits[-1:], tuple(target.shape[-2:]))[0].sigmoid()
    triples = zip(*(x[:, 0].double().cpu().numpy() for x in (found, labels, target)), strict=True)
    return [_common(*triple) for triple in triples]


def _common(
    found: NDArray[np.float64], label: NDArray[np.float64], target: NDArray[np.float64]
) -> dict[str, float]:
    inside = target > 0.5
    if not inside.any():
        return {"G_MAE": float(np.abs(found - label).mean()), "G_corr": 0.0}
    found, label = found[inside], label[inside]
    constant = min(np.ptp(found), np.ptp(label)) == 0
    correlation = 0.0 if constant else float(np.corrcoef(found, label)[0, 1])
    return {"G_MAE": float(np.abs(found - label).mean()), "G_corr": correlation}


def grad_share(model: Trunk, pixel: Tensor, gradient: Tensor, scale: float = 1.0) -> float:
    """Norm of a weighted further term's gradient on the decoder over the main term's.

    `scale` is float16's, without which small gradients would be zero; 1 elsewhere.
    """
    weights = [p for p in model.decoder.parameters() if p.requires_grad]
    if not gradient.requires_grad:  # a model without outward reference
        return 0.0
    norms = [_norm(term, weights, scale) for term in (gradient, pixel)]
    return norms[0] / norms[1] if norms[1] else math.nan


def _norm(term: Tensor, weights: list[nn.Parameter], scale: float) -> float:
    """Norm of a term's gradient, found at a scale at which it does not overflow."""
    grads = torch.autograd.grad(term * scale, weights, retain_graph=True, allow_unused=True)
    norm = math.sqrt(
        sum(float((g.float() / scale).square().sum()) for g in grads if g is not None)
    )
    if math.isfinite(norm) or scale <= 1:
        return norm
    return _norm(term, weights, max(1.0, scale / 16))


def _counts(maps: list[Tensor]) -> NDArray[np.int64]:
    rows = [np.histogram(m.cpu().numpy(), bins=BINS, range=(0, 1))[0] for m in maps]
    return np.array(rows, dtype=np.int64).reshape(len(rows), BINS)


def _seen(
    model: BiRefNet, samples: Samples, count: int, device: torch.device, size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, BiRefNetOutput]]:
    """Yields inputs, pixels, targets and output of the first `count` samples, `size` at once."""
    count = min(count, len(samples))
    for start in range(0, count, size):
        pairs = [samples[i] for i in range(start, min(start + size, count))]
        pixels, targets = (x.to(device) for x in to_tensors(pairs))
        inputs = normalise(pixels)
        model.eval()
        with torch.inference_mode():
            out = model(inputs)
        model.train()
        yield inputs, pixels, targets, out


def _half(maps: Tensor) -> NDArray[np.float16]:
    return maps[:, 0].cpu().numpy().astype(np.float16)


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    return (values.clamp(0, 1) * 255).round().byte().cpu().numpy()
