"""What the tables say: planted outcomes are named, and nothing stronger than the statistics."""

import re
from typing import Any

import pandas as pd

from analysis import page
from analysis.figures import FIGURES
from analysis.latex import latex
from analysis.load import load
from analysis.notes import footnotes, section_notes
from analysis.numbers import numbers_tex
from analysis.sections import MOST_INTERVALS, MOST_MEANS, sections
from analysis.spelling import number
from analysis.summary import Summary, summarise
from analysis.tables import markdown, table_csv

from .tabled import TWO, lines_of, summary_of


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
    assert header == "| arm | steps_90 ↓ | G_MAE ↓ | G_corr ↑ | grad_share | n |"
    row = r"\| `none` \| [*\d.]+ ± [\d.]+ \| — \| — \| [\d.]+ ± [\d.]+ \| 8 \|"
    assert re.fullmatch(row, rows[0])
    assert "—" not in rows[3]


def test_each_arm_tells_how_strong_its_supervision_was(make_grid: Any) -> None:
    folder = make_grid(images=6, seeds=6)
    for run in (folder / "runs").iterdir():
        history = pd.read_csv(run / "history.csv")
        strength = (0.0, 0.1, 0.1, 0.0016)[int(run.name.split("-")[0])]  # as the arms stand
        history["grad_share"] = history["grad_share"].where(history["grad_share"].isna(), strength)
        history.to_csv(run / "history.csv", index=False)
    summary = summarise(load(folder))
    rows = lines_of(markdown(summary), "## How the arms learned")[1:]
    shares = {row.split("`")[1]: row.split(" | ")[-2] for row in rows}
    assert shares == {"none": "0", "released": "0.10 ± 0.00", "bce": "0.10 ± 0.00",
                      "mae": "0.0016 ± 0.0000"}  # fmt: skip
    assert [line for line in table_csv(summary).splitlines() if ",grad_share," in line][3:] == [
        line for line in table_csv(summary).splitlines() if line.startswith("arm,mae,,grad_share")
    ]
    assert "MaeGradShare}{\\ensuremath{0.0016}}" in numbers_tex(summary)
    assert any(note.startswith("grad_share: norm of") for note in footnotes(summary))


def test_a_gradient_branch_that_no_arm_taught_is_no_outcome(make_grid: Any) -> None:
    folder = make_grid(images=6, seeds=2, maps=True, gradient=("bce", "mae"))
    for history in folder.glob("runs/*/history.csv"):
        frame = pd.read_csv(history)
        frame.assign(grad_share=0 * frame["grad_share"]).to_csv(history, index=False)
    summary = summarise(load(folder))
    text = page.render(summary, {}, []) + numbers_tex(summary)
    for word in ("grad_share", "G_MAE", "G_corr", "GMAE", "GCorr"):
        assert word not in text + markdown(summary) + table_csv(summary)
    assert "steps_90" in markdown(summary)
    for stem in ("maps", "histograms"):
        assert FIGURES[stem](summary) is None
    assert FIGURES["curves"](summary) is not None


def test_every_measured_metric_has_its_means_in_a_table(planted: Summary) -> None:
    heads = [
        cell.metric
        for section in sections(planted)
        if section.slug in ("arms", "outcomes", "further")
        for table in section.tables
        for cell in table.header
        if cell.metric and table.rows[0][0].names[1:] == ()  # rows of arms
    ]
    assert sorted(heads) == sorted(planted.metrics)
    assert "## Further metrics, means by arm" in markdown(planted)


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
            means = section.slug in ("arms", "contrasts", "further")
            most = (MOST_MEANS if means else MOST_INTERVALS) + 2
            assert len(cells) == 1
            assert cells.pop() <= most


def test_every_section_has_its_notes_and_every_note_its_section(
    planted: Summary, make_grid: Any
) -> None:
    for summary in (planted, summary_of(make_grid, arms=("bce",), seeds=1, images=1)):
        notes = section_notes(summary)
        shown = {section.slug for section in sections(summary)}
        assert shown == {slug for slug, sentences in notes.items() if sentences}
        assert all(note.endswith(".") for note in footnotes(summary))
