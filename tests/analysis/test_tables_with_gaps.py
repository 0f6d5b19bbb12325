"""Tables of few seeds, absent runs, arms that do not differ: nothing stronger than is known."""

import json
import math
import re
import shutil
from typing import Any

import pytest

from analysis.latex import latex
from analysis.load import load
from analysis.summary import summarise
from analysis.tables import markdown, table_csv

from .tabled import PLANTED, TWO, lines_of, rows_of, summary_of


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
    assert f"| — | — | {seeds} |" in text
    assert "**" not in text


def test_seeds_that_joined_after_a_table_are_told(make_grid: Any) -> None:
    folder = make_grid(**TWO)
    assert "joined after" not in markdown(summarise(load(folder)))
    plan = json.loads((folder / "grid.json").read_text())
    (folder / "grid.json").write_text(json.dumps({**plan, "seeds_added": [6, 7]}))
    told = "seeds 0–7, of which 6–7 joined after a table had been written."
    assert told in markdown(summarise(load(folder)))


def test_a_preset_that_is_no_evidence_prints_no_test_whatever_its_seeds(make_grid: Any) -> None:
    summary = summary_of(make_grid, effects=PLANTED, test=False, preset="smoke")
    assert {(row.judged, row.p) for row in summary.primary} == {(None, None)}
    text = markdown(summary)
    table = "".join(line for line in text.splitlines() if line.startswith("|"))
    assert not re.search(r"better|worse|equivalent|undecided|adj|d_z|\*\*|<u>", table)
    assert not re.search(r"\\textbf|\\underline|adj|undecided", latex(summary))
    assert "a check of the machinery and not evidence" in text
    assert {r["p_adjusted"] + r["verdict"] + r["effect_size"] for r in rows_of(summary)} == {""}


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
    assert "Unfinished: 2 of 32 runs are not here" in text
    assert "failed: none seed 0; missing: mae seed 7" in text
    assert "smallest possible p 0.0312" in text


AGAIN = "The same command runs what is missing."
COMPARE = "the paired differences do."


@pytest.mark.parametrize(
    ("states", "told", "untold"),
    [
        (["missing", "running"], [AGAIN, COMPARE], ["--retry", "flatter"]),
        (["failed"], ["then only by --retry all", "flatter it."], [AGAIN, COMPARE]),
        (["failed", "missing"], [AGAIN, "then only by --retry all", "flatter it."], [COMPARE]),
    ],
    ids=" and ".join,
)
def test_paired_differences_are_said_to_compare_only_where_no_run_failed(
    make_grid: Any, states: list[str], told: list[str], untold: list[str]
) -> None:
    summary = summary_of(make_grid, absent={("mae", i): one for i, one in enumerate(states)})
    text = markdown(summary)
    assert all(words in text for words in told)
    assert not any(words in text for words in untold)
    assert ("-{}-retry all" in latex(summary)) == ("failed" in states)


def test_the_t_of_a_row_is_that_of_its_own_seeds(make_grid: Any) -> None:
    summary = summary_of(make_grid, absent={("none", 0): "failed", ("mae", 7): "missing"})
    rows = [row for row in rows_of(summary) if row["t"]]
    assert [row["n"] for row in rows] == ["7", "8", "7"]
    for row in rows:
        mean, sd, n = (float(row[key]) for key in ("mean", "sd", "n"))
        assert float(row["t"]) == pytest.approx(mean / (sd / math.sqrt(n)), rel=1e-8)


def test_an_arm_without_any_run_is_a_row_of_dashes(make_grid: Any) -> None:
    absent = {("mae", seed): "missing" for seed in range(6)}
    summary = summary_of(make_grid, seeds=6, absent=absent)
    text = markdown(summary)
    assert re.search(r"\| `mae` (\| — ){5}\| 0 \|", text)
    assert "missing: mae seeds 0–5" in text
    assert summary.flip is None
    assert not any(row.best for row in summary.arms.values())


def test_one_seed_one_arm_and_one_image_make_a_table_without_intervals(make_grid: Any) -> None:
    summary = summary_of(make_grid, arms=("bce",), seeds=1, images=1)
    text = markdown(summary)
    assert "The grid names no contrasts." in text
    assert re.search(r"\| `bce` \(baseline\) \| 0\.\d{4} \|", text)
    assert "1 test image of 1 object;" in text
    assert "contrasts}" not in latex(summary)


def test_identical_arms_differ_by_zero_with_p_one(make_grid: Any) -> None:
    folder = make_grid(**TWO, images=6)
    for seed in range(8):
        for file in ("per_image.parquet", "history.csv"):
            shutil.copy(folder / f"runs/0-{seed}" / file, folder / f"runs/1-{seed}")
    summary = summarise(load(folder))
    (row,) = summary.primary
    assert (row.difference.mean, row.difference.low, row.difference.high) == (0, 0, 0)
    assert (row.p, row.judged) == (1.0, "equivalent")
    zero = "[0.0000, 0.0000]"
    assert f"| 0.0000 | {zero} | {zero} | 1.0000 | equivalent |" in markdown(summary)
    assert "| — | 0.50 | [0.16, 0.84] |" in markdown(summary)  # no d_z, all ties
    assert "nan" not in table_csv(summary)


def test_constant_metrics_have_intervals_of_no_width_and_no_nan(make_grid: Any) -> None:
    folder = make_grid(**TWO)
    for seed in range(1, 8):
        for arm in (0, 1):
            source = folder / f"runs/{arm}-0/per_image.parquet"
            shutil.copy(source, folder / f"runs/{arm}-{seed}")
    summary = summarise(load(folder))
    (row,) = summary.primary
    assert row.difference.low == row.difference.high == row.difference.mean != 0
    assert row.p == 2 / 2**8
    assert "nan" not in table_csv(summary)


def test_a_difference_without_an_interval_stands_alone(make_grid: Any) -> None:
    text = markdown(summary_of(make_grid, seeds=1))
    guards = lines_of(text, "## Guards")[1:]
    assert all(re.fullmatch(r"\| .* \| [+−]?[\d.]+ \| [+−]?[\d.]+ \|", line) for line in guards)
