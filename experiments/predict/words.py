"""Words of images, as ICDAR 2015 takes them, and drawn on the images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageFont

from experiments.data.decode import SIDEWAYS, Pixels, opened, read_image
from experiments.errors import UserError
from experiments.files import whole
from experiments.results import FINISHED
from experiments.text.boxes import BoxKnobs, Detection, box_knobs
from experiments.text.evaluate import as_inputs, seen_of
from experiments.text.maps import line
from experiments.text.samples import fit
from models.dbnet import DBNet

COLOUR, HALO = (60, 230, 90), (0, 40, 10)  # of lines, and of what sets them off
FINE = 4  # bits after the point of OpenCV's coordinates
QUALITY = 92  # of JPEGs


@dataclass(frozen=True)
class Photo:
    """An image at its own resolution, and as the model takes it."""

    image: Pixels  # (H, W, 3), upright
    pixels: Pixels  # (h, w, 3), at the model's size
    scale: float  # from the first to the second


@dataclass(frozen=True)
class Words:
    """Writes the words' corners as whole pixels, and a picture of them."""

    model: DBNet
    size: tuple[int, int]
    device: torch.device
    knobs: BoxKnobs

    def read(self, file: Path) -> Photo:
        """An image at its own resolution and at the model's size."""
        with opened(file) as image:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
            shape = image.size if sideways else image.size[::-1]
        return self.photo(read_image(file, shape)[0])

    def photo(self, image: Pixels) -> Photo:
        """An image (H, W, 3), and how the model sees it."""
        return Photo(image, *fit(image, self.size))

    def write(self, batch: Sequence[Photo], targets: Sequence[Sequence[Path]]) -> list[int]:
        """Write `res_NAME.txt` and `NAME.jpg` for each image; one without words has no lines."""
        everything = self.find(batch)
        for photo, found, (text, picture) in zip(batch, everything, targets, strict=True):
            with whole(text) as draft:
                draft.write_text("".join(map(line, found)), encoding="ascii")
            with whole(picture) as draft:
                drawn(photo.image, found).save(draft, quality=QUALITY)
        return [len(found) for found in everything]

    def told(self, counts: Sequence[int]) -> str:
        """How many words there are in how many images, or what could bring some."""
        images = f"{len(counts)} image{'s' * (len(counts) != 1)}"
        if any(counts) or not counts:
            words = f"{sum(counts)} word{'s' * (sum(counts) != 1)}"
            return f"{words} in {sum(map(bool, counts))} of {images},"
        return (
            f"no word in {images} at cut {self.knobs.cut:g} and least score "
            f"{self.knobs.least_score:g} (--cut and --least-score set others); files are"
        )

    def find(self, batch: Sequence[Photo]) -> list[list[Detection]]:
        """The words of each image, in its own coordinates."""
        inputs = as_inputs([photo.pixels for photo in batch], self.device)
        with torch.inference_mode():
            maps = self.model(inputs).logits.float().sigmoid().cpu().numpy()[:, 0]
        return [
            seen_of(0, photo.image, (), found, photo.scale).detections(self.knobs)
            for photo, found in zip(batch, maps, strict=True)
        ]


def knobs_of(run: Path, given: Mapping[str, Any]) -> BoxKnobs:
    """How a finished run finds words, with the thresholds that its validation chose.

    Args:
        run: its folder.
        given: knobs that differ.

    Raises:
        UserError: a damaged run; a knob out of its range.
    """
    try:
        knobs = json.loads((run / "config.json").read_text(encoding="utf-8"))["boxes"]
        summary = json.loads((run / FINISHED).read_text(encoding="utf-8"))
        chosen = {name: summary[name] for name in ("cut", "least_score")}
        return box_knobs({**knobs, **chosen, **given})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run} is no run on text, or is damaged: {error!r}") from error


def drawn(image: Pixels, found: Sequence[Detection]) -> Image.Image:
    """The image with each word's outline, and its score where there is room."""
    canvas, diagonal = image.copy(), float(np.hypot(*image.shape[:2]))
    width = max(1, round(diagonal / 600))
    for colour, more in ((HALO, 2), (COLOUR, 0)):
        for one in found:
            corners = np.rint((one.polygon - 0.5) * (1 << FINE)).astype(np.int32)
            cv2.polylines(canvas, [corners], True, colour, width + more, cv2.LINE_AA, FINE)
    picture = Image.fromarray(canvas)
    _label(picture, found, size=max(10, round(diagonal / 70)), gap=width + 1)
    return picture


def _label(picture: Image.Image, found: Sequence[Detection], size: int, gap: int) -> None:
    """Print each score above or below its word, where it hides no other word or score."""
    brush, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    bounds = [np.concatenate([one.polygon.min(0), one.polygon.max(0)]) for one in found]
    taken = np.array(bounds).reshape(-1, 4)
    for i, one in enumerate(found):
        score = f"{one.score:.2f}".lstrip("0")
        _, above, width, below = brush.textbbox((0, 0), score, font=font)
        left, top, right, bottom = taken[i]
        others = np.delete(taken, i, axis=0)
        for tip, y in (
            (one.polygon[:, 1].argmin(), top - gap - below),
            (one.polygon[:, 1].argmax(), bottom + gap - above),
        ):
            x = max(left, min(one.polygon[tip, 0] - width / 2, right - width))
            place = np.array([x, y + above, x + width, y + below])
            if _free(place, others, picture.size):
                brush.text((x, y), score, COLOUR, font, stroke_width=gap / 2, stroke_fill=HALO)
                taken = np.vstack([taken, place])
                break


def _free(place: NDArray[np.float64], taken: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether a rectangle (left, top, right, bottom) lies in the picture and meets no other."""
    inside = (place[:2] >= 0).all() and (place[2:] <= size).all()
    meets = (place[:2] < taken[:, 2:]).all(1) & (place[2:] > taken[:, :2]).all(1)
    return bool(inside and not meets.any())
