"""Words for the tests of label maps, and what shapely says of them."""

import math

import numpy as np
import shapely
from numpy.typing import NDArray

from experiments.data.text import LabelKnobs, Word, text_labels

SIZE = (70, 90)  # H, W
KNOBS = LabelKnobs()
COLUMNS, ROWS = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5)


def box(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def turned(polygon: NDArray[np.float64], degrees: float, about: tuple[float, float]) -> Word:
    a = math.radians(degrees)
    turn = np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
    return Word((polygon - about) @ turn + about)


def blob(seed: int, points: int = 8) -> Word:
    """A concave polygon that does not cross itself, within SIZE."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    radii = rng.uniform(8, 34, points)
    return Word(np.c_[45 + radii * np.cos(angles), 35 + radii * np.sin(angles)])


def labels(*words: Word, knobs: LabelKnobs = KNOBS) -> NDArray[np.float32]:
    return text_labels(words, SIZE, knobs)


def holds(area: shapely.Geometry) -> NDArray[np.bool_]:
    return shapely.contains_xy(area, COLUMNS, ROWS)


def to_outline(area: shapely.Geometry) -> NDArray[np.float64]:
    return shapely.distance(area.boundary, shapely.points(COLUMNS, ROWS))


def depth(area: shapely.Geometry, ratio: float = 0.4) -> float:
    return area.area * (1 - ratio**2) / area.length
