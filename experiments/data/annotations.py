"""Files that say where the words of an image are, as the sets of the field write them.

- ICDAR 2015: a line `x1,y1,x2,y2,x3,y3,x4,y4,transcription` a word; commas and quotes belong to
  the transcription; `###` is ignored.
- ICDAR 2013: `left, top, right, bottom, "word"`, in its training set without the commas.
- Total-Text: `x: [[...]], y: [[...]], ornt: [u'c'], transcriptions: [u'...']`, which may go on in
  the next line; `#` is ignored.
- MhLiao/DB's Total-Text: `x1,y1,...,xn,yn,transcription`; its TD500: a quadrilateral and 0, or 1
  for a difficult one, which is ignored, below a folder whose name has TD500.

Any line end, with or without a byte order mark. What is not UTF-8 can only be in a transcription,
where it is replaced. Coordinates are kept as they are, also outside the image.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.data.outlines import FURTHEST
from experiments.data.text import Word
from experiments.errors import UserError

NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*")
RECORD = re.compile(
    r"x:\s*\[\[(?P<x>[^]]*)\]\],\s*y:\s*\[\[(?P<y>[^]]*)\]\],\s*"
    r"ornt:\s*\[(?P<kind>.*?)\],\s*transcriptions:\s*\[(?P<text>.*)\]\s*"
)
EXPECTED = (
    "expected x1,y1,x2,y2,x3,y3,x4,y4,text (ICDAR 2015), more corners (Total-Text), or "
    'left, top, right, bottom, "text" (ICDAR 2013)'
)
Line = tuple[int, str]  # its number, from 1


def read_words(files: Sequence[Path]) -> list[tuple[Word, ...]]:
    """The words of each annotation file of one set.

    Lines that begin with ten numbers are polygons if more than a twentieth of the set's lines
    does; else they are quadrilaterals around a number with commas, as `12,500`.

    Raises:
        UserError: a file that cannot be read; a malformed line, by file and number.
    """
    problems: list[str] = []
    words = try_words(files, problems)
    if problems:
        raise UserError(problems[0])
    return [found for found in words if found is not None]


def try_words(files: Sequence[Path], problems: list[str]) -> list[tuple[Word, ...] | None]:
    """As `read_words`, but None for a file with problems, which go to `problems`."""
    lines = [_lines(file, problems) for file in files]
    long = [_numbers(text.split(",")) >= 10 for found in lines for _, text in found or ()]
    polygons = sum(long) > 0.05 * len(long)
    words: list[tuple[Word, ...] | None] = []
    for file, found in zip(files, lines, strict=True):
        before = len(problems)
        read = tuple(_words(file, found or (), problems, polygons=polygons))
        words.append(None if found is None or len(problems) > before else read)
    return words


def _words(
    file: Path, lines: Iterable[Line], problems: list[str], *, polygons: bool
) -> Iterator[Word]:
    for number, text in lines:
        try:
            yield _word(file, text, polygons=polygons)
        except ValueError as error:
            seen = text if len(text) <= 80 else f"{text[:80]}..."
            problems.append(f"{file}, line {number}: {error} in {seen!r}; {EXPECTED}")


def _lines(file: Path, problems: list[str]) -> list[Line] | None:
    """The lines that hold something; a record of Total-Text is one line."""
    try:
        content = file.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        problems.append(f"cannot read {file}: {error.strerror}")
        return None
    found: list[Line] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", content), 1):
        record = found and found[-1][1].startswith("x:")
        if record and line.strip() and not line.startswith("x:"):
            found[-1] = (found[-1][0], f"{found[-1][1]} {line}")
        elif line.strip():
            found.append((number, line))
    return found


def _word(file: Path, text: str, *, polygons: bool) -> Word:
    if text.startswith("x:"):
        return _record(text)
    return _listed(text, polygons=polygons, difficulty=tells_difficulty(file))


def tells_difficulty(file: Path) -> bool:
    """Whether 1 for a transcription means difficult, by the folders a file lies in."""
    return "TD500" in "/".join(file.parts[-3:-1])


def _record(text: str) -> Word:
    """A word of Total-Text's own files."""
    found = RECORD.fullmatch(text)
    if found is None:
        raise ValueError("not a record of Total-Text")
    x, y = (found[axis].replace(",", " ").split() for axis in "xy")
    if len(x) != len(y):
        raise ValueError(f"{len(x)} x and {len(y)} y")
    if _numbers(x + y) < len(x + y):
        raise ValueError("coordinates that are not numbers")
    kind, word = (re.sub(r"^u?(['\"])(.*)\1$", r"\2", found[k].strip()) for k in ("kind", "text"))
    return _made([v for pair in zip(x, y, strict=True) for v in pair], word, "#" in (kind, word))


def _listed(text: str, *, polygons: bool, difficulty: bool) -> Word:
    """A word in a line of coordinates and a transcription."""
    fields = text.split(",")
    count = _numbers(fields)
    if count < 4 and "," not in text[: text.find('"')]:
        fields = text.split(maxsplit=4)
        count = _numbers(fields)
    if count == 4 and len(fields) > 4:
        left, top, right, bottom = fields[:4]
        word = ",".join(fields[4:]).strip()
        word = word[1:-1] if word[:1] == word[-1:] == '"' and len(word) > 1 else word
        corners = [left, top, right, top, right, bottom, left, bottom]
        return _made(corners, word, word == "###")
    if count < 8:
        raise ValueError(f"{count} coordinates")
    used = count - count % 2 if polygons else 8
    word = ",".join(fields[used:]).strip()
    return _made(fields[:used], word, word == ("1" if difficulty else "###"))


def _numbers(fields: Iterable[str]) -> int:
    """How many fields are numbers before the first that is none."""
    count = 0
    for field in fields:
        if not NUMBER.fullmatch(field):
            break
        count += 1
    return count


def _made(coordinates: Sequence[str], text: str, ignored: bool) -> Word:
    polygon = np.array([float(v) for v in coordinates]).reshape(-1, 2)
    if len(polygon) < 3:
        raise ValueError(f"{len(polygon)} corners")
    if np.abs(polygon).max() > FURTHEST:
        raise ValueError(f"a coordinate of {np.abs(polygon).max():g}")
    return Word(polygon, ignored, text)
