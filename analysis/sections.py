"""What the tables of a grid hold and in which order, whatever they are written in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from analysis.metrics import OUTCOMES, TEXT, VARIANTS
from analysis.pooled import TEXT_FREE
from analysis.shares import SHARE, gradient_shares, spelled
from analysis.spelling import (
    DASH,
    count,
    finer,
    judgement,
    number,
    p_value,
    places,
    row_places,
    span,
)
from analysis.stats import Interval, effect_size
from analysis.strata import StratumRow, told
from analysis.summary import ContrastRow, Summary
from analysis.wording import WORDING

Look = Literal["plain", "bold", "underlined"]
PUBLISHED = "(metrics as published)"
MOST_MEANS, MOST_INTERVALS = 6, 3  # columns of a table that still fit a page


@dataclass(frozen=True)
class Cell:
    """One cell: the names of arms, `text` in its `look`, `tail` in small type; a header's cell
    names its `metric`."""

    text: str = ""
    look: Look = "plain"
    tail: str = ""
    names: tuple[str, ...] = ()
    metric: str = ""


@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells; the first cell names the row. `about` has a word on
    each row, or is empty."""

    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """Tables under one title, then the name of `metric` unless that is empty, then `tail`."""

    slug: str
    title: str
    metric: str
    tables: tuple[Table, ...]
    tail: str = ""


def sections(summary: Summary) -> tuple[Section, ...]:
    """Arms, contrasts, guards, outcomes, sizes of object and what else was measured, as far as
    there are any."""
    grid = summary.grid
    tail = PUBLISHED if summary.results.variant == "published" else ""
    found = [Section("arms", "Means by arm", "", _arms(summary, summary.shown), tail)]
    if grid.contrasts:
        tables = (_differences(summary), *([_effects(summary)] if grid.test else ()))
        found.append(Section("contrasts", "Contrasts by", grid.primary, tables, tail))
    if grid.contrasts and grid.guards:
        tables = _by_metric(summary, grid.guards)
        found.append(Section("guards", "Guards: 95 % intervals, no test", "", tables, tail))
    outcomes = tuple(m for m in OUTCOMES if m in summary.metrics and m not in summary.shown)
    if outcomes:
        tables = (_learned(summary, outcomes),)
        tables += _by_metric(summary, outcomes) if grid.contrasts else ()
        found.append(Section("outcomes", "How the arms learned", "", tables, tail))
    if sizes := _sizes(summary):
        title = f"{WORDING[grid.task].sizes}:"
        found.append(Section("sizes", title, grid.primary, sizes, tail))
    if further := [m for m in summary.metrics if m not in {*summary.shown, *outcomes}]:
        tables = _arms(summary, further, about=False)
        found.append(Section("further", "Further metrics, means by arm", "", tables, tail))
    return tuple(found)


def definitions(summary: Summary) -> str:
    """Under which variant the definitions of `analysis.metrics` are to be read, in one line."""
    if summary.grid.task == "text":
        return f"Metrics of text detection: {TEXT}."
    variant = summary.results.variant
    words = f"Metrics, {variant} variant: {VARIANTS[variant]}."
    return words + (" Definitions are otherwise as in the plain variant." * (variant != "plain"))


def _arms(summary: Summary, metrics: Sequence[str], *, about: bool = True) -> tuple[Table, ...]:
    grid = summary.grid
    published = summary.results.variant == "published"
    first = Cell(f"arm {PUBLISHED}" if published else "arm")
    words = tuple(grid.descriptions.get(arm, "") for arm in grid.arms) if about else ()
    tables = []
    for chunk in _chunks(metrics, MOST_MEANS):
        header = (first, *(Cell(metric=metric) for metric in chunk), Cell("n"))
        rows = tuple(_arm(summary, arm, chunk) for arm in grid.arms)
        tables.append(Table(header, rows, words))
        words = ()
    return tuple(tables)


def _learned(summary: Summary, outcomes: Sequence[str]) -> Table:
    """The outcomes by arm, with the share of gradient that the supervision had."""
    (table,) = _arms(summary, outcomes, about=False)
    shares = gradient_shares(summary.results)
    if not shares:
        return table
    header = (*table.header[:-1], Cell(SHARE), table.header[-1])
    rows = zip(table.rows, shares.values(), strict=True)
    return Table(header, tuple((*row[:-1], *_share(share, row[-1])) for row, share in rows))


def _share(share: Interval, n: Cell) -> tuple[Cell, Cell]:
    """An arm's share, and its n, which may be above that of the outcomes before it."""
    mean, half = spelled(share)
    return Cell(mean, tail=half), Cell(str(max(int(n.text), share.n)))


def _arm(summary: Summary, arm: str, metrics: Sequence[str]) -> tuple[Cell, ...]:
    digits = places(summary)
    cells = [Cell(names=(arm,), tail="(baseline)" if arm == summary.grid.baseline else "")]
    for metric in metrics:
        row = summary.arms[arm, metric]
        look: Look = "bold" if row.best else "underlined" if row.second else "plain"
        half = number(row.mean.half, digits[metric])
        tail = "" if math.isnan(row.mean.half) else f"± {half}"
        cells.append(Cell(number(row.mean.mean, digits[metric]), look, tail))
    seeds = {len(summary.arms[arm, metric].seeds) for metric in metrics} - {0}
    return (*cells, Cell(str(max(seeds, default=0))))


def _differences(summary: Summary) -> Table:
    grid, rows = summary.grid, summary.primary
    new = any(row.new_images for row in rows)
    header = [Cell("contrast"), Cell("difference"), Cell("this test set, 95 %")]
    header += [Cell("new images of this kind, 95 %")] if new else []
    header += [Cell("p (adjusted)"), Cell("verdict")] if grid.test else []
    lines = []
    for row in rows:
        digits = row_places(summary, row)
        cells = [_contrast(row), Cell(number(row.difference.mean, digits, signed=True))]
        cells.append(Cell(span(row.difference, digits)))
        cells += [Cell(span(row.new_images, digits) if row.new_images else DASH)] if new else []
        cells += [Cell(p_value(row.p)), Cell(judgement(row))] if grid.test else []
        lines.append((*cells, Cell(str(row.difference.n))))
    return Table((*header, Cell("n")), tuple(lines), () if grid.test else _about(summary))


def _effects(summary: Summary) -> Table:
    rows = summary.primary
    header = ("contrast", "effect size d_z", "P(A > B)", "95 %", "smallest detectable")
    lines = []
    for row in rows:
        cells = [_contrast(row), Cell(number(effect_size(row.difference), 2, signed=True))]
        found = row.superiority
        cells.append(Cell(number(found.share, 2) if found else DASH))
        ends = (number(end, 2) for end in (found.low, found.high)) if found else ()
        cells.append(Cell(f"[{', '.join(ends)}]" if found else DASH))
        cells.append(Cell(number(row.detectable, row_places(summary, row))))
        lines.append(tuple(cells))
    return Table(tuple(map(Cell, header)), tuple(lines), _about(summary))


def _about(summary: Summary) -> tuple[str, ...]:
    about = tuple(row.contrast.about for row in summary.primary)
    return about if any(about) else ()


def _by_metric(summary: Summary, metrics: Sequence[str]) -> tuple[Table, ...]:
    digits = places(summary)
    tables = []
    for chunk in _chunks(metrics, MOST_INTERVALS):
        header = (Cell("contrast"), *(Cell(metric=metric) for metric in chunk))
        lines = []
        for index, row in enumerate(summary.primary):
            found = {m: summary.contrasts[m][index].difference for m in chunk}
            lines.append((_contrast(row), *(_change(d, digits[m]) for m, d in found.items())))
        tables.append(Table(header, tuple(lines)))
    return tuple(tables)


def _sizes(summary: Summary) -> tuple[Table, ...]:
    found, tables = told(summary), []
    for by in dict.fromkeys(row.by for row in found):
        rows = [row for row in found if row.by == by]
        for names in _chunks(list(dict.fromkeys(row.name for row in rows)), MOST_INTERVALS):
            tables.append(_stratum([row for row in rows if row.name in names], names, summary))
    return tuple(tables)


def _stratum(rows: list[StratumRow], names: Sequence[str], summary: Summary) -> Table:
    digits = places(summary)
    first = {name: next(row for row in rows if row.name == name) for name in names}
    header = (Cell(f"contrast, by {rows[0].by}"), *(Cell(stratum_label(first[n])) for n in names))
    lines = []
    for row in summary.primary:
        mine = {r.name: r for r in rows if r.contrast == row.contrast}
        cells = (_change(mine[n].difference, digits[mine[n].metric]) for n in names)
        lines.append((_contrast(row), *cells))
    return Table(header, tuple(lines))


def stratum_label(row: StratumRow) -> str:
    """`small, 0.4–6 % (31 images)`; `no word (4 images)`."""
    images = count(row.images, "image")
    if row.metric == TEXT_FREE:
        return f"no word ({images})"
    if row.by in ("components", "words"):
        return f"{row.name.replace('-', '–')} ({images})"
    factor, unit = (1, "") if row.by == "outline" else (100, " %")
    low, high = (f"{factor * bound:.3g}" for bound in row.bounds)
    return f"{row.name}, {low}–{high}{unit} ({images})"


def _contrast(row: ContrastRow) -> Cell:
    return Cell(names=(row.contrast.arm, row.contrast.minus))


def _change(difference: Interval, digits: int) -> Cell:
    return Cell(change(difference, digits))


def change(difference: Interval, digits: int) -> str:
    """A difference with its interval, alone where it has none; an em dash where it is unknown."""
    digits = finer(difference, digits)
    mean, interval = number(difference.mean, digits, signed=True), span(difference, digits)
    return mean if interval == DASH else f"{mean} {interval}"


def _chunks(items: Sequence[str], most: int) -> list[Sequence[str]]:
    """Parts of nearly the same length, none above `most`."""
    parts = max(1, math.ceil(len(items) / most))
    cuts = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[a:b] for a, b in pairwise(cuts)]
