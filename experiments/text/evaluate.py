"""A model's detections on a split, and how many of them are words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd
import shapely
import torch
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.data import normalise
from experiments.data.decode import Pixels
from experiments.data.outlines import Polygon, shapes
from experiments.data.text import Word
from experiments.evaluate import Evaluation, at_once
from experiments.scores import shrunk
from experiments.text.boxes import BoxKnobs, Detection, box_knobs, detect
from experiments.text.icdar import CUTS, PUBLISHED, Counts, Sweep, match, of_image, pooled
from experiments.text.samples import Pictures, fit
from models.dbnet import DBNet

IGNORED = 128  # grey of an ignored word in a picture of the words


@dataclass(frozen=True)
class Seen:
    """What a model gives for an image of a split."""

    index: int
    shape: tuple[int, int]  # (H, W) of the image
    words: tuple[Word, ...]
    probability: NDArray[np.float32]  # (h, w), the part of the sample that shows the image
    size: tuple[float, float]  # (h, w) of that part, which may end within a pixel

    def detections(self, knobs: BoxKnobs) -> list[Detection]:
        """What is found, in the image's coordinates."""
        found = detect(self.probability, knobs)
        scale = np.array([self.shape[1] / self.size[1], self.shape[0] / self.size[0]])
        limit = np.array(self.shape[::-1], np.float64)
        return [replace(one, polygon=np.minimum(one.polygon * scale, limit)) for one in found]


def evaluate(
    model: DBNet,
    samples: Pictures,
    config: RunConfig,
    device: torch.device,
    *,
    final: Mapping[str, float] | None = None,
    between: Callable[[], None] = lambda: None,
) -> Evaluation:
    """ICDAR 2015 counts of a split; the model stays in training mode.

    A validation (`final` None) chooses cut and least score for the highest H-mean, so that no
    loss is judged by how its probabilities are scaled; a test takes what was chosen, and tells
    the H-mean at the published thresholds beside it.
    """
    seen = list(outputs(model, samples, config, device, between))
    knobs = box_knobs(config.boxes)
    thresholds = chosen(seen, knobs) if final is None else dict(final)
    found = found_at(seen, knobs, **thresholds)
    counts = counted(seen, found)
    scores = {
        **{name: value for name, value in pooled(counts).items() if np.isfinite(value)},
        **{name: float(np.mean(column)) for name, column in columns(counts).items()},
    }
    table, small = _table(samples, seen, counts), []
    if final is not None:
        published = found_at(seen, knobs, *PUBLISHED)
        scores["H_published"] = pooled(counted(seen, published))["H_mean"]
        small = [pictured(one, detections) for one, detections in zip(seen, found, strict=True)]
    return Evaluation(table, scores, small, thresholds, found)


def found_at(
    seen: Sequence[Seen], knobs: BoxKnobs, cut: float, least_score: float
) -> list[list[Detection]]:
    """Each image's detections at these thresholds."""
    at = replace(knobs, cut=cut, least_score=least_score)
    return [one.detections(at) for one in seen]


def chosen(seen: Sequence[Seen], knobs: BoxKnobs) -> dict[str, float]:
    """Cut and least score of the highest H-mean."""
    sweep = Sweep()
    for one in seen:
        found = {cut: one.detections(replace(knobs, cut=cut, least_score=0.0)) for cut in CUTS}
        sweep.add(one.words, found)
    best = sweep.best()
    return {"cut": best.cut, "least_score": best.least_score}


def counted(seen: Sequence[Seen], found: Sequence[Sequence[Detection]]) -> list[Counts]:
    """Each image's counts."""
    return [
        match([one.polygon for one in detections], image.words)
        for image, detections in zip(seen, found, strict=True)
    ]


def outputs(
    model: DBNet,
    samples: Pictures,
    config: RunConfig,
    device: torch.device,
    between: Callable[[], None] = lambda: None,
) -> Iterator[Seen]:
    """Yields each image's probability map; `between` is called before each forward pass."""
    count = at_once(config.train)
    for start in range(0, len(samples), count):
        between()
        chosen = range(start, min(start + count, len(samples)))
        read = [samples[i] for i in chosen]
        fitted = [fit(image, config.data.size) for image, _ in read]
        inputs = as_inputs([pixels for pixels, _ in fitted], device)
        model.eval()
        with torch.inference_mode():
            maps = model(inputs).logits.float().sigmoid().cpu().numpy()[:, 0]
        model.train()
        for i, (image, words), (_, scale), found in zip(chosen, read, fitted, maps, strict=True):
            yield seen_of(i, image, words, found, scale)


def seen_of(
    index: int,
    image: Pixels,
    words: tuple[Word, ...],
    probability: NDArray[np.float32],
    scale: float,
) -> Seen:
    """The part of a sample's map that shows an image (H, W, 3), set there at `scale`."""
    height, width = image.shape[:2]
    size = scale * height, scale * width
    rows, columns = (int(np.ceil(side - 1e-6)) for side in size)
    return Seen(index, (height, width), words, probability[:rows, :columns], size)


def as_inputs(pixels: Sequence[Pixels], device: torch.device) -> torch.Tensor:
    """Images (H, W, 3) as a model takes them: (B, 3, H, W), ImageNet-normalised."""
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(device)
    return normalise(stacked.float() / 255)


def columns(counts: Sequence[Counts]) -> dict[str, list[float]]:
    """The metrics of each image by name."""
    return {
        "H_image": [of_image(one) for one in counts],
        "matched": [float(one.matched) for one in counts],
        "detections": [float(one.detections) for one in counts],
        "words": [float(one.words) for one in counts],
    }


def _table(samples: Pictures, seen: Sequence[Seen], counts: Sequence[Counts]) -> pd.DataFrame:
    """Long: image, group, area, outline, components, metric, value."""
    split = samples.split
    rows = [
        {"image": split.names[one.index], "group": split.groups[one.index], **words_shape(one)}
        for one in seen
    ]
    parts = [
        pd.DataFrame(rows).assign(metric=name, value=values)
        for name, values in columns(counts).items()
    ]
    return pd.concat(parts, ignore_index=True)


def words_shape(one: Seen) -> dict[str, float]:
    """What an image's words are like, without the ignored ones.

    area: share of the image that they cover, in [0, 1]. outline: sum of their perimeters over the
    image's diagonal. components: how many they are, an int.
    """
    height, width = one.shape
    words = shapes([word.polygon for word in one.words if not word.ignored])
    covered = shapely.intersection(shapely.union_all(words), shapely.box(0, 0, width, height))
    return {
        "area": float(shapely.area(covered) / (height * width)),
        "outline": float(sum(map(shapely.length, words)) / np.hypot(height, width)),
        "components": len(words),
    }


def pictured(one: Seen, found: Sequence[Detection]) -> tuple[Pixels, Pixels]:
    """What was found and the words, filled, as small pictures; ignored words are grey."""
    small = shrunk(np.zeros(one.shape, np.uint8))
    factor = np.array(small.shape[::-1]) / one.shape[::-1]
    truth, prediction = small.copy(), small.copy()
    for word in sorted(one.words, key=lambda word: not word.ignored):
        _fill(truth, word.polygon * factor, IGNORED if word.ignored else 255)
    for detection in found:
        _fill(prediction, detection.polygon * factor, 255)
    return prediction, truth


def _fill(picture: Pixels, polygon: Polygon, grey: int) -> None:
    corners = np.rint((polygon - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(picture, [corners], (grey,), shift=4)
