"""The LaTeX of a grid compiles as it is, whatever the names are, within the width of a page."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analysis.latex import MOST_ROWS, latex, tex
from analysis.load import load
from analysis.metrics import METRICS
from analysis.numbers import numbers_tex
from analysis.sections import sections
from analysis.summary import Summary, summarise

from .conftest import write_grid

SPECIALS = r"50%_$x^2 & {a}\b #~<|>" + '"'
UNICODE = "模型 β été ½ x² Ωł −5 ≤ “z” ﬁ"
LONG = "x" * 60
PAPER = r"""
\documentclass[letterpaper,COLUMNS]{article}
\usepackage[LAYOUT]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
\input{numbers}
MAE against BCE: \ToyLaptopMaeVsBceDiff{} [\ToyLaptopMaeVsBceLow, \ToyLaptopMaeVsBceHigh],
$p = \ToyLaptopMaeVsBceP$, \ToyLaptopMaeVsBceVerdict{} over \ToyLaptopMaeVsBceN{} seeds;
$\Delta = \ToyLaptopMaeVsBceMAEDiff$.
\input{table}

\noindent\rule{\dimexpr\linewidth+5pt}{1pt}
\end{document}
"""
# Widths of the text: article's own, 5.5 in (NeurIPS), 7 in (two columns).
LAYOUTS = {
    "345 pt": ("onecolumn", "textwidth=345pt,textheight=8.5in"),
    "5.5 in": ("onecolumn", "textwidth=5.5in,textheight=9in"),
    "7 in": ("twocolumn", "margin=0.75in"),
}
needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")


def compiled(summary: Summary, folder: Path, layout: str, paper: str = PAPER) -> str:
    """What pdflatex says of a paper with the tables and the macros."""
    for word, value in zip(("COLUMNS", "LAYOUT"), LAYOUTS[layout], strict=True):
        paper = paper.replace(word, value)
    (folder / "paper.tex").write_text(paper, encoding="ascii")
    (folder / "table.tex").write_text(latex(summary), encoding="ascii")
    (folder / "numbers.tex").write_text(numbers_tex(summary), encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    return said


def too_wide(said: str) -> list[str]:
    """Boxes that stick out by more than 3 pt, but for the rule of PAPER, which must be found."""
    found = re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", said)
    wide = [points for points in found if float(points) > 3]
    wide.remove("5.0")
    return wide


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Nine arms, eight contrasts, four guards, four digits in every number."""
    folder = tmp_path_factory.mktemp("large")
    arms = ("bce", "mae", *(f"region_adaptive_{i}" for i in range(7)))
    contrasts = tuple((arm, "bce") for arm in arms[1:])
    guards = ["MAE", "BIoU", "IoU", "S"]
    write_grid(folder, arms=arms, contrasts=contrasts, guards=guards, noise=2e-4, images=6,
               gradient=arms, seeds=6)  # fmt: skip
    return summarise(load(folder))


@needs_tex
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_large_grid_compiles_as_it_is_within_the_text_width(
    large: Summary, tmp_path: Path, layout: str
) -> None:
    assert too_wide(compiled(large, tmp_path, layout)) == []


@needs_tex
def test_a_table_of_many_arms_is_split_over_floats_that_fit_a_page(
    make_grid: Any, tmp_path: Path
) -> None:
    arms = ("bce", "mae", *(f"arm {i}" for i in range(27)))
    words = {arm: f"the loss {arm}, scaled by what it weighs at the start" for arm in arms}
    pairs = tuple((arm, "bce") for arm in arms[1:])
    summary = summarise(
        load(make_grid(arms=arms, contrasts=pairs, seeds=2, images=6, descriptions=words))
    )
    text = latex(summary)
    for part in text.split(r"\begin{table*}")[1:]:
        rows = sum(table.count(r"\\") - 1 for table in part.split(r"\begin{tabular}")[1:])
        assert 0 < rows <= MOST_ROWS
    assert [text.count(f" {arm} ") + text.count(f"{arm} &") > 0 for arm in arms] == [True] * 29
    said = compiled(summary, tmp_path, "345 pt")
    assert too_wide(said) == []
    assert "Float too large" not in said


def test_every_float_says_where_it_is_from_what_its_intervals_are_and_has_its_own_label(
    large: Summary,
) -> None:
    floats = latex(large).split(r"\begin{table*}")[1:]
    labels = [re.findall(r"\\label\{(.*?)\}", part) for part in floats]
    assert len({*map(tuple, labels)}) == len(floats)
    for part in floats:
        assert "Grid toy, preset laptop; data embedded (digest da7ada7ada7a)" in part
        assert "commit abc123-dirty" in part
        assert re.search(r"95 \\%.*over seeds|paired by seed", part)


def test_the_first_column_wraps_by_what_is_printed(make_grid: Any) -> None:
    def wraps(name: str) -> bool:
        pairs = ((name, "bce"),)
        text = latex(summarise(load(make_grid(arms=("bce", name), contrasts=pairs, seeds=2))))
        return r"\begin{tabular}{@{}p{" in text

    assert not wraps("%" * 8)  # two characters each in the file
    assert wraps("模" * 8)  # [U+6A21] each on paper


@needs_tex
@pytest.mark.parametrize("layout", LAYOUTS)
def test_specials_unicode_and_long_names_compile_within_the_text_width(
    make_grid: Any, tmp_path: Path, layout: str
) -> None:
    arms = ("bce", SPECIALS, UNICODE, LONG)
    contrasts = ((SPECIALS, "bce"), (UNICODE, SPECIALS), (LONG, UNICODE))
    folder = make_grid(
        arms=arms, contrasts=contrasts, question=f"{SPECIALS} or {UNICODE}?", grid=SPECIALS,
        seeds=6, images=6,
    )  # fmt: skip
    paper = re.sub(r"^MAE against.*?Diff\$\.\n", "", PAPER, flags=re.S | re.M)
    said = compiled(summarise(load(folder)), tmp_path, layout, paper)
    assert too_wide(said) == []


def test_the_latex_is_ascii_with_a_float_for_each_section(large: Summary) -> None:
    text = latex(large)
    assert text.isascii()
    labels = re.findall(r"\\label\{tab:toy-laptop-(\w+)\}", text)
    assert labels == [section.slug for section in sections(large)]
    for metric in large.shown:
        assert METRICS[metric].tex in text


def test_names_with_specials_are_escaped_and_rows_stay_whole(make_grid: Any) -> None:
    name = SPECIALS
    folder = make_grid(arms=("bce", name), contrasts=((name, "bce"),), question=name, seeds=2)
    text = latex(summarise(load(folder)))
    bare = re.sub(r"\\[{}\\]", "", text)
    assert bare.count("{") == bare.count("}")
    assert tex(name) in text
    assert tex(name) in text.replace(r"\allowbreak{}", "").split("tabular")[1]
    body = re.findall(r"\\begin\{tabular\}\{@\{\}(.+?)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.S)
    assert body
    for spec, table in body:
        columns = len(re.sub(r"p\{.*?\}", "l", spec))
        for line in [line for line in table.splitlines() if line.endswith(r"\\")]:
            assert len(re.findall(r"(?<!\\)&", line)) == columns - 1


def test_a_first_cell_with_a_bracket_or_star_is_no_argument_of_the_line_before(
    make_grid: Any,
) -> None:
    pairs = (("[x]", "bce"), ("*x", "bce"))
    text = latex(summarise(load(make_grid(arms=("bce", "[x]", "*x"), contrasts=pairs, seeds=2))))
    assert all(found in text for found in ("\n{}[", "\n{}*"))
    assert not any(found in text for found in ("\n[", "\n*"))


def test_text_becomes_commands_that_every_engine_knows() -> None:
    assert tex("a−b — c") == "a$-$b --- c"
    assert tex("été Łódź, Ñ") == r"\'{e}t\'{e} \L{}\'{o}d\'{z}, \~{N}"
    assert tex("β Ω²") == r"\ensuremath{\beta} \ensuremath{\Omega}\textsuperscript{2}"
    assert tex("e\u0301") == r"\'{e}"
    assert tex("模") == "[U+6A21]"
    assert tex("a\x00\tb\n c") == "a[U+0000] b c"
    assert tex(r"50% \ {x}") == r"50\% \textbackslash{} \{x\}"
