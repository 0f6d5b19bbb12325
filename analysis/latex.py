"""The tables of a grid as LaTeX (booktabs), in plain ASCII whatever the names are."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from analysis.metrics import METRICS, direction
from analysis.notes import section_notes
from analysis.sections import Cell, Section, Table, sections
from analysis.summary import Summary

MOST_ROWS = 25  # of a float: with its notes it must fit a page


def latex(summary: Summary) -> str:
    r"""`table*` floats for each section of `analysis.sections`, for \input, of at most 25 rows.

    The preamble needs \usepackage{booktabs} and \usepackage{graphicx}; every engine compiles it,
    and tables too wide for the text are shrunk to it. Each float says where it comes from and
    what its intervals are; what arms and contrasts are about and the footnotes stand below the
    section's last one.
    """
    grid = summary.grid
    parts = [r"% needs \usepackage{booktabs,graphicx}"]
    notes = section_notes(summary)
    for section in sections(summary):
        caption = f"{tex(grid.question)} {_title(section)}"
        label = f"tab:{_label(grid.name)}-{_label(grid.preset)}-{section.slug}"
        pages = _pages(section.tables)
        for index, page in enumerate(pages):
            words = f"{caption} (continued)." if index else f"{caption}."
            key = f"{label}-{index + 1}" if index else label
            last = index == len(pages) - 1
            parts += _float(page, words, key, _said(summary, section.slug, notes if last else {}))
    return "\n".join(parts) + "\n"


def _said(summary: Summary, slug: str, notes: dict[str, list[str]]) -> list[str]:
    """The section's notes, if any, after where the float is from and what its intervals are,
    unless a note says it already."""
    said = notes.get(slug, [])
    grid = summary.grid
    digest = f"digest {grid.data_digest[:12]}"
    origin = (
        f"Grid {grid.name}, preset {grid.preset}; data {grid.data_name} ({digest}); commit "
        f"{grid.commit or 'unknown'}."
    )
    head = [] if any(digest in note for note in said) else [origin]
    head += [] if any("95 %" in note for note in said) else [_INTERVALS[slug]]
    return [*head, *said]


_INTERVALS = {
    "arms": "Mean ± half the 95 % Student t interval over seeds, for this test set.",
    "contrasts": "Intervals: 95 %, of differences paired by seed.",
    "guards": "Differences paired by seed with 95 % Student t intervals, for this test set.",
    "outcomes": "Means ± half the interval and differences with it: 95 % Student t over seeds.",
    "sizes": "Differences paired by seed with 95 % Student t intervals, for this test set.",
    "further": "Mean ± half the 95 % Student t interval over seeds, for this test set.",
}


def _label(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)


def _pages(tables: Sequence[Table]) -> list[list[Table]]:
    """The tables in groups of at most MOST_ROWS rows, longer ones cut."""
    pages: list[list[Table]] = [[]]
    for table in tables:
        for start in range(0, len(table.rows), MOST_ROWS):
            part = slice(start, start + MOST_ROWS)
            rows = table.rows[part]
            cut = replace(table, rows=rows, about=table.about[part])
            if sum(len(there.rows) for there in pages[-1]) + len(rows) > MOST_ROWS:
                pages.append([])
            pages[-1].append(cut)
    return pages


def _title(section: Section) -> str:
    metric = _metric(section.metric) if section.metric else ""
    return " ".join(part for part in (tex(section.title), metric, tex(section.tail)) if part)


def _float(tables: list[Table], caption: str, label: str, notes: list[str]) -> list[str]:
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}\label{{{label}}}\par\smallskip",
    ]
    for table in tables:
        lines += [_SHRUNK, *_tabular(table), r"}\par\smallskip"]
    about = [_about(table) for table in tables if table.about]
    text = " ".join(part for part in [*about, *map(_prose, notes)] if part)
    lines.append(rf"\begin{{minipage}}{{\linewidth}}\sloppy\scriptsize {text}\end{{minipage}}")
    return [*lines, r"\end{table*}"]


# To the width of the text, where it is wider.
_SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def _tabular(table: Table) -> list[str]:
    """The first column wraps where a name is longer than the other columns leave room for."""
    numbers = len(table.header) - 1
    share = 0.2 if numbers > 4 and not _pairs(table) else 0.27
    longest = max(_printed(_plain_name(row[0])) for row in table.rows)
    wraps = longest > 90 * share  # characters of 8 pt that surely fit
    spec = (rf"p{{{share}\linewidth}}" if wraps else "l") + "r" * numbers
    rows = [[_cell(cell) for cell in row] for row in (table.header, *table.rows)]
    if wraps:
        rows = [[rf"\raggedright {first}", *rest] for first, *rest in rows]
    lines = [" & ".join(_guard(cells)) + r" \\" for cells in rows]
    return [
        rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _printed(text: str) -> int:
    """How many characters `text` is on paper: one of an unknown script is its code point."""
    parts = map(_character, " ".join(unicodedata.normalize("NFC", text).split()))
    return sum(len(part) if part.startswith("[U+") else 1 for part in parts)


def _pairs(table: Table) -> bool:
    return len(table.rows[0][0].names) > 1


def _plain_name(cell: Cell) -> str:
    return f"{' - '.join(cell.names)}{cell.text} {cell.tail}"


def _guard(cells: list[str]) -> list[str]:
    """A first cell that starts with [ or * would be read as an argument of the `\\` before it."""
    return ["{}" + cells[0], *cells[1:]] if cells[0].startswith(("[", "*")) else cells


def _cell(cell: Cell) -> str:
    if cell.metric:
        return _metric(cell.metric)
    text = r"$n$" if cell.text == "n" else _prose(cell.text)
    if cell.look != "plain":
        text = rf"\{'textbf' if cell.look == 'bold' else 'underline'}{{{text}}}"
    names = " $-$ ".join(map(_breakable, cell.names))
    tail = tex(cell.tail) if cell.names else rf"{{\scriptsize {tex(cell.tail)}}}"
    return f"{names}{text}" + (f" {tail}" if cell.tail else "")


def _prose(text: str) -> str:
    """A sentence with the metrics and statistics it names as the headers write them."""
    return _NAMED.sub(lambda found: _SYMBOLS[found[0]], tex(text))


def _metric(name: str) -> str:
    return rf"{METRICS[name].tex} $\{'up' if direction(name) == 'up' else 'down'}arrow$"


def _about(table: Table) -> str:
    pairs = zip(table.rows, table.about, strict=True)
    parts = [f"{' $-$ '.join(map(tex, row[0].names))}: {tex(word)}" for row, word in pairs if word]
    return "; ".join(parts) + "." if parts else ""


def _breakable(name: str) -> str:
    """A name that may break after any character that is no letter or digit, in long words, and
    between code points."""
    parts = []
    for word, run in groupby(name, lambda c: None if c.isspace() else c.isalnum()):
        text = "".join(run)
        step = 8 if word and len(text) > 12 else len(text)
        step = 1 if "[U+" in tex(text) else step
        parts += [tex(text[i : i + step]) or " " for i in range(0, len(text), step)]
    return r"\allowbreak{}".join(parts)


_TEX = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "·": r"$\cdot$",
    "°": r"$^\circ$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}
_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327",
                    "`'^~=u.\"rHvc", strict=True))  # fmt: skip
# Letters with a command of their own, by their names in Unicode.
_GREEK = {
    "SMALL": "ALPHA BETA GAMMA DELTA EPSILON ZETA ETA THETA IOTA KAPPA LAMDA MU NU XI PI RHO "
    "SIGMA TAU UPSILON PHI CHI PSI OMEGA",
    "CAPITAL": "GAMMA DELTA THETA LAMDA XI PI SIGMA UPSILON PHI PSI OMEGA",
}


def tex(text: str) -> str:
    """Text as ASCII LaTeX on one line: specials escaped, accents and Greek as commands, any
    other character as its code point, [U+6A21], which no engine or font trips over. Two hyphens
    stay two: --option is no dash."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    return "-{}-".join("".join(map(_character, part)) for part in line.split("--"))


def _character(character: str) -> str:
    if character in _TEX:
        return _TEX[character]
    if character.isascii() and character.isprintable():
        return character
    base, mark = (*unicodedata.normalize("NFD", character), "")[:2]
    if base.isascii() and mark in _ACCENTS:
        return rf"\{_ACCENTS[mark]}{{{base}}}"
    size, _, greek = unicodedata.name(character, "").removeprefix("GREEK ").partition(" LETTER ")
    if greek in _GREEK.get(size, "").split():
        command = greek.lower().replace("lamda", "lambda")
        return rf"\ensuremath{{\{command.title() if size == 'CAPITAL' else command}}}"
    plain = unicodedata.normalize("NFKC", character)
    if plain.isascii() and plain.isprintable():
        raised = "SUPERSCRIPT" in unicodedata.name(character)
        return rf"\textsuperscript{{{tex(plain)}}}" if raised else tex(plain)
    return f"[U+{ord(character):04X}]"


_SYMBOLS = {tex(name): metric.tex for name, metric in METRICS.items() if "_" in name}
_SYMBOLS |= {"p (adjusted)": "$p$ (adjusted)", tex("d_z"): "$d_z$", tex("P(A > B)"): "$P(A > B)$"}
_NAMED = re.compile("|".join(map(re.escape, _SYMBOLS)))
