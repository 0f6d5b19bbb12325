r"""A grid's numbers as LaTeX macros, so that prose cites what the table says.

Names are \<Grid><Preset><Arm><Metric><What> and \<Grid><Preset><Arm>Vs<Minus><Metric><What>, in
letters only, without the metric where it is the primary one: \GradLossLaptopMaeVsBceDiff,
\GradLossLaptopBceMAEMean. So a paper may cite several grids and presets.
"""

import re
import unicodedata
from collections.abc import Iterator

from analysis.latex import tex
from analysis.shares import gradient_shares, spelled
from analysis.spelling import finer, judgement, number, p_value, places, row_places
from analysis.stats import Interval, effect_size
from analysis.strata import strata
from analysis.summary import ContrastRow, Summary

Entry = tuple[str, str, str]  # what the macro ends in, its text, what it is


def numbers_tex(summary: Summary) -> str:
    r"""One \newcommand a number, rounded as in the tables, with a comment that says what it is.

    Covers the grid, its arms and contrasts by every metric, and the contrasts by size of object.
    A number that does not exist is a dash. Two names that come out the same are numbered in the
    order of the tables (MaeVsBceDiff, MaeVsBceDiffTwo). The file is ASCII and needs no package.
    """
    names = _Names()
    arms = {arm: names.free(_letters(arm)) for arm in summary.grid.arms}
    macros = _Names()
    grid = summary.grid
    prefix = _letters(grid.name) + _letters(grid.preset)
    variant = "as published" if summary.results.variant == "published" else "plain"
    lines = [
        f"% Numbers of the grid {_ascii(grid.name)}, preset {_ascii(grid.preset)}, metrics "
        f"{variant}; written by analysis.report"
    ]
    for name, text, about in (*_grid(summary), *_arms(summary, arms), *_pairs(summary, arms)):
        macro = macros.free(prefix + name)
        lines.append(rf"\newcommand{{\{macro}}}{{{_math(text)}}}% {_ascii(about)}")
    return "\n".join([*lines, ""])


class _Names:
    """Names given so far; a second of the same spelling is numbered."""

    def __init__(self) -> None:
        self.given: set[str] = set()

    def free(self, name: str) -> str:
        """`name`, or the first of nameTwo, nameThree, ... that was not given yet."""
        count, free = 1, name
        while free in self.given:
            count += 1
            free = name + _letters(str(count))
        self.given.add(free)
        return free


def _grid(summary: Summary) -> Iterator[Entry]:
    grid, results = summary.grid, summary.results
    smallest = summary.flip.smallest if summary.flip else None
    yield "Arms", str(len(grid.arms)), "arms"
    yield "Seeds", str(len(grid.seeds)), "seeds planned for each arm"
    yield "Runs", str(len(grid.cells) - len(results.absent)), "complete runs"
    yield "Images", str(len(results.images)), "test images"
    yield "Margin", f"{grid.margin:g}", f"margin of the verdict, {grid.primary}"
    yield "SmallestP", p_value(smallest), "smallest possible p"


def _arms(summary: Summary, codes: dict[str, str]) -> Iterator[Entry]:
    digits = places(summary)
    for metric in summary.metrics:
        for arm in summary.grid.arms:
            row = summary.arms[arm, metric]
            name, about = codes[arm] + _metric(summary, metric), f"{arm}, {metric}"
            yield f"{name}Mean", number(row.mean.mean, digits[metric]), f"{about}: mean"
            yield f"{name}Half", number(row.mean.half, digits[metric]), f"{about}: +-, 95 %"
            yield f"{name}N", str(row.mean.n), f"{about}: seeds"
    for arm, share in gradient_shares(summary.results).items():
        yield f"{codes[arm]}GradShare", spelled(share)[0], f"{arm}, grad_share: mean"


def _pairs(summary: Summary, codes: dict[str, str]) -> Iterator[Entry]:
    digits = places(summary)
    for metric in summary.metrics:
        for row in summary.contrasts[metric]:
            pair = f"{codes[row.contrast.arm]}Vs{codes[row.contrast.minus]}"
            name, about = pair + _metric(summary, metric), f"{row.contrast}, {metric}"
            shown = row_places(summary, row)
            yield from _interval(row.difference, name, "", about, shown)
            if row.new_images:
                yield from _interval(row.new_images, name, "New", f"{about}, new images", shown)
            yield f"{name}N", str(row.difference.n), f"{about}: seeds"
            if summary.grid.test:
                yield from _tested(summary, row, name, about, shown)
    for part in strata(summary):
        pair = f"{codes[part.contrast.arm]}Vs{codes[part.contrast.minus]}"
        name = pair + _metric(summary, part.metric) + _letters(f"{part.by} {part.name}")
        about = f"{part.contrast}, {part.metric}, {part.by} {part.name}"
        shown = finer(part.difference, digits[part.metric])
        yield from _interval(part.difference, name, "", about, shown)


def _interval(
    interval: Interval, name: str, kind: str, about: str, digits: int
) -> Iterator[Entry]:
    values = {"Diff": interval.mean, "Low": interval.low, "High": interval.high}
    words = {"Diff": "difference", "Low": "low end, 95 %", "High": "high end, 95 %"}
    for end, value in values.items():
        yield f"{name}{kind}{end}", number(value, digits, signed=True), f"{about}: {words[end]}"


def _tested(
    summary: Summary, row: ContrastRow, name: str, about: str, digits: int
) -> Iterator[Entry]:
    d = number(effect_size(row.difference), 2, signed=True)
    yield f"{name}Effect", d, f"{about}: effect size d_z"
    if found := row.superiority:
        ends = {"": found.share, "Low": found.low, "High": found.high}
        for end, value in ends.items():
            word = f", {end.lower()} end, 95 %" if end else ""
            yield f"{name}Superiority{end}", number(value, 2), f"{about}: P(A > B){word}"
    yield f"{name}Detectable", number(row.detectable, digits), f"{about}: detectable, power .8"
    if row.metric == summary.grid.primary:
        yield f"{name}P", p_value(row.p), f"{about}: p, adjusted"
        yield f"{name}Verdict", judgement(row), f"{about}: verdict"


def _metric(summary: Summary, metric: str) -> str:
    return "" if metric == summary.grid.primary else _letters(metric)


_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def _letters(name: str) -> str:
    """A name in ASCII letters: words begin with a capital, digits are spelled, other characters
    that are letters give their code point in letters; X if nothing is left."""
    words = re.split(r"[^\w]|_", unicodedata.normalize("NFKD", name))
    found = "".join(_spelled(word[:1].upper() + word[1:]) for word in words)
    return found or "X"


def _spelled(word: str) -> str:
    return "".join(
        character
        if character.isascii() and character.isalpha()
        else _DIGITS[int(character)]
        if character.isdecimal()
        else "U" + "".join(chr(ord("a") + int(digit, 16)) for digit in f"{ord(character):x}")
        for character in word
        if not unicodedata.combining(character)
    )


def _math(text: str) -> str:
    r"""A number that is right inside and outside of math: \ensuremath{-0.005}."""
    if not re.fullmatch(r"[+−]?[\d.]+(e[+-]?\d+)?", text):
        return tex(text)
    digits, _, power = text.replace("−", "-").partition("e")
    raised = rf"\times 10^{{{int(power)}}}" if power else ""
    return rf"\ensuremath{{{digits}{raised}}}"


def _ascii(text: str) -> str:
    plain = " ".join(text.replace("−", "-").split())
    return plain.encode("ascii", "backslashreplace").decode()
