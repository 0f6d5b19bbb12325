"""What the tables say: planted outcomes are named, and nothing stronger than the statistics."""

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.latex import latex
from analysis.load import load
from analysis.metrics import METRICS, WORKS, direction, variants_table
from analysis.notes import finer, footnotes, number, p_value, ranges, section_notes, shorten
from analysis.numbers import numbers_tex
from analysis.sections import MOST_INTERVALS, MOST_MEANS, sections
from analysis.stats import Interval
from analysis.strata import strata
from analysis.summary import Summary, summarise
from analysis.tables import CSV_COLUMNS, markdown, table_csv
from analysis.trace import trace

from .conftest import write_grid

PLANTED = {"none": -0.03, "released": -0.03, "bce": 0.0, "mae": -0.03}
TWO: dict[str, Any] = {"arms": ("bce", "mae"), "contrasts": (("mae", "bce"),)}


def summary_of(make_grid: Any, **settings: Any) -> Summary:
    return summarise(load(make_grid(**settings)))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Four arms, three contrasts of known outcome, six images, gradients predicted by two."""
    folder = tmp_path_factory.mktemp("planted")
    write_grid(folder, effects=PLANTED, images=6, gradient=("bce", "mae"))
    return summarise(load(folder))


def rows_of(summary: Summary) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table_csv(summary))))


def lines_of(text: str, start: str) -> list[str]:
    """The first table below a line that begins with `start`, without its ruler."""
    lines = text.splitlines()
    below = lines[next(i for i, line in enumerate(lines) if line.startswith(start)) :]
    first = next(i for i, line in enumerate(below) if line.startswith("|"))
    count = next(i for i, line in enumerate([*below[first:], ""]) if not line.startswith("|"))
    return [line for line in below[first : first + count] if not re.match(r"\| -", line)]


def test_planted_outcomes_get_their_verdicts_in_every_table(planted: Summary) -> None:
    judged = {str(row.contrast): row.judged for row in planted.primary}
    assert judged == {
        "released − none": "equivalent",
        "bce − released": "better",
        "mae − bce": "worse",
    }
    for text in (markdown(planted), latex(planted), table_csv(planted)):
        assert all(word in text for word in ("equivalent", "better", "worse"))


def test_a_noisy_difference_is_undecided(make_grid: Any) -> None:
    summary = summary_of(make_grid, noise=0.02, seeds=6)
    assert {row.judged for row in summary.primary} == {"undecided"}
    assert "**" not in "".join(lines_of(markdown(summary), "| arm"))


def test_less_is_better_where_the_metric_points_down(make_grid: Any) -> None:
    summary = summary_of(make_grid, **TWO, effects={"mae": 0.03}, primary="MAE", guards=["IoU"])
    (row,) = summary.primary
    assert row.difference.high < 0
    assert row.judged == "better"
    assert summary.arms["mae", "MAE"].best


def test_a_difference_between_zero_and_the_margin_is_undecided_and_said_to_have_a_sign(
    make_grid: Any,
) -> None:
    text = markdown(summary_of(make_grid, **TWO, effects={"mae": 0.006}))
    assert "| undecided | 8 |" in text
    assert "Undecided although the interval excludes 0" in text
    assert "mae − bce (above 0)" in text


def test_the_best_arm_is_bold_and_the_second_underlined_only_if_separated_from_every_other(
    make_grid: Any,
) -> None:
    alone = summary_of(make_grid, effects={"mae": 0.03, "bce": 0.01}, seeds=6)
    none, released, bce, mae = lines_of(markdown(alone), "| arm")[1:]
    assert mae.count("**") == 2 * len(alone.shown)
    assert bce.count("<u>") == len(alone.shown)
    assert "**" not in none + released + bce
    assert "<u>" not in none + released + mae
    assert r"\textbf{" in latex(alone)
    assert r"\underline{" in latex(alone)
    tied = summary_of(make_grid, effects={"mae": 0.03, "bce": 0.03})
    arms = "".join(lines_of(markdown(tied), "| arm"))
    assert "**" not in arms
    assert "<u>" not in arms


def test_the_smallest_possible_p_and_the_family_are_printed(planted: Summary) -> None:
    text = markdown(planted)
    assert "smallest possible p 0.0078" in text
    assert "adjusted for the 3 contrasts of F_weighted" in text
    assert "MAE, BIoU: guards, intervals for this test set, no test." in text


def test_both_intervals_stand_labelled_beside_each_difference(planted: Summary) -> None:
    header, *rows = lines_of(markdown(planted), "## Contrasts")
    assert "this test set, 95 % | new images of this kind, 95 %" in header
    for line, row in zip(rows, planted.primary, strict=True):
        assert row.new_images is not None
        assert row.new_images.half > row.difference.half
        for interval in (row.difference, row.new_images):
            low, high = (number(v, 4, signed=True) for v in (interval.low, interval.high))
            assert f"| [{low}, {high}] |" in line


def test_without_new_images_to_speak_for_there_is_one_interval(make_grid: Any) -> None:
    summary = summary_of(make_grid, **TWO, seeds=6, images=1)
    assert "new images" not in markdown(summary).lower()


def test_effect_sizes_and_superiority_are_told_with_their_interval(planted: Summary) -> None:
    text = markdown(planted)
    assert "| contrast | effect size d_z | P(A > B) | 95 % | smallest detectable |" in text
    assert re.search(r"\| `mae` − `bce` \| −\d+\.\d\d \| 0.00 \| \[0.00, 0.37\] \|", text)
    assert re.search(r"\| `bce` − `released` \| \+\d+\.\d\d \| 1.00 \| \[0.63, 1.00\] \|", text)


def test_outcomes_are_a_table_of_their_own_with_dashes_for_arms_that_have_none(
    planted: Summary,
) -> None:
    header, *rows = lines_of(markdown(planted), "## How the arms learned")
    assert header == "| arm | steps_90 ↓ | G_MAE ↓ | G_corr ↑ | n |"
    assert re.fullmatch(r"\| `none` \| [*\d.]+ ± [\d.]+ \| — \| — \| 8 \|", rows[0])
    assert "—" not in rows[3]


def test_the_primary_metric_is_shown_in_every_stratum(planted: Summary) -> None:
    text = markdown(planted)
    for by in ("area", "outline", "components"):
        header, *rows = lines_of(text, f"| contrast, by {by}")
        images = [int(n) for n in re.findall(r"\((\d+) images?\)", header)]
        assert sum(images) == 6
        assert [line.split(" |")[0] for line in rows] == [
            f"| `{row.contrast.arm}` − `{row.contrast.minus}`" for row in planted.primary
        ]


def test_no_table_is_wider_than_a_page(make_grid: Any) -> None:
    guards = ["MAE", "BIoU", "IoU", "S", "F_max", "E_max"]
    for section in sections(summary_of(make_grid, seeds=2, guards=guards)):
        for table in section.tables:
            cells = {len(row) for row in (table.header, *table.rows)}
            most = MOST_MEANS + 2 if section.slug in ("arms", "contrasts") else MOST_INTERVALS + 2
            assert len(cells) == 1
            assert cells.pop() <= most


def test_only_the_primary_metric_is_tested(planted: Summary) -> None:
    for row in rows_of(planted):
        tested = row["kind"] == "contrast" and row["metric"] == "F_weighted"
        assert bool(row["p_adjusted"]) == bool(row["verdict"]) == bool(row["t"]) == tested


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
    assert "Unfinished: 2 of 32 runs are not in this table" in text
    assert "failed: none seed 0; missing: mae seed 7" in text
    assert "smallest possible p 0.0312" in text


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


NASTY = r"50%_$x^2 & {a}\b #~<|>"


def test_names_with_specials_keep_markdown_tables_whole(make_grid: Any) -> None:
    summary = summary_of(
        make_grid, arms=("bce", NASTY), contrasts=((NASTY, "bce"),), seeds=2, question=NASTY
    )
    for start in ("| arm", "## Contrasts", "## Guards"):
        lines = lines_of(markdown(summary), start)
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_a_published_variant_is_named_in_header_note_and_csv(
    make_grid: Any, planted: Summary
) -> None:
    summary = summary_of(make_grid, **TWO, seeds=2, variant="published")
    text = markdown(summary)
    assert "| arm (metrics as published) | F_weighted ↑ |" in text
    assert "Metrics, published variant: every prediction is rounded to 8 bits" in text
    assert "arm (metrics as published)" in latex(summary)
    assert {row["variant"] for row in rows_of(summary)} == {"published"}
    assert "published variant" not in markdown(planted)


def test_every_section_has_its_notes_and_every_note_its_section(
    planted: Summary, make_grid: Any
) -> None:
    for summary in (planted, summary_of(make_grid, arms=("bce",), seeds=1, images=1)):
        notes = section_notes(summary)
        shown = {section.slug for section in sections(summary)}
        assert shown == {slug for slug, sentences in notes.items() if sentences}
        assert all(note.endswith(".") for note in footnotes(summary))


def test_the_csv_is_tidy_and_holds_every_number(planted: Summary) -> None:
    rows = rows_of(planted)
    assert tuple(rows[0]) == CSV_COLUMNS
    keys = [(r["kind"], r["arm"], r["minus"], r["metric"], r["stratum_by"], r["stratum"])
            for r in rows]  # fmt: skip
    assert len(set(keys)) == len(keys)
    kinds = [row["kind"] for row in rows]
    assert kinds.count("arm") == 4 * len(planted.metrics)
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


def test_every_metric_and_every_work_is_in_the_table_of_variants() -> None:
    text = variants_table()
    for metric in METRICS:
        assert f"| {metric} {'↑' if direction(metric) == 'up' else '↓'} |" in text
    for work in WORKS:
        assert f"| {work.name} |" in text
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line]
    assert set(widths) == {4}


def test_every_work_that_a_metric_cites_was_read() -> None:
    names = {work.name.split(" (")[0] for work in WORKS}
    cited = re.compile(r"\b[A-Z][\w-]*(?:Net|PSP|UDUN|P3M)[\w-]*|\bUDUN\b|\bP3M\b")
    found = {name for metric in METRICS.values() for name in cited.findall(metric.reported)}
    assert found == names
