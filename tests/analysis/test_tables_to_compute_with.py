"""The CSV, the spelling of numbers, names and variants in every text."""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import page
from analysis.latex import latex
from analysis.load import load
from analysis.metrics import METRICS, direction, variants_table
from analysis.numbers import numbers_tex
from analysis.sections import sections
from analysis.spelling import finer, number, p_value, ranges, shorten
from analysis.stats import Interval, verdict
from analysis.strata import strata
from analysis.summary import Summary, summarise
from analysis.tables import CSV_COLUMNS, markdown, table_csv
from analysis.trace import trace
from analysis.verdict import conclusion
from analysis.works import TEXT_WORKS, WORKS

from .tabled import TWO, lines_of, rows_of, summary_of


def test_only_the_primary_metric_is_tested(planted: Summary) -> None:
    for row in rows_of(planted):
        tested = row["kind"] == "contrast" and row["metric"] == "F_weighted"
        assert bool(row["p_adjusted"]) == bool(row["verdict"]) == bool(row["t"]) == tested


NASTY = r"50%_$x^2 & {a}\b #~<|>"


def test_what_markdown_would_read_as_markup_is_escaped(make_grid: Any) -> None:
    names = ("_a_ ~~b~~ F_weighted", "`tick` and ``two``", "&lt; &amp", "[x](y) <b>")
    question = "# 1. _Is_ &gt; it ~really~ so?"
    arms = ("bce", *names)
    text = markdown(
        summary_of(make_grid, arms=arms, contrasts=((names[1], "bce"),), seeds=2,
                   question=question, descriptions=dict(zip(arms, (*names, ""), strict=True)))
    )  # fmt: skip
    assert r"\# 1. \_Is\_ \&gt; it \~really\~ so?" in text.splitlines()
    assert r"\_a\_ \~\~b\~\~ F_weighted |" in text  # no emphasis inside a word
    assert "| ``` `tick` and ``two`` ``` |" in text
    assert r"\`tick\` and \`\`two\`\` |" in text
    assert r"\[x](y) \<b>" in text


def test_names_with_specials_keep_markdown_tables_whole(make_grid: Any) -> None:
    summary = summary_of(
        make_grid, arms=("bce", NASTY), contrasts=((NASTY, "bce"),), seeds=2, question=NASTY
    )
    for start in ("| arm", "## Contrasts", "## Guards"):
        lines = lines_of(markdown(summary), start)
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_a_published_variant_is_named_in_every_section_of_every_file(
    make_grid: Any, planted: Summary
) -> None:
    folder = make_grid(images=6, seeds=2, variant="published", gradient=("bce", "mae"))
    summary = summarise(load(folder))
    found = sections(summary)
    slugs = ["arms", "contrasts", "guards", "outcomes", "sizes", "further"]
    assert [one.slug for one in found] == slugs
    text = markdown(summary)
    assert "| arm (metrics as published) | F_weighted ↑ |" in text
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(titles) == len(found) - 1
    captions = re.findall(r"\\caption\{(.*)\}\\label", latex(summary))
    assert len(captions) == len(found)
    html = page.render(summary, {}, [])
    heads = re.findall("<h2>(.*)</h2>", html)[: len(found)]
    assert all("(metrics as published)" in title for title in (*titles, *captions, *heads))
    assert "Metrics, published variant: every prediction is rounded to 8 bits" in text
    assert "<p>Metrics, published variant: every prediction" in html
    assert {row["variant"] for row in rows_of(summary)} == {"published"}
    for plain in (markdown(planted), latex(planted), page.render(planted, {}, [])):
        assert "published variant" not in plain
        assert "as published" not in plain


def test_the_csv_is_tidy_and_holds_every_number(planted: Summary) -> None:
    rows = rows_of(planted)
    assert tuple(rows[0]) == CSV_COLUMNS
    keys = [(r["kind"], r["arm"], r["minus"], r["metric"], r["stratum_by"], r["stratum"])
            for r in rows]  # fmt: skip
    assert len(set(keys)) == len(keys)
    kinds = [row["kind"] for row in rows]
    assert kinds.count("arm") == 4 * (len(planted.metrics) + 1)  # and grad_share
    assert kinds.count("contrast") == 3 * len(planted.metrics)
    assert kinds.count("stratum") == len(strata(planted)) > 0
    assert {row["metric"] for row in rows} >= {"F_max", "E_max", "steps_90", "G_MAE", "G_corr"}
    assert not any("nan" in value for row in rows for value in row.values())


def test_every_number_of_the_csv_reads_back_as_it_was(planted: Summary) -> None:
    rows = {(r["kind"], r["arm"], r["minus"], r["metric"]): r for r in rows_of(planted)}
    for index, row in enumerate(planted.primary):
        read = rows["contrast", row.contrast.arm, row.contrast.minus, "F_weighted"]
        assert row.new_images is not None
        assert row.superiority is not None
        assert planted.flip is not None
        expected = {
            "mean": row.difference.mean, "low": row.difference.low, "high": row.difference.high,
            "sd": row.difference.sd, "new_low": row.new_images.low,
            "new_high": row.new_images.high, "t": planted.flip.t[index],
            "superiority": row.superiority.share, "superiority_low": row.superiority.low,
            "detectable_80": row.detectable,
        }  # fmt: skip
        assert {key: float(read[key]) for key in expected} == pytest.approx(expected, rel=1e-9)
        assert float(read["p_adjusted"]) == row.p
        assert read["seeds"] == "0 1 2 3 4 5 6 7"
        assert read["commit"] == "abc123-dirty"
    strata_rows = [row for row in rows_of(planted) if row["kind"] == "stratum"]
    for part, read in zip(strata(planted), strata_rows, strict=True):
        assert float(read["mean"]) == pytest.approx(part.difference.mean, rel=1e-9)
        assert (read["stratum"], read["images"]) == (part.name, str(part.images))


TEXTS = """
import sys
from pathlib import Path
from analysis import latex, load, numbers, summary, tables, trace
found = summary.summarise(load.load(Path(sys.argv[1])))
texts = [tables.markdown(found), tables.table_csv(found), latex.latex(found)]
texts += [numbers.numbers_tex(found), trace.trace(found, "mae - bce", "MAE")]
sys.stdout.buffer.write("\\f".join(texts).encode())
"""


def test_texts_depend_neither_on_the_locale_nor_on_hash_seeds(planted: Summary) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TEXTS, str(planted.results.folder)],
        env={**os.environ, "PYTHONHASHSEED": "1", "LC_ALL": "C"},
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
    texts = [markdown(planted), table_csv(planted), latex(planted), numbers_tex(planted)]
    assert done.stdout.decode().split("\f") == [*texts, trace(planted, "mae - bce", "MAE")]


def test_numbers_are_spelled_without_negative_zero_and_with_a_true_minus() -> None:
    assert number(-0.00001, 4, signed=True) == "0.0000"
    assert number(-0.5, 2) == "−0.50"
    assert number(math.nan, 2) == "—"
    assert p_value(None) == "—"
    assert p_value(0.5**20) == "9.5e-07"
    assert ranges((0, 1, 2, 5)) == "0–2, 5"
    assert ranges(()) == "—"
    assert shorten("abcdefghij", 5) == "ab…ij"


def test_an_interval_is_never_rounded_to_no_width() -> None:
    narrow = Interval(8, 0.0002, 0.00006, 0.00034, 0.0002)
    assert finer(narrow, 3) == 4
    assert finer(Interval(8, 0.0, 0.0, 0.0, 0.0), 3) == 3
    assert finer(Interval(1, 0.5, math.nan, math.nan, math.nan), 3) == 3
    assert finer(Interval(8, 0.5, 0.4, 0.6, 0.1), 3) == 3


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(-0.00049, 0.00057, 4), (0.0001, 0.009, 4), (-0.00002, 0.01, 5), (-0.01, -0.00004, 5),
     (0.0, 0.01, 3), (-1e-17, 0.01, 3), (0.0000001, 0.01, 6), (0.0006, 0.01, 3)],
)  # fmt: skip
def test_rounding_never_hides_on_which_side_of_0_an_interval_ends(
    low: float, high: float, digits: int
) -> None:
    interval = Interval(8, (low + high) / 2, low, high, 0.01)
    assert finer(interval, 3) == digits
    assert finer(Interval(8, 0.0, -high, -low, 0.01), 3) == digits


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(-0.02, -0.00502, 5), (-0.02, -0.0048, 3), (-0.02, -0.0056, 3), (-0.0051, 0.002, 4),
     (-0.0048, 0.002, 3), (0.005004, 0.02, 6), (0.0049, 0.02, 3)],
)  # fmt: skip
def test_rounding_never_makes_another_verdict_of_an_interval(
    low: float, high: float, digits: int
) -> None:
    interval = Interval(8, (low + high) / 2, low, high, 0.01)
    assert finer(interval, 3, margin=0.005) == digits
    assert finer(interval, 3) == 3
    read = replace(interval, low=round(low, digits), high=round(high, digits))
    judged, again = (verdict(i, margin=0.005, sign=1) for i in (interval, read))
    assert judged == again


def test_a_contrast_has_the_same_digits_in_every_text(make_grid: Any) -> None:
    summary = summary_of(make_grid, **TWO, effects={"mae": 0.006}, images=6)
    (row,) = summary.primary
    beyond = Interval(8, 0.006, 0.00502, 0.00698, 0.001)  # by less than four digits show
    row = replace(row, difference=beyond, judged="better")
    found = replace(summary, contrasts={**summary.contrasts, "F_weighted": (row,)})
    assert "| +0.00600 | [+0.00502, +0.00698] |" in markdown(found)
    assert "+0.00600, 95 % [+0.00502, +0.00698]" in conclusion(found)
    assert r"MaeVsBceLow}{\ensuremath{+0.00502}}" in numbers_tex(found)
    told = trace(found, "mae - bce", "F_weighted")
    assert "in the table: +0.00600 [+0.00502, +0.00698]" in told


def test_every_metric_and_every_work_is_in_the_table_of_variants() -> None:
    text = variants_table()
    for metric in METRICS:
        assert f"| {metric} {'↑' if direction(metric) == 'up' else '↓'} |" in text
    for work in (*WORKS, *TEXT_WORKS):
        assert f"| {work.name} |" in text
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line]
    assert set(widths) == {4}


def test_every_work_that_a_metric_cites_was_read() -> None:
    names = {work.name.split(" (")[0].removesuffix(" 1.x") for work in (*WORKS, *TEXT_WORKS)}
    cited = re.compile(
        r"\b[A-Z][\w-]*(?:Net|PSP|UDUN|P3M)[\w-]*|\b(?:UDUN|P3M|DB|PaddleOCR|mmocr|PAN)\b"
    )
    found = {name for metric in METRICS.values() for name in cited.findall(metric.reported)}
    assert found == names
