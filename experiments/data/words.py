"""Images of words drawn at run time: set on the embedded photographs as on signs and walls."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.data.composed import crop, index
from experiments.data.decode import Pixels
from experiments.data.paint import Plane, distractor, margin, paint, project, shift, tilted
from experiments.data.text import Word
from experiments.data.vocabulary import draw_word
from experiments.seeding import numpy_stream

Box = tuple[int, int, int, int]  # left, top, right, bottom
Bounds = tuple[float, float, float, float]
FONTS = (  # matplotlib ships them, so every machine draws the same letters
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "Mono", "Mono-Bold")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic")),
    *("cmr10", "cmss10"),
)
TEXT_FREE = 0.25  # share of the images without text
LEAST_READ = 8.0  # px; a word whose shorter side is below is ignored, as annotators do
TRIES = 12  # places that are tried for a block before it is left out


@dataclass(frozen=True)
class Ink:
    """Words, or a distractor, as drawn on paper: where there is ink, and around which word."""

    image: Image.Image  # grey: 255 is ink
    words: tuple[tuple[str, Box], ...] = ()
    blurred: bool = False  # beyond reading


@dataclass(frozen=True)
class Block:
    """Ink set into an image on a plane."""

    ink: Ink
    plane: Plane
    bounds: Bounds  # in the image, with what is painted around the ink

    @property
    def words(self) -> list[Word]:
        """The words, each in a quadrilateral tight around its ink."""
        return [self._word(text, box) for text, box in self.ink.words]

    def _word(self, text: str, box: Box) -> Word:
        quad = project(self.plane, box)
        sides = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1)
        ignored = self.ink.blurred or float(sides.min()) < LEAST_READ
        return Word(quad, ignored, "###" if ignored else text)


@dataclass(frozen=True)
class DrawnWords:
    """Crops of photographs with words on them, and distractors: bars, grids, scribbles.

    A quarter of the images has no text; two thirds of these, and two fifths of the others, have
    distractors. Sizes grow with the image: at 160 px most words are 10 to 45 px high. A word of
    less than 8 px, or blurred beyond reading, is ignored, as annotators do.
    """

    split: str
    native: tuple[int, int]  # (H, W)

    @property
    def photographs(self) -> list[dict[str, str]]:
        """The photographs of the split, taken in turn."""
        return [entry for entry in index()["bg"] if entry["split"] == self.split]

    def words(self, i: int) -> tuple[Word, ...]:
        """The words of sample `i`."""
        return tuple(word for block in self.blocks(i) for word in block.words)

    def shape(self, i: int) -> tuple[int, int]:  # noqa: ARG002
        """(H, W) of sample `i`: of all the same."""
        return self.native

    def read(self, i: int) -> tuple[Pixels, tuple[Word, ...]]:
        """Image (H, W, 3) and words of sample `i`.

        Drawn from streams of (split, i) alone: neither the run's seed nor other samples matter.
        """
        blocks = self.blocks(i)
        rng = numpy_stream(0, "words", self.split, i, "paint")
        photographs = self.photographs
        canvas = crop(photographs[i % len(photographs)]["file"], self.native, rng)
        for block in blocks:
            paint(canvas, block.ink.image, block.plane, rng, blurred=block.ink.blurred)
        return np.array(canvas), tuple(word for block in blocks for word in block.words)

    def blocks(self, i: int) -> list[Block]:
        """What is set on sample `i`, words first; no two of them overlap."""
        rng = numpy_stream(0, "words", self.split, i)
        free = rng.random() < TEXT_FREE
        texts = 0 if free else int(rng.integers(1, 5))
        others = int(rng.integers(1, 4)) if rng.random() < (2 / 3 if free else 0.4) else 0
        placed: list[Block] = []
        for number in range(texts + others):
            size = _font_size(rng, self.native)
            ink = text(rng, size, self.native) if number < texts else Ink(distractor(rng, size))
            block = _place(rng, ink, placed, self.native)
            placed += [block] if block else []
        return placed


def _font_size(rng: np.random.Generator, native: tuple[int, int]) -> int:
    """Pixels per em: most 14 to 40 % of the image's shorter side, one in fifteen 4 to 7 %."""
    low, high = (0.035, 0.07) if rng.random() < 1 / 15 else (0.14, 0.4)
    return max(5, round(min(native) * float(np.exp(rng.uniform(np.log(low), np.log(high))))))


def text(rng: np.random.Generator, size: int, native: tuple[int, int]) -> Ink:
    """One to three words in a line, sometimes two lines, in one font; no wider than the image."""
    counts = rng.choice((1, 2, 3), 2 if rng.random() < 0.12 else 1, p=(0.7, 0.2, 0.1))
    lines = [[draw_word(rng) for _ in range(n)] for n in counts]
    name, space, pitch = str(rng.choice(FONTS)), rng.uniform(0.3, 0.6), rng.uniform(1.2, 1.4)
    rough = _font(name, size)
    longest = max(
        sum(rough.getlength(word) for word in line) + (len(line) - 1) * space * size
        for line in lines
    )
    size = max(5, min(size, int(size * 0.85 * native[1] / longest)))
    font = _font(name, size)
    put: list[tuple[str, Image.Image, int, int]] = []
    for number, line in enumerate(lines):
        x = 0
        for word in line:
            letters, drop = _letters(word, font)
            put.append((word, letters, x, round(number * pitch * size) + drop))
            x += letters.width + max(2, round(space * size))
    return Ink(*_sheet(put), blurred=rng.random() < 0.06)


def _sheet(
    put: list[tuple[str, Image.Image, int, int]],
) -> tuple[Image.Image, tuple[tuple[str, Box], ...]]:
    """Letters put at (x, y) on one sheet that ends where they do, and the box of each word."""
    top = min(y for *_, y in put)
    words = tuple(
        (word, (x, y - top, x + letters.width, y - top + letters.height))
        for word, letters, x, y in put
    )
    sheet = Image.new("L", (max(b[2] for _, b in words), max(b[3] for _, b in words)))
    for (_, letters, *_), (_, box) in zip(put, words, strict=True):
        sheet.paste(letters, box)
    return sheet, words


def _letters(word: str, font: ImageFont.FreeTypeFont) -> tuple[Image.Image, int]:
    """A word's ink, cut tight, and how far below the line's top it begins."""
    left, top, right, bottom = font.getbbox(word)
    image = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), word, 255, font)
    box = image.getbbox()
    assert box is not None, f"{word!r} has no ink"
    return image.crop(box), box[1] - 1 + int(top)


def _place(
    rng: np.random.Generator, ink: Ink, placed: Sequence[Block], native: tuple[int, int]
) -> Block | None:
    """The ink somewhere in the image, clear of what is there; None where no place is found."""
    height, width = native
    pad = margin(ink.image)
    around = (-pad, -pad, ink.image.width + pad, ink.image.height + pad)
    for _ in range(TRIES):
        plane = tilted(rng, ink.image.size)
        corners = project(plane, around)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        room = width - (right - left), height - (bottom - top)
        if min(room) < 0:
            continue
        x, y = rng.uniform(0, room[0]), rng.uniform(0, room[1])
        bounds = (x, y, x + right - left, y + bottom - top)
        if not any(_overlap(bounds, other.bounds) for other in placed):
            return Block(ink, shift(x - left, y - top) @ plane, bounds)
    return None


def _overlap(one: Bounds, other: Bounds) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@lru_cache(maxsize=64)  # each keeps its file open
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(name), size, layout_engine=ImageFont.Layout.BASIC)


def font_files() -> list[Path]:
    """The fonts that words are drawn in."""
    return [_font_file(name) for name in FONTS]


def _font_file(name: str) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
