"""The tables of a grid: Markdown to read, CSV with every number (LaTeX: `analysis.latex`)."""

import csv
import io
import math

from analysis.metrics import arrow, direction
from analysis.notes import (
    footnotes,
    judgement,
    number,
    p_value,
    places,
    span,
)
from analysis.stats import Interval, effect_size, smallest_detectable
from analysis.summary import ContrastRow, Summary


def markdown(summary: Summary) -> str:
    """The arm table, the contrasts, the guards' differences and the footnote, as Markdown."""
    grid = summary.grid
    digits = places(summary)
    lines = [f"# {_md(grid.name)}, preset {_md(grid.preset)}", "", _md(grid.question), ""]
    header = ["arm", *(f"{m} {arrow(m)}" for m in summary.shown), "n", "what it is"]
    rows = []
    for arm in grid.arms:
        cells = [_md_mean(summary, arm, m, digits[m]) for m in summary.shown]
        seeds = len(summary.arms[arm, grid.primary].seeds)
        name = _code(arm) + (" (baseline)" if arm == grid.baseline else "")
        rows.append([name, *cells, str(seeds), _md(grid.descriptions.get(arm, ""))])
    lines += [*_md_table(header, rows), ""]
    if grid.contrasts:
        lines += ["## Contrasts", "", *_md_contrasts(summary), ""]
    else:
        lines += ["The grid names no contrasts.", ""]
    return "\n".join([*lines, *(f"- {_md(note)}" for note in footnotes(summary)), ""])


def _md_contrasts(summary: Summary) -> list[str]:
    grid = summary.grid
    digits = places(summary)[grid.primary]
    tested = ["p (adjusted)", "verdict"] if grid.test else []
    header = [f"contrast, {grid.primary} {arrow(grid.primary)}", "difference", "95 % interval"]
    rows = []
    for row in summary.primary:
        judged = [p_value(row.p), judgement(row)] if grid.test else []
        rows.append([*_md_difference(row, digits), *judged, str(row.difference.n),
                     _md(row.contrast.about)])  # fmt: skip
    lines = _md_table([*header, *tested, "n", "what it is about"], rows)
    if grid.guards:
        header = ["guards (no test)", *(f"{m} {arrow(m)}" for m in grid.guards)]
        lines += ["", *_md_table(header, [_md_guards(summary, i) for i in range(len(rows))])]
    return lines


def _md_difference(row: ContrastRow, digits: int) -> list[str]:
    name = f"{_code(row.contrast.arm)} − {_code(row.contrast.minus)}"
    mean = number(row.difference.mean, digits, signed=True)
    return [name, mean, span(row.difference, digits)]


def _md_guards(summary: Summary, index: int) -> list[str]:
    cells = []
    for metric in summary.grid.guards:
        row = summary.contrasts[metric][index]
        name, mean, interval = _md_difference(row, places(summary)[metric])
        cells.append(mean if mean == interval else f"{mean} {interval}")
    return [name, *cells]


def _md_mean(summary: Summary, arm: str, metric: str, digits: int) -> str:
    row = summary.arms[arm, metric]
    mean = number(row.mean.mean, digits)
    mean = f"**{mean}**" if row.best else mean
    return mean if math.isnan(row.mean.half) else f"{mean} ± {number(row.mean.half, digits)}"


def _md_table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    return [lines[0], "|" + " - |" * len(header), *lines[1:]]


def _md(text: str) -> str:
    """Plain text inside Markdown: nothing in it may start markup or end a table cell."""
    for character in "\\|*`<[":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def _code(name: str) -> str:
    """A name as code; a bar would end the table cell even there."""
    return "`" + " ".join(name.replace("`", "'").split()).replace("|", "\\|") + "`"


_CSV_COLUMNS = (
    "kind", "arm", "minus", "metric", "direction", "role", "n", "seeds", "mean", "low", "high",
    "sd", "t", "p_single", "p_adjusted", "verdict", "effect_size", "detectable_80", "about",
    "grid", "preset", "data", "data_digest", "code_digest", "commit",
)  # fmt: skip


def table_csv(summary: Summary) -> str:
    """Every number of the grid by every metric, one row per arm or contrast and metric."""
    grid = summary.grid
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    tail = [grid.name, grid.preset, grid.data_name, grid.data_digest, summary.results.code]
    for metric in summary.metrics:
        role = _role(summary, metric)
        for arm in grid.arms:
            row = summary.arms[arm, metric]
            head = ["arm", arm, "", metric, direction(metric), role]
            about = grid.descriptions.get(arm, "")
            numbers = [*_csv_interval(row.seeds, row.mean), *[""] * 6]
            writer.writerow([*head, *numbers, about, *tail, grid.commit])
        for index, pair in enumerate(summary.contrasts[metric]):
            head = ["contrast", pair.contrast.arm, pair.contrast.minus, metric]
            head += [direction(metric), role]
            numbers = _csv_interval(pair.seeds, pair.difference)
            numbers += _csv_test(summary, pair, index)
            writer.writerow([*head, *numbers, pair.contrast.about, *tail, grid.commit])
    return out.getvalue()


def _csv_interval(seeds: tuple[int, ...], interval: Interval) -> list[str]:
    numbers = (interval.mean, interval.low, interval.high, interval.sd)
    return [str(interval.n), " ".join(map(str, seeds)), *map(_plain, numbers)]


def _csv_test(summary: Summary, row: ContrastRow, index: int) -> list[str]:
    sd, n = row.difference.sd, row.difference.n
    if not summary.grid.test:
        return [""] * 6
    flip = summary.flip if row.p is not None else None
    return [
        _plain(flip.t[index] if flip else math.nan),
        _plain(flip.single[index] if flip else math.nan),
        _plain(row.p if row.p is not None else math.nan),
        row.judged or "",
        _plain(effect_size(row.difference)),
        _plain(smallest_detectable(sd, n)),
    ]


def _role(summary: Summary, metric: str) -> str:
    if metric == summary.grid.primary:
        return "primary"
    return "guard" if metric in summary.grid.guards else "other"


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.10g}"
