"""From a probability map to detected words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from experiments.data.outlines import Polygon
from experiments.errors import UserError, unknown

Form = Literal["box", "polygon"]
Floats = NDArray[np.float64]
Contour = NDArray[np.int32]
FINE = 4  # bits after the point of the coordinates that OpenCV fills polygons with
RASTER = 0.5  # what of an outline is the pixels' stairs, in pixels
SIMPLER = 0.002  # what of a polygon's perimeter its simplification may move it


@dataclass(frozen=True)
class BoxKnobs:
    """How words are found in a probability map; the defaults are published with DB.

    Raises:
        UserError: a value out of its range.
    """

    cut: float = 0.3  # probability above which a pixel is text, in (0, 1)
    least_score: float = 0.6  # a region's mean probability, in [0, 1]
    unclip: float = 1.5  # D' = unclip A / L, at least 0
    least_side: float = 3.0  # of a region before unclipping, in pixels of the map
    form: Form = "box"
    most: int = 1000  # regions; the largest are kept

    def __post_init__(self) -> None:
        if not 0 < self.cut < 1:
            raise UserError(f"cut is {self.cut}, expected between 0 and 1")
        if not 0 <= self.least_score <= 1:
            raise UserError(f"least_score is {self.least_score}, expected from 0 to 1")
        for name in ("unclip", "least_side"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 0")
        if self.form not in get_args(Form):
            raise unknown("form", self.form, get_args(Form))
        if self.most != int(self.most) or self.most < 1:
            raise UserError(f"most is {self.most}, expected a whole number of at least 1")


def box_knobs(given: Mapping[str, Any]) -> BoxKnobs:
    """The knobs by their names.

    Raises:
        UserError: an unknown one, with the nearest; a value of another type or out of its range.
    """
    types = {field.name: type(field.default) for field in fields(BoxKnobs)}
    for name, value in given.items():
        if name not in types:
            raise unknown("knob of boxes", name, types)
        wanted = (int, float) if types[name] is float else types[name]
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise UserError(f"{name} is {value!r}, expected {types[name].__name__}")
    return BoxKnobs(**given)


@dataclass(frozen=True)
class Detection:
    """A word that was found: `polygon` (N, 2), continuous x and y in pixels; score in [0, 1]."""

    polygon: Polygon
    score: float


@dataclass(frozen=True)
class _Regions:
    """Connected regions; coordinates of pixel centres, so half a pixel less than continuous.

    The rectangle of least area around the centres is too small. `rim`, what it lacks on each side,
    gives it the region's area: for a rectangular region that is right on average at every angle,
    where half a pixel is too much unless the sides are upright.
    """

    contours: list[Contour]  # (n, 2) each
    centres: Floats  # (N, 2)
    sides: Floats  # (N, 2)
    angles: Floats  # (N,), of the first side, radians
    areas: Floats  # (N,), pixels, holes among them
    rim: Floats  # (N, 1)

    def of(self, chosen: NDArray[np.intp]) -> "_Regions":
        rest = (self.centres, self.sides, self.angles, self.areas, self.rim)
        return _Regions([self.contours[i] for i in chosen], *(x[chosen] for x in rest))


def detect(probability: NDArray[np.float32], knobs: BoxKnobs = BoxKnobs()) -> list[Detection]:
    r"""The words in a probability map, by falling score (DB, AAAI 2020, section 3.5).

    Each connected region of pixels above `cut`, its holes filled, is a core of area A and
    perimeter L, which grows by :math:`D' = \text{unclip} \cdot A / L`. As a box, the core is its
    rectangle of least area, and a detection has four corners, clockwise from the top left; as a
    polygon, it is the region's outline and may have any number of points. The score is the mean
    probability inside the core (the "fast" form of MhLiao/DB). Detections are clipped to the map.

    Where MhLiao/DB differs: it takes a hole for a word too, measures cores between pixel centres
    (half a pixel short on each side), and keeps the first `most` regions instead of the largest.

    Args:
        probability: (H, W) in [0, 1].

    Raises:
        UserError: not a map; not finite, as of a model that diverged.
    """
    _check(probability)
    found = _regions(probability, knobs)
    cores = [x.round().astype(np.int32) for x in _corners(found) * (1 << FINE)]
    if knobs.form == "polygon":
        cores = [contour << FINE for contour in found.contours]
    scores = np.array([_mean(probability, core) for core in cores])
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= knobs.least_score]
    found, scores = found.of(order), scores[order]
    if knobs.form == "box":
        grown, scored = list(_boxes(found, knobs.unclip)), scores
    else:
        grown, index = _outlines(found, knobs.unclip)
        scored = scores[index]
    limit = np.array(probability.shape[::-1], np.float64)
    return [
        Detection(np.clip(polygon, 0, limit), float(score))
        for polygon, score in zip(grown, scored, strict=True)
    ]


def _check(probability: NDArray[np.float32]) -> None:
    if probability.ndim != 2:
        raise UserError(f"a map of shape {probability.shape}, expected (H, W)")
    low, high = float(probability.min()), float(probability.max())
    if not (low >= 0 and high <= 1):
        raise UserError(
            f"probabilities from {low} to {high}, expected 0 to 1; nan means that the training "
            "diverged (try a lower train.lr, or train.clip=1)"
        )


def _regions(probability: NDArray[np.float32], knobs: BoxKnobs) -> _Regions:
    """Regions that are large enough, by their order in the map."""
    above = (probability > knobs.cut).astype(np.uint8)
    outlines, hierarchy = cv2.findContours(above, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # Those without a parent are regions, the others their holes; a region in a hole counts.
    contours = [
        c[:, 0].astype(np.int32)
        for c, links in zip(outlines, hierarchy[0] if outlines else (), strict=True)
        if links[3] < 0
    ]
    rectangles = [cv2.minAreaRect(c) for c in contours]
    flat = np.array([(*centre, *sides, angle) for centre, sides, angle in rectangles])
    flat = flat.reshape(-1, 5).astype(np.float64)
    # Pick's theorem: a polygon through b centres, of area a, holds a + b / 2 + 1 of them.
    areas = np.array([cv2.contourArea(c) + len(c) / 2 + 1 for c in contours])
    sides = flat[:, 2:4]
    # The root of (w + 2 rim) (h + 2 rim) = area.
    rim = (np.sqrt((sides[:, 0] - sides[:, 1]) ** 2 + 4 * areas) - sides.sum(1)) / 4
    rim = np.clip(rim, 0, 0.5)[:, None]
    found = _Regions(contours, flat[:, :2], sides, np.deg2rad(flat[:, 4]), areas, rim)
    large = np.flatnonzero((sides + 2 * rim).min(1) >= knobs.least_side)
    if len(large) > knobs.most:
        large = np.sort(large[np.argsort(-areas[large], kind="stable")[: knobs.most]])
    return found.of(large)


def _corners(found: _Regions, more: Floats | float = 0.0) -> Floats:
    """(N, 4, 2): the rectangles, `more` wider on each side; clockwise from the top left."""
    along = np.stack([np.cos(found.angles), np.sin(found.angles)], 1)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    half = found.sides / 2 + more
    u, v = along * half[:, :1], across * half[:, 1:]
    corners = found.centres[:, None] + np.stack([-u - v, u - v, u + v, v - u], 1)
    # Of the two that are farthest left, the upper one comes first.
    left = np.argsort(corners[..., 0], axis=1, kind="stable")[:, :2]
    upper = np.take_along_axis(corners[..., 1], left, axis=1).argmin(1)
    first = left[np.arange(len(left)), upper]
    order = (first[:, None] + np.arange(4)) % 4
    return np.take_along_axis(corners, order[..., None], axis=1)


def _boxes(found: _Regions, unclip: float) -> Floats:
    sides = found.sides + 2 * found.rim
    grow = unclip * sides.prod(1) / (2 * sides.sum(1))
    return _corners(found, found.rim + grow[:, None]) + 0.5


def _outlines(found: _Regions, unclip: float) -> tuple[list[Polygon], NDArray[np.intp]]:
    """Grown outlines, and the region that each is of; of a region in pieces, every piece."""
    rings = [cv2.approxPolyDP(c, RASTER, closed=True)[:, 0] + 0.5 for c in found.contours]
    boxes = _corners(found) + 0.5
    # A line of pixels has no inside; its box has at least a direction.
    full = [ring if len(ring) > 2 else box for ring, box in zip(rings, boxes, strict=True)]
    cores = _valid(full)
    areas, lengths = shapely.area(cores), shapely.length(cores)
    # The root of a + L rim + pi rim^2 = area.
    lacking = 4 * math.pi * (found.areas - areas)
    rim = (np.sqrt(np.maximum(lengths**2 + lacking, 0)) - lengths) / (2 * math.pi)
    rim = np.clip(rim, 0, 0.5)
    grow = unclip * found.areas / (lengths + 2 * math.pi * rim)
    grown = shapely.buffer(cores, rim + grow, quad_segs=4)
    grown = shapely.simplify(grown, SIMPLER * shapely.length(grown))
    pieces, index = shapely.get_parts(grown, return_index=True)
    outer = shapely.get_exterior_ring(shapely.normalize(pieces))
    return [shapely.get_coordinates(ring)[:-1] for ring in outer], index


def _valid(rings: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.object_]:
    """What each ring encloses; its parts without width stay, as lines that can grow."""
    if not rings:
        return np.empty(0, object)
    index = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    lines = shapely.linearrings(np.concatenate(rings), indices=index)
    made: NDArray[np.object_] = shapely.polygons(lines)
    wrong = ~shapely.is_valid(made)
    made[wrong] = shapely.make_valid(made[wrong])
    return made


def _mean(probability: NDArray[np.float32], core: Contour) -> float:
    """Mean probability over the pixels in a polygon, its coordinates in 1 / 2^FINE pixels."""
    height, width = probability.shape
    left, top = np.maximum(core.min(0) >> FINE, 0)
    right, bottom = np.minimum((core.max(0) >> FINE) + 2, (width, height))
    inside = np.zeros((bottom - top, right - left), np.uint8)
    shift = np.array([left << FINE, top << FINE], np.int32)
    cv2.fillPoly(inside, [core - shift], (1,), shift=FINE)
    return min(1.0, cv2.mean(probability[top:bottom, left:right], inside)[0])
