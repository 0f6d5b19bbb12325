"""What a finished run leaves to look at: maps of a few images, and the boxes of all."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.config import RunConfig
from experiments.data.decode import Pixels
from experiments.data.text import LabelKnobs, text_labels
from experiments.evaluate import at_once
from experiments.text.boxes import Detection
from experiments.text.evaluate import as_inputs
from experiments.text.samples import Pictures, fit, placed
from models.dbnet import DBNet

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file knows: the same run, the same bytes


def final_maps(
    model: DBNet,
    samples: Pictures,
    config: RunConfig,
    knobs: LabelKnobs,
    device: torch.device,
    threshold: bool = True,
) -> dict[str, Any]:
    """Names and maps (K, H, W) of K samples, `train.maps` of them, at the training size.

    image (K, H, W, 3), target (the shrink map), prediction and binary: uint8; threshold_label and
    threshold: float16. Those of the threshold branch are left out where it has learned nothing
    (`threshold` False). Which samples, `shown` says.
    """
    size, count = config.data.size, at_once(config.train)
    chosen = shown(samples, config.train.maps)
    parts: dict[str, list[Any]] = {}
    for start in range(0, len(chosen), count):
        read = [samples[i] for i in chosen[start : start + count]]
        images = [fit(image, size) for image, _ in read]
        outputs = _outputs(model, [pixels for pixels, _ in images], device, threshold)
        for k, (pixels, scale) in enumerate(images):
            label = text_labels(placed(read[k][1], np.diag([scale, scale, 1])), size, knobs)
            parts.setdefault("image", []).append(pixels)
            parts.setdefault("target", []).append(_bytes(label[0]))
            if threshold:
                parts.setdefault("threshold_label", []).append(label[2].astype(np.float16))
            for name, maps in outputs.items():
                parts.setdefault(name, []).append(maps[k])
    names = [samples.split.names[i] for i in chosen]
    return {"names": names, **{name: np.stack(maps) for name, maps in parts.items()}}


def shown(samples: Pictures, count: int) -> list[int]:
    """The first `count` images with words that count, the last one without if there is any."""
    source = samples.split.source
    bare = [i for i in range(len(samples)) if all(word.ignored for word in source.words(i))]
    full = [i for i in range(len(samples)) if i not in {*bare}]
    return [*full[: count - (bool(bare) and count > 1)], *bare][:count]


def write_submission(
    file: Path, names: Sequence[str], found: Sequence[Sequence[Detection]]
) -> None:
    """The zip that the ICDAR 2015 evaluation takes: res_<name>.txt with x1,y1,...,x4,y4 a line."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, detections in zip(names, found, strict=True):
            text = "".join(line(one) for one in detections)
            archive.writestr(zipfile.ZipInfo(f"res_{name}.txt", EPOCH), text)


def line(detection: Detection) -> str:
    """The corners of a detection, as whole pixels."""
    return ",".join(str(round(x)) for x in detection.polygon.ravel()) + "\n"


def _outputs(
    model: DBNet, images: Sequence[Pixels], device: torch.device, threshold: bool
) -> dict[str, NDArray[Any]]:
    """prediction, and of the threshold branch threshold and binary (B, H, W)."""
    model.eval()
    with torch.inference_mode():
        out = model(as_inputs(images, device), threshold=threshold)
    model.train()
    found = {"prediction": _bytes(_plane(out.logits.float().sigmoid()))}
    if out.threshold is None:
        return found
    border = _plane(out.threshold).astype(np.float16)
    return {**found, "threshold": border, "binary": _bytes(_plane(out.binary()))}


def _plane(maps: Tensor) -> NDArray[np.float32]:
    """Maps (B, 1, H, W) without their channel, on the host."""
    return maps[:, 0].float().cpu().numpy()


def _bytes(values: NDArray[Any]) -> Pixels:
    return np.asarray(np.rint(255 * values.clip(0, 1)), dtype=np.uint8)
