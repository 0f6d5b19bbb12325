"""What the tables say: planted outcomes are named, and nothing stronger than the statistics."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analysis.latex import latex, tex
from analysis.load import load
from analysis.notes import number, p_value, ranges, shorten
from analysis.summary import Summary, summarise
from analysis.tables import markdown, table_csv


def summary_of(make_grid: Any, **settings: Any) -> Summary:
    return summarise(load(make_grid(**settings)))


def rows_of(summary: Summary) -> dict[tuple[str, str, str], dict[str, str]]:
    found = csv.DictReader(io.StringIO(table_csv(summary)))
    return {(row["arm"], row["minus"], row["metric"]): row for row in found}


PLANTED = {"none": -0.03, "released": -0.03, "bce": 0.0, "mae": -0.03}


def test_planted_outcomes_get_their_verdicts_in_every_table(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects=PLANTED)
    judged = {str(row.contrast): row.judged for row in summary.primary}
    assert judged == {
        "released − none": "equivalent",
        "bce − released": "better",
        "mae − bce": "worse",
    }
    for text in (markdown(summary), latex(summary), table_csv(summary)):
        assert all(word in text for word in ("equivalent", "better", "worse"))


def test_a_noisy_difference_is_undecided(make_grid: Any) -> None:
    summary = summary_of(make_grid, noise=0.02)
    assert {row.judged for row in summary.primary} == {"undecided"}
    assert "**" not in markdown(summary)


def test_less_is_better_where_the_metric_points_down(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects={"mae": 0.03}, primary="MAE", guards=["IoU"])
    row = {str(row.contrast): row for row in summary.primary}["mae − bce"]
    assert row.difference.high < 0
    assert row.judged == "better"
    assert summary.arms["mae", "MAE"].best


def test_a_difference_between_zero_and_the_margin_is_undecided_and_said_to_have_a_sign(
    make_grid: Any,
) -> None:
    summary = summary_of(make_grid, effects={"mae": 0.006})
    assert {str(r.contrast): r.judged for r in summary.primary}["mae − bce"] == "undecided"
    assert "Undecided although the interval excludes 0" in markdown(summary)
    assert "mae − bce (above 0)" in markdown(summary)


def test_the_best_arm_is_bold_only_if_separated_from_every_other(make_grid: Any) -> None:
    alone = summary_of(make_grid, effects={"mae": 0.03})
    assert [row.arm for row in alone.arms.values() if row.best] == ["mae"] * len(alone.metrics)
    assert r"\textbf{" in latex(alone)
    tied = summary_of(make_grid, effects={"mae": 0.03, "bce": 0.03})
    assert not any(row.best for row in tied.arms.values())
    assert r"\textbf{" not in latex(tied)


def test_the_smallest_possible_p_and_the_family_are_printed(make_grid: Any) -> None:
    text = markdown(summary_of(make_grid, effects=PLANTED))
    assert "smallest possible p 0.0078" in text
    assert "adjusted for the 3 contrasts of F_weighted" in text
    assert "MAE, BIoU: guards, intervals only, no test." in text


def test_only_the_primary_metric_is_tested(make_grid: Any) -> None:
    for (_, minus, metric), row in rows_of(summary_of(make_grid, effects=PLANTED)).items():
        tested = bool(minus) and metric == "F_weighted"
        assert bool(row["p_adjusted"]) == bool(row["verdict"]) == bool(row["t"]) == tested
        assert "" not in (row["low"], row["high"])


@pytest.mark.parametrize("seeds", [2, 5])
def test_below_six_seeds_there_is_no_p_and_no_verdict_but_a_reason(
    make_grid: Any, seeds: int
) -> None:
    summary = summary_of(make_grid, effects=PLANTED, seeds=seeds)
    text = markdown(summary)
    assert summary.flip is None
    assert {row.judged for row in summary.primary} == {None}
    assert f"No p: only {seeds} seeds complete in all arms" in text
    assert "No verdict below 6 seeds." in text
    assert "| — | — |" in text
    assert "**" not in text


def test_seeds_that_joined_after_a_table_are_told(make_grid: Any) -> None:
    folder = make_grid(seeds=8)
    assert "joined after" not in markdown(summarise(load(folder)))
    plan = json.loads((folder / "grid.json").read_text())
    (folder / "grid.json").write_text(json.dumps({**plan, "seeds_added": [6, 7]}))
    told = "seeds 0–7, of which 6–7 joined after a table had been written."
    assert told in markdown(summarise(load(folder)))


def test_a_preset_that_is_no_evidence_prints_no_test_whatever_its_seeds(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects=PLANTED, test=False, preset="smoke")
    assert {(row.judged, row.p) for row in summary.primary} == {(None, None)}
    table = "\n".join(line for line in markdown(summary).splitlines() if line.startswith("|"))
    for text in (table, latex(summary)):
        assert not re.search(r"better|worse|equivalent|undecided|adj|\\textbf|\*\*", text)
    assert "a check of the machinery and not evidence" in markdown(summary)
    assert {row["p_adjusted"] + row["verdict"] for row in rows_of(summary).values()} == {""}


def test_contrasts_use_their_own_seeds_and_the_joint_test_those_complete_in_all(
    make_grid: Any,
) -> None:
    absent = {("none", 0): "failed", ("mae", 7): "missing"}
    summary = summary_of(make_grid, absent=absent)
    seeds = {str(row.contrast): row.seeds for row in summary.primary}
    assert seeds == {
        "released − none": (1, 2, 3, 4, 5, 6, 7),
        "bce − released": (0, 1, 2, 3, 4, 5, 6, 7),
        "mae − bce": (0, 1, 2, 3, 4, 5, 6),
    }
    assert summary.joint_seeds == (1, 2, 3, 4, 5, 6)
    text = markdown(summary)
    assert "Unfinished: 2 of 32 runs are not in this table" in text
    assert "failed: none seed 0; missing: mae seed 7" in text
    assert "smallest possible p 0.0312" in text


def test_an_arm_without_any_run_is_a_row_of_dashes(make_grid: Any) -> None:
    summary = summary_of(make_grid, absent={("mae", seed): "missing" for seed in range(8)})
    text = markdown(summary)
    assert re.search(r"\| `mae` (\| — ){5}\| 0 \|", text)
    assert "missing: mae seeds 0–7" in text
    assert summary.flip is None
    assert not any(row.best for row in summary.arms.values())


def test_one_seed_one_arm_and_one_image_make_a_table_without_intervals(make_grid: Any) -> None:
    summary = summary_of(make_grid, arms=("bce",), seeds=1, images=1)
    text = markdown(summary)
    assert "The grid names no contrasts." in text
    assert re.search(r"\| `bce` \(baseline\) \| 0\.\d{4} \|", text)
    assert "1 test image;" in text
    assert "contrasts}" not in latex(summary)


def test_identical_arms_differ_by_zero_with_p_one(make_grid: Any) -> None:
    folder = make_grid(arms=("bce", "mae"), contrasts=(("mae", "bce"),))
    for seed in range(8):
        shutil.copy(folder / f"runs/0-{seed}/per_image.parquet", folder / f"runs/1-{seed}")
    summary = summarise(load(folder))
    (row,) = summary.primary
    assert (row.difference.mean, row.difference.low, row.difference.high) == (0, 0, 0)
    assert (row.p, row.judged) == (1.0, "equivalent")
    assert "| 0.0000 | [0.0000, 0.0000] | 1.0000 | equivalent |" in markdown(summary)
    assert "nan" not in table_csv(summary)


def test_constant_metrics_have_intervals_of_no_width_and_no_nan(make_grid: Any) -> None:
    folder = make_grid(arms=("bce", "mae"), contrasts=(("mae", "bce"),))
    for seed in range(1, 8):
        for arm in (0, 1):
            source = folder / f"runs/{arm}-0/per_image.parquet"
            shutil.copy(source, folder / f"runs/{arm}-{seed}")
    (row,) = summarise(load(folder)).primary
    assert row.difference.low == row.difference.high == row.difference.mean != 0
    assert row.p == 2 / 2**8
    assert "nan" not in table_csv(summarise(load(folder)))


NASTY = r"50%_$x^2 & {a}\b #~<|>"


def braces_balance(text: str) -> bool:
    bare = re.sub(r"\\[{}\\]", "", text)
    return bare.count("{") == bare.count("}")


def test_names_with_specials_break_neither_latex_nor_markdown(make_grid: Any) -> None:
    arms = ("bce", NASTY)
    folder = make_grid(
        arms=arms, contrasts=((NASTY, "bce"),), question=f"Is {NASTY} good?", grid=NASTY
    )
    summary = summarise(load(folder))
    text = latex(summary)
    assert braces_balance(text)
    assert r"50\%\_\$x\textasciicircum{}2 \& \{a\}\textbackslash{}b \#" in text
    body = re.findall(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}(.*?)\\end\{tabular\}", text, re.S)
    for spec, table in body:
        for line in [line for line in table.splitlines() if line.endswith(r"\\")]:
            assert len(re.findall(r"(?<!\\)&", line)) == len(spec) - 1
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in _first_table(markdown(summary))}
    assert len(widths) == 1


def _first_table(text: str) -> list[str]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    return [line for line in lines[start : start + 4] if line.startswith("|")]


def test_a_first_cell_that_opens_a_bracket_is_no_argument_of_the_line_before(
    make_grid: Any,
) -> None:
    text = latex(summary_of(make_grid, arms=("bce", "[x]"), contrasts=(("[x]", "bce"),)))
    assert "\n{}[x] &" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX engine here")
def test_the_latex_compiles_as_it_is(make_grid: Any, tmp_path: Path) -> None:
    arms = ("bce", NASTY)
    summary = summarise(load(make_grid(arms=arms, contrasts=((NASTY, "bce"),))))
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}"
        f"\\begin{{document}}\n{latex(summary)}\\end{{document}}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)


def test_every_number_of_the_csv_reads_back_as_it_was(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects=PLANTED)
    rows = rows_of(summary)
    for row in summary.primary:
        read = rows[row.contrast.arm, row.contrast.minus, "F_weighted"]
        assert float(read["mean"]) == pytest.approx(row.difference.mean, rel=1e-9)
        assert float(read["p_adjusted"]) == row.p
        assert read["seeds"] == "0 1 2 3 4 5 6 7"
        assert read["commit"] == "abc123-dirty"


def test_numbers_are_spelled_without_negative_zero_and_with_a_true_minus() -> None:
    assert number(-0.00001, 4, signed=True) == "0.0000"
    assert number(-0.5, 2) == "−0.50"
    assert number(math.nan, 2) == "—"
    assert p_value(None) == "—"
    assert p_value(0.5**20) == "9.5e-07"
    assert ranges((0, 1, 2, 5)) == "0–2, 5"
    assert ranges(()) == "—"
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert tex("a−b — c") == "a$-$b --- c"
