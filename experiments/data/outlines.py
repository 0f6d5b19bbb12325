"""Signed distances to the outlines of polygons, or of a mask's components.

Polygons are prepared together, since a call of numpy or shapely costs more than its work on one
of them; only the distances themselves are taken polygon by polygon, segment by segment.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from experiments.errors import UserError

Polygon = NDArray[np.float64]  # (N, 2): x, y
Map = NDArray[np.float32]
Ints = NDArray[np.int64]
FURTHEST = 1e6  # pixels from the origin: what lies beyond is no coordinate
AT_ONCE = 1 << 17  # distances: few calls for words, and little memory for what fills an image


@dataclass(frozen=True)
class Outline:
    """A shape in a window of an image.

    `distance` (h, w) of each pixel's centre to the outline, positive inside, 0 on it; the window
    has all within `reach` outside. `side` is the shorter one of the minimum-area rectangle. All in
    pixels.
    """

    window: tuple[slice, slice]
    distance: Map
    reach: float
    side: float


def outlines(
    polygons: Sequence[Polygon], size: tuple[int, int], part: float
) -> Iterator[tuple[int, Outline]]:
    """Each polygon that has an area A in the image, by its place; `reach` is `part` A / perimeter.

    What it encloses of the image is taken: all that its line winds around, in either direction.

    Raises:
        UserError: a polygon that is no (N, 2) array of finite numbers.
    """
    areas = _areas(polygons, size)
    numbers = np.flatnonzero(shapely.area(areas) > 0)
    areas = areas[numbers]
    reach = part * shapely.area(areas) / shapely.length(areas)
    windows = _windows(shapely.bounds(areas), reach[:, None], size)
    starts, ends, owner = _segments(areas)
    signs = _signs(starts, ends, owner, windows)
    first = np.searchsorted(owner, np.arange(len(areas) + 1)).tolist()
    for k, (top, left, bottom, right) in enumerate(windows.tolist()):
        own = slice(first[k], first[k + 1])
        distance = _to_segments(starts[own], ends[own], (top, left, bottom, right))
        distance *= signs[k]
        side = min(cv2.minAreaRect(starts[own].astype(np.float32))[1])
        window = slice(top, bottom), slice(left, right)
        yield int(numbers[k]), Outline(window, distance, float(reach[k]), side)


def outlines_of_mask(mask: NDArray[np.bool_], part: float) -> Iterator[Outline]:
    """Each connected component (8 neighbours) of a mask (H, W), with distances of its pixels."""
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    for k in range(1, count):
        x, y, w, h, area = boxes[k].tolist()
        shape = (parts[y : y + h, x : x + w] == k).astype(np.uint8)
        length, side = _measure(shape)
        reach = part * area / length
        pad = math.ceil(reach) + 1
        top, left = max(0, y - pad), max(0, x - pad)
        window = slice(top, y + h + pad), slice(left, x + w + pad)
        shape = np.pad(shape, pad)
        inner, outer = (
            cv2.distanceTransform(p, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for p in (shape, 1 - shape)
        )
        rows, columns = mask[window].shape
        seen = np.where(shape, inner - 0.5, 0.5 - outer)[top - y + pad :, left - x + pad :]
        yield Outline(window, seen[:rows, :columns], reach, side)


def _measure(part: NDArray[np.uint8]) -> tuple[float, float]:
    """Perimeter and least side of a component.

    OpenCV's contours run through the centres of the outermost pixels, half a pixel within the
    outline: by Steiner's formula that is pi longer, and pi shorter around a hole.
    """
    contours, tree = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    length = 0.0
    for contour, (_, _, _, outer) in zip(contours, tree[0], strict=True):
        around = cv2.arcLength(cv2.approxPolyDP(contour, 1, True), True)
        length += around + math.pi if outer < 0 else max(0, around - math.pi)
    points = np.concatenate(contours)
    return length, min(cv2.minAreaRect(points)[1]) + 1


def shapes(rings: Sequence[Polygon]) -> NDArray[np.object_]:
    """What each ring (N, 2) winds around in either direction, valid; empty if it has no area."""
    made = np.array([shapely.Polygon()] * len(rings), object)
    long = [i for i, ring in enumerate(rings) if len(ring) >= 3]
    if long:
        index = np.repeat(np.arange(len(long)), [len(rings[i]) for i in long])
        points = np.concatenate([rings[i] for i in long])
        made[long] = shapely.polygons(shapely.linearrings(points, indices=index))
    wrong = ~shapely.is_valid(made)
    made[wrong] = shapely.make_valid(made[wrong], method="structure", keep_collapsed=False)
    return made


def _areas(polygons: Sequence[Polygon], size: tuple[int, int]) -> NDArray[np.object_]:
    """What each polygon encloses of the image."""
    checked = [_checked(polygon, i) for i, polygon in enumerate(polygons)]
    areas = shapes(checked)
    cut = [i for i, p in enumerate(checked) if ((p < 0) | (p > (size[1], size[0]))).any()]
    areas[cut] = shapely.intersection(areas[cut], shapely.box(0, 0, size[1], size[0]))
    # with lines and points where a shape touches the image's edge
    for i in np.flatnonzero(shapely.get_type_id(areas) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(areas[i])
        areas[i] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return areas


def _checked(polygon: Polygon, i: int) -> Polygon:
    points = np.asarray(polygon, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise UserError(
            f"word {i} has a polygon of shape {points.shape}: expected (N, 2), x and y of N points"
        )
    if not (np.abs(points) <= FURTHEST).all():
        raise UserError(
            f"word {i} has the polygon {points.tolist()}: expected finite pixels, at most "
            f"{FURTHEST:g} from the origin; is its line in the label file broken?"
        )
    return points


def _windows(bounds: Polygon, reach: Polygon, size: tuple[int, int]) -> Ints:
    """Top, left, bottom and right (N, 4) of the pixels within reach of x0, y0, x1, y1 (N, 4)."""
    windows = np.empty((len(bounds), 4), np.int64)
    windows[:, :2] = np.maximum(np.floor(bounds[:, 1::-1] - reach), 0)
    windows[:, 2:] = np.minimum(np.ceil(bounds[:, :1:-1] + reach), size)
    return windows


def _segments(areas: NDArray[np.object_]) -> tuple[Polygon, Polygon, Ints]:
    """Starts and ends of the outlines, those of holes among them, and whose each is."""
    parts, owner = shapely.get_parts(areas, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    joined = (ring[1:] == ring[:-1]) & (points[1:] != points[:-1]).any(1)
    return points[:-1][joined], points[1:][joined], owner[part[ring[:-1][joined]]]


def _signs(starts: Polygon, ends: Polygon, owner: Ints, windows: Ints) -> list[Map]:
    """1 where an odd number of its segments lies to the left of a pixel's centre, else -1.

    All windows lie one after the other in one row of counters, each of their lines with one more
    for what is right of it: an outline is closed, so a line is crossed an even number of times,
    and the sum that runs through all of them is even where a line begins.
    """
    heights, widths = (windows[:, 2:] - windows[:, :2] + (0, 1)).T
    places = np.concatenate([[0], np.cumsum(heights * widths)])
    upper, lower = np.sort(np.ceil(np.stack([starts[:, 1], ends[:, 1]]) - 0.5).astype(int), 0)
    segment = np.repeat(np.arange(len(starts)), lower - upper)
    row = upper[segment] + np.arange(len(segment)) - np.searchsorted(segment, segment)
    (x0, y0), (x1, y1) = starts[segment].T, ends[segment].T
    column = np.ceil(x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0)) - 0.5).astype(int)
    own = owner[segment]
    place = places[own] + (row - windows[own, 0]) * widths[own] + column - windows[own, 1]
    odd = np.cumsum(np.bincount(place, minlength=places[-1]), dtype=np.uint8) & 1
    sign = odd * np.float32(2) - 1
    return [
        sign[a:b].reshape(h, w)[:, :-1]
        for (a, b), h, w in zip(pairwise(places), heights, widths, strict=True)
    ]


def _to_segments(starts: Polygon, ends: Polygon, window: Sequence[int]) -> Map:
    """Distance (h, w) of each pixel's centre in a window to the nearest segment."""
    top, left, bottom, right = window
    span, middle = ends - starts, (starts + ends) / 2
    half = np.hypot(*span.T)[:, None, None] / 2
    ux, uy = (span[..., None, None] / (2 * half[:, None])).transpose(1, 0, 2, 3)
    x = (np.arange(left, right) + 0.5 - middle[:, :1])[:, None, :]
    y = (np.arange(top, bottom) + 0.5 - middle[:, 1:])[:, :, None]
    parts = [part.astype(np.float32) for part in (x * ux, y * uy, x * uy, y * ux, half)]
    best = np.full((bottom - top, right - left), np.inf, np.float32)
    step = max(1, AT_ONCE // best.size)
    for i in range(0, len(starts), step):
        x_along, y_along, x_across, y_across, halves = (part[i : i + step] for part in parts)
        beyond = x_along + y_along
        np.abs(beyond, out=beyond)
        beyond -= halves
        np.maximum(beyond, 0, out=beyond)
        beyond *= beyond
        squared = x_across - y_across
        squared *= squared
        squared += beyond
        np.minimum(best, squared.min(0), out=best)
    return np.sqrt(best, out=best)
