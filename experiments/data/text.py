"""Words in images, and the four maps that a DB head learns from them.

After Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020
(section "Label generation"), whose code (MhLiao/DB, and PaddleOCR after it) clips polygons with
pyclipper, fills them with OpenCV and loops over lines. Here one exact signed distance to a word's
outline gives all four maps: eroding and dilating by a disc are two thresholds of it, so every
piece of a shape that splits is kept, and nothing is rounded to whole pixels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.data.outlines import Map, Outline, Polygon, outlines, outlines_of_mask
from experiments.errors import UserError
from losses import schedules


@dataclass(frozen=True)
class Word:
    """A piece of text in an image.

    `polygon` (N, 2) has x and y in pixels, continuous: the pixel in row i and column j covers
    [j, j + 1] x [i, i + 1]. An ignored one (`###`) neither teaches nor counts.
    """

    polygon: Polygon
    ignored: bool = False
    text: str = ""


@dataclass(frozen=True)
class LabelKnobs:
    """How words become maps; the defaults are the paper's.

    `shrink` is r of D = A (1 - r^2) / L, by which a word of area A and perimeter L is shrunk and
    dilated, in (0, 1). `least` is the side in pixels below which a word is ignored, at least 0:
    the shorter one of its minimum-area rectangle, where the reference takes that of the upright
    bounding box, by which a slanted line of 3 px counts. `low` to `high` is the range of the
    threshold map, 0 <= low < high <= 1.

    Raises:
        UserError: a value outside its range.
    """

    shrink: float = 0.4
    least: float = 8.0
    low: float = 0.3
    high: float = 0.7

    def __post_init__(self) -> None:
        """Check the ranges; NaN is in none."""
        if not 0 < self.shrink < 1:
            raise UserError(f"shrink={self.shrink!r}: expected one in (0, 1); 0.4 as published")
        if not 0 <= self.least < math.inf:
            raise UserError(f"least={self.least!r}: expected pixels, 0 or more; 8 as published")
        if not 0 <= self.low < self.high <= 1:
            raise UserError(
                f"low={self.low!r}, high={self.high!r}: expected 0 <= low < high <= 1, "
                "0.3 and 0.7 as published"
            )


def text_labels(
    words: Sequence[Word], size: tuple[int, int], knobs: LabelKnobs = LabelKnobs()
) -> Map:
    r"""Shrink map, shrink mask, threshold map and threshold mask of DB, (4, H, W) float32.

    .. math:: D = A (1 - r^2) / L, \quad
              t_P = [s \ge D], \quad t_T = low + (high - low) \max(0, 1 - |s| / D)

    with s the signed distance of a pixel's centre to the word's outline, positive inside, and r,
    low and high as `knobs` has them. Where words overlap, each map takes its maximum.

    1. shrink map, 0 or 1: the words eroded by D. A 100 x 20 box has D 7 and a core of 86 x 6.
    2. shrink mask, 0 or 1: 0 inside ignored words.
    3. threshold map, [low, high]: high on the outlines, low from D on.
    4. threshold mask, 0 or 1: 1 inside the words and up to D outside, the core included; 0 inside
       ignored words, whose own outline would have changed what is near it. (The reference keeps 1
       there if a word that counts is within its D.)

    Ignored are words marked so, those whose least side is below `knobs.least`, and those whose
    core has no pixel; they are in neither map. A word is what of it lies in the image, as in the
    reference: one that is cut has its outline, D and least side there. Self-crossing outlines
    enclose what they wind around in either direction, repeated points are one point, and what has
    no area has no pixel.

    Raises:
        UserError: a polygon that is no (N, 2) array of finite numbers, or a size without pixels.
    """
    _check_size(size)
    found = outlines([word.polygon for word in words], size, 1 - knobs.shrink**2)
    return _paint(((shape, not words[i].ignored) for i, shape in found), size, knobs)


def labels_of_mask(mask: NDArray[np.uint8], knobs: LabelKnobs = LabelKnobs()) -> Map:
    """The maps of `text_labels` from a mask (H, W) uint8 instead of polygons.

    A word is a connected component (8 neighbours) of the pixels of 128 and more; none is ignored
    but for its size. A is its number of pixels, L the length of its outline, simplified by at most
    a pixel, and s the distance to the nearest pixel of the other kind less half a pixel. Pixels
    know an outline to half a pixel: against the polygon that was drawn, s differs by up to half a
    pixel, at sharp corners by up to one, D by 2 %, and the least side is up to a pixel longer.

    Raises:
        UserError: a mask that is not of that shape and type.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8 or not mask.size:
        raise UserError(
            f"a mask of shape {mask.shape} and type {mask.dtype}: expected (H, W), uint8"
        )
    found = outlines_of_mask(mask >= 128, 1 - knobs.shrink**2)
    return _paint(((shape, True) for shape in found), mask.shape, knobs)


def shrink_at(u: float, start: float = 0.4, end: float = 0.6) -> float:
    """The shrink ratio r at progress u in [0, 1] of training: start + (end - start) u.

    PP-OCRv4's detector trains with .4 + .2 epoch / epochs for both maps, so that D falls from
    .84 A / L towards .64 A / L and cores grow. A function of u alone: a resumed run needs no
    state. Always below 1. Source: PaddleOCR, `ppocr/data/imaug/make_shrink_map.py`, 2023.

    Raises:
        UserError: u outside [0, 1], or an end that is no ratio in (0, 1).
    """
    for name, ratio in (("start", start), ("end", end)):
        if not 0 < ratio < 1:
            raise UserError(f"{name}={ratio!r}: expected a shrink ratio in (0, 1)")
    try:
        return schedules.linear(start, end)(u)
    except ValueError as error:
        raise UserError(str(error)) from error


def _paint(words: Iterable[tuple[Outline, bool]], size: tuple[int, ...], knobs: LabelKnobs) -> Map:
    """The four maps of words, each with whether it counts; their order does not matter."""
    maps = np.zeros((4, *size), np.float32)
    core, valid, near, taught = maps
    valid[:], near[:] = 1, knobs.low
    ignored = []
    for word, counts in words:
        s, window = word.distance, word.window
        shrunk = s >= word.reach
        # OpenCV finds the sides to about 1e-5 of them
        if not counts or word.side < knobs.least - 1e-3 or not shrunk.any():
            ignored.append((window, s >= 0))
            continue
        np.copyto(core[window], 1, where=shrunk)
        np.copyto(taught[window], 1, where=s > -word.reach)
        height = np.abs(s)
        height *= (knobs.low - knobs.high) / word.reach
        height += knobs.high
        np.maximum(near[window], height, out=near[window])
    for window, inside in ignored:
        valid[window][inside] = taught[window][inside] = 0
    return maps


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise UserError(f"size={size!r}: expected (H, W), two integers above 0")
