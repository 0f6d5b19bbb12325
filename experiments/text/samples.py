"""Photographs with words as a DB head learns from them: augmented, at one size, with labels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from experiments.data.decode import Pixels, resized
from experiments.data.samples import KEEP_BYTES, Order
from experiments.data.text import LabelKnobs, Word, shrink_at, text_labels
from experiments.data.text_sets import TextSplit
from experiments.seeding import numpy_stream

Labels = NDArray[np.float32]  # (4, H, W): shrink map and mask, threshold map and mask
Matrix = NDArray[np.float64]  # (3, 3), from an image's coordinates to those of the sample
Key = tuple[int, int, int]  # sample, step, place in the batch
MOVES = ("crop", "rotate", "flip")  # augmentations that move words, in this order
COLOURS = ("enhance", "pepper")  # those that do not; made of whole batches
ANGLE = 10.0  # degrees of "rotate", as MhLiao/DB
ZOOM = (0.5, 3.0)  # of "crop", as there
GROUND = (124, 116, 104)  # ImageNet's mean colour: around an image that does not fill the sample


def fit(image: Pixels, size: tuple[int, int]) -> tuple[Pixels, float]:
    """An image (H, W, 3) in the top left of a sample of `size` (h, w), and its scale there.

    The proportions are kept. Coordinates of the image times the scale are those of the sample.
    """
    scale = fitting(image.shape, size)
    return _warped(image, np.diag([scale, scale, 1.0]), size), scale


def fitting(shape: tuple[int, ...], size: tuple[int, int]) -> float:
    """The scale at which an image of `shape` (H, W, ...) just fits into `size` (h, w)."""
    return min(size[0] / shape[0], size[1] / shape[1])


@dataclass(frozen=True)
class Pictures:
    """The images of a split with their words; a small split stays decoded in memory."""

    split: TextSplit
    keep: int = KEEP_BYTES
    _kept: dict[int, tuple[Pixels, tuple[Word, ...]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def digest(self) -> str:
        """That of the split."""
        return self.split.digest

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> tuple[Pixels, tuple[Word, ...]]:
        """Image (H, W, 3) at its own resolution, and its words."""
        if i in self._kept:
            return self._kept[i]
        found = self.split.source.read(i)
        if len(self) * found[0].nbytes <= self.keep:
            self._kept[i] = found
        return found


@dataclass(frozen=True)
class Lessons(Dataset[tuple[Pixels, Labels]]):
    """Samples of a training split by (sample, step, place): a pure function of that and the seed.

    `shrink_end` is what the labels' shrink ratio comes to at the last of `steps`.
    """

    pictures: Pictures
    size: tuple[int, int]
    moves: tuple[str, ...]
    labels: LabelKnobs
    shrink_end: float
    seed: int
    steps: int

    def __getitem__(self, key: Key) -> tuple[Pixels, Labels]:
        index, step, place = key
        image, words = self.pictures[index]
        rng = numpy_stream(self.seed, "move", step, place)
        matrix = moved(rng, self.moves, image.shape, self.size, words)
        u = step / max(1, self.steps - 1)
        shrink = shrink_at(u, self.labels.shrink, self.shrink_end)
        labels = text_labels(placed(words, matrix), self.size, replace(self.labels, shrink=shrink))
        return _warped(image, matrix, self.size), labels


@dataclass(frozen=True)
class Keys:
    """The keys of one rank's batches."""

    order: Order

    def __iter__(self) -> Iterator[list[Key]]:
        first = self.order.share.start
        for step, row in enumerate(self.order, start=self.order.start):
            yield [(index, step, first + place) for place, index in enumerate(row)]


def collate(pairs: list[tuple[Pixels, Labels]]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W), still uint8, and labels (B, 4, H, W)."""
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.stack([labels for _, labels in pairs]))


def moved(
    rng: np.random.Generator,
    moves: tuple[str, ...],
    shape: tuple[int, ...],
    size: tuple[int, int],
    words: tuple[Word, ...],
) -> Matrix:
    """Where an image of `shape` (H, W, ...) goes in a sample of `size` (h, w).

    "crop" takes a part of .5 to 3 times the scale that fits, with the middle of a word in it if
    one lies in the image; "rotate" turns by at most 10 degrees; "flip" mirrors half of all.
    """
    (height, width), scale = size, fitting(shape, size)
    matrix = np.diag([scale, scale, 1.0])
    if "crop" in moves:
        scale *= math.exp(rng.uniform(math.log(ZOOM[0]), math.log(ZOOM[1])))
        centre = None
        middles = [word.polygon.mean(0) for word in words if not word.ignored]
        middles = [m for m in middles if (m >= 0).all() and (m <= (shape[1], shape[0])).all()]
        if middles:
            centre = middles[int(rng.integers(len(middles)))]
        x, y = (
            _offset(
                rng, scale * shape[1 - k], size[1 - k], centre is not None and scale * centre[k]
            )
            for k in (0, 1)
        )
        matrix = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])
    if "rotate" in moves:
        turn = math.radians(rng.uniform(-ANGLE, ANGLE))
        c, s, x, y = math.cos(turn), math.sin(turn), width / 2, height / 2
        matrix = (
            np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0, 0, 1]]) @ matrix
        )
    if "flip" in moves and rng.random() < 0.5:
        matrix = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) @ matrix
    return matrix


def placed(words: Sequence[Word], matrix: Matrix) -> list[Word]:
    """Words under a matrix."""
    turn, shift = matrix[:2, :2].T, matrix[:2, 2]
    return [replace(word, polygon=word.polygon @ turn + shift) for word in words]


def _offset(rng: np.random.Generator, length: float, room: float, wanted: float | bool) -> float:
    """Where a side of `length` begins in `room`, so that `wanted` of it is seen."""
    low, high = min(0.0, room - length), max(0.0, room - length)
    if wanted is not False:
        low, high = max(low, -wanted), min(high, room - wanted)
    return float(rng.uniform(low, high))


def _warped(image: Pixels, matrix: Matrix, size: tuple[int, int]) -> Pixels:
    """The image under `matrix`; what it shrinks is averaged before it is moved."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if scale < 1:
        smaller = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
        ratio = (smaller[1] / image.shape[1], smaller[0] / image.shape[0])
        image, matrix = resized(image, smaller), matrix @ np.diag([1 / ratio[0], 1 / ratio[1], 1])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixels lie at whole numbers
    flat = (np.linalg.inv(half) @ matrix @ half)[:2]
    found = cv2.warpAffine(image, flat, size[::-1], flags=cv2.INTER_LINEAR, borderValue=GROUND)
    return np.asarray(found, dtype=np.uint8)
