"""What an image with words holds, and what of it is worth a look."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely
from PIL import ExifTags

from experiments.data.decode import opened, read_image
from experiments.data.text import LabelKnobs, Word
from experiments.data.text_sets import upright
from experiments.errors import UserError

Finding = tuple[tuple[int, ...] | None, list[str], Counter[str]]
LEAST = LabelKnobs().least  # px
COUNTED = {  # in the order they are told
    "ignored": "ignored",
    "small": f"with a side below {LEAST:g} px",
    "flat": "without area",
    "crossing": "crossing themselves",
    "outside": "outside the image",
}


def inspect(item: tuple[Path, Path, tuple[Word, ...] | None]) -> Finding:
    """Size (H, W) of an image, what is worth a look and counts of its words; or what is wrong.

    Without words, of which the annotation has a problem, there is nothing to count.
    """
    image, annotation, words = item
    try:
        size = upright(image)
        read_image(image, size)
        with opened(image) as stored:
            turned = stored.getexif().get(ExifTags.Base.Orientation, 1)
    except UserError as error:
        return None, [str(error)], Counter()
    lines = []
    if turned != 1:
        lines.append(f"{image.name}: turned as its EXIF orientation says; see if the words fit")
    if words is None:
        return size, lines, Counter(broken=1)
    counts = Counter(words=len(words), ignored=sum(word.ignored for word in words))
    counts["free"] = int(counts["words"] == counts["ignored"])
    for number, kind in _odd(words, size):
        counts[kind] += 1
        if kind != "small":
            lines.append(f"{annotation.name}: word {number} is {COUNTED[kind]}")
    return size, lines, counts


def told(counts: Counter[str]) -> str:
    """The counts in words."""
    kinds = ", ".join(f"{counts[kind]} {name}" for kind, name in COUNTED.items() if counts[kind])
    words, free, broken = (counts[name] for name in ("words", "free", "broken"))
    left_out = f" ({broken} left out, whose annotation has a problem)" if broken else ""
    return (
        f"{words} word{'s' * (words != 1)}{f' ({kinds})' if kinds else ''}, "
        f"{free} image{'s' * (free != 1)} without a word that counts{left_out}"
    )


def _odd(words: tuple[Word, ...], size: tuple[int, int]) -> Iterator[tuple[int, str]]:
    """(number, from 1, and kind) of the words that count and are not as they should be."""
    frame = shapely.box(0, 0, size[1], size[0])
    for number, word in enumerate(words, 1):
        if word.ignored:
            continue
        ring = shapely.Polygon(word.polygon)
        shape = shapely.make_valid(ring, method="structure", keep_collapsed=False)
        if not frame.intersects(ring.envelope):
            yield number, "outside"
        elif shape.area == 0:
            yield number, "flat"
        else:
            corners = shapely.get_coordinates(shape.minimum_rotated_rectangle)
            if np.linalg.norm(np.diff(corners, axis=0), axis=1).min() < LEAST:
                yield number, "small"
            if not ring.is_valid:
                yield number, "crossing"
