"""The tables of a grid: Markdown to read, CSV with every number (LaTeX: `analysis.latex`)."""

import csv
import io
import math
import re

from analysis.metrics import arrow, direction
from analysis.notes import footnotes
from analysis.sections import Cell, Section, Table, sections
from analysis.shares import SHARE, gradient_shares
from analysis.stats import Interval, effect_size, student_t
from analysis.strata import strata
from analysis.summary import ContrastRow, Summary


def markdown(summary: Summary) -> str:
    """The sections of `analysis.sections` and the footnote, as Markdown."""
    grid = summary.grid
    lines = [
        f"# {md_text(grid.name)}, preset {md_text(grid.preset)}",
        "",
        md_text(grid.question),
        "",
    ]
    for section in sections(summary):
        lines += md_section(section)
    if not grid.contrasts:
        lines += ["The grid names no contrasts.", ""]
    return "\n".join([*lines, *(f"- {md_text(note)}" for note in footnotes(summary)), ""])


def md_section(section: Section) -> list[str]:
    """The lines of a section: its title, unless it holds the arms, and its tables."""
    metric = section.metric
    parts = ["##", section.title, f"{metric} {arrow(metric)}" if metric else "", section.tail]
    title = " ".join(part for part in parts if part)
    lines = [] if section.slug == "arms" else [title, ""]
    for table in section.tables:
        lines += [*md_table(table), ""]
    return lines


def md_table(table: Table) -> list[str]:
    """The lines of a table."""
    rows = [[*map(_md_cell, row)] for row in (table.header, *table.rows)]
    if table.about:
        words = ("about", *map(md_text, table.about))
        rows = [[*row, word] for row, word in zip(rows, words, strict=True)]
    ruler = ["-", *["-:"] * (len(table.header) - 1), *["-"] * bool(table.about)]
    return ["| " + " | ".join(row) + " |" for row in (rows[0], ruler, *rows[1:])]


def _md_cell(cell: Cell) -> str:
    names = " − ".join(map(_code, cell.names))
    if cell.metric:
        return f"{names}{cell.metric} {arrow(cell.metric)}"
    before, after = {"plain": ("", ""), "bold": ("**", "**"), "underlined": ("<u>", "</u>")}[
        cell.look
    ]
    return f"{names}{before}{cell.text}{after} {cell.tail}".rstrip()


def md_text(text: str) -> str:
    """Plain text inside Markdown: nothing in it may start markup or end a table cell."""
    line = " ".join(text.split())
    line = re.sub(r"[\\|*`<\[~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)
    line = re.sub(r"^(?=[#>]|[-+][- ])", r"\\", line)
    return re.sub(r"^(\d+)(?=[.)] )", r"\1\\", line)


def _code(name: str) -> str:
    """A name as code, in more backticks than it has; a bar would end the table cell even there."""
    line = " ".join(name.split()).replace("|", "\\|")
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if len(ticks) > 1 else ""
    return f"{ticks}{space}{line}{space}{ticks}"


# kind: arm, contrast or stratum (a contrast on the images of one size). role: primary, guard or
# other. n seeds, listed in `seeds`; mean and sd over them; low, high: 95 % interval for this test
# set, new_low, new_high for new images. t, p, verdict: of the primary metric's contrasts; t and
# verdict over the row's own seeds, both p over the seeds complete in all arms of the contrasts.
# superiority: share of seeds in which the first arm is better. detectable_80: in the metric's
# unit. place: best if separated from every other arm, then second.
CSV_COLUMNS = (
    "kind", "arm", "minus", "metric", "variant", "direction", "role", "stratum_by", "stratum",
    "stratum_low", "stratum_high", "images", "n", "seeds", "mean", "sd", "low", "high", "new_low",
    "new_high", "t", "p_single", "p_adjusted", "verdict", "effect_size", "superiority",
    "superiority_low", "superiority_high", "detectable_80", "place", "about", "grid", "preset",
    "data", "data_digest", "code_digest", "commit",
)  # fmt: skip


def table_csv(summary: Summary) -> str:
    """Every number of the grid as a tidy table: a row per arm or contrast and metric, and per
    contrast, metric and stratum. Columns are those of CSV_COLUMNS; a value that does not exist
    is empty; numbers have ten significant digits."""
    grid, results = summary.grid, summary.results
    same = {"variant": results.variant, "grid": grid.name, "preset": grid.preset}
    same |= {"data": grid.data_name, "data_digest": grid.data_digest}
    same |= {"code_digest": results.code, "commit": grid.commit}
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    rows = (*_csv_arms_and_contrasts(summary), *_csv_shares(summary), *_csv_strata(summary))
    for row in rows:
        turn = "" if row["metric"] == SHARE else direction(row["metric"])
        about = {"direction": turn, "role": _role(summary, row["metric"])}
        writer.writerow({**same, **about, **row})
    return out.getvalue()


def _csv_arms_and_contrasts(summary: Summary) -> list[dict[str, str]]:
    rows = []
    for metric in summary.metrics:
        for arm in summary.grid.arms:
            row = summary.arms[arm, metric]
            place = "best" if row.best else "second" if row.second else ""
            head = {"kind": "arm", "arm": arm, "metric": metric, "place": place}
            head["about"] = summary.grid.descriptions.get(arm, "")
            rows.append({**head, **_csv_interval(row.seeds, row.mean)})
        for index, pair in enumerate(summary.contrasts[metric]):
            head = {"kind": "contrast", **_csv_contrast(pair), "about": pair.contrast.about}
            numbers = _csv_interval(pair.seeds, pair.difference) | _csv_test(summary, pair, index)
            rows.append({**head, **numbers})
    return rows


def _csv_shares(summary: Summary) -> list[dict[str, str]]:
    rows = []
    for arm, share in gradient_shares(summary.results).items():
        seeds = summary.arms[arm, summary.grid.primary].seeds
        head = {"kind": "arm", "arm": arm, "metric": SHARE}
        rows.append({**head, **_csv_interval(seeds, share)})
    return rows


def _csv_strata(summary: Summary) -> list[dict[str, str]]:
    rows = []
    for row in strata(summary):
        numbers = _csv_interval((), row.difference)
        arms = {"arm": row.contrast.arm, "minus": row.contrast.minus, "metric": row.metric}
        size = {"stratum_by": row.by, "stratum": row.name, "images": str(row.images)}
        size |= {"stratum_low": _plain(row.bounds[0]), "stratum_high": _plain(row.bounds[1])}
        rows.append({"kind": "stratum", **arms, **size, **numbers})
    return rows


def _csv_contrast(row: ContrastRow) -> dict[str, str]:
    return {"arm": row.contrast.arm, "minus": row.contrast.minus, "metric": row.metric}


def _csv_interval(seeds: tuple[int, ...], interval: Interval) -> dict[str, str]:
    values = {"mean": interval.mean, "sd": interval.sd, "low": interval.low, "high": interval.high}
    numbers = {name: _plain(value) for name, value in values.items()}
    return {"n": str(interval.n), "seeds": " ".join(map(str, seeds)), **numbers}


def _csv_test(summary: Summary, row: ContrastRow, index: int) -> dict[str, str]:
    """Numbers of a contrast beside its interval; empty where no test was made."""
    new, found = row.new_images, row.superiority
    values = {"new_low": new.low, "new_high": new.high} if new else {}
    if summary.grid.test:
        values |= {"effect_size": effect_size(row.difference), "detectable_80": row.detectable}
        if found:
            values |= {"superiority": found.share, "superiority_low": found.low}
            values |= {"superiority_high": found.high}
    if summary.flip is not None and row.p is not None:
        values |= {"t": student_t(row.values), "p_single": summary.flip.single[index]}
        values |= {"p_adjusted": row.p}
    return {name: _plain(value) for name, value in values.items()} | {"verdict": row.judged or ""}


def _role(summary: Summary, metric: str) -> str:
    if metric == summary.grid.primary:
        return "primary"
    return "guard" if metric in summary.grid.guards else "other"


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.10g}"
