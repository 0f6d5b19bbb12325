"""Arms of text detection that find nothing: what they win and lose by it, and what is not said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import tables
from analysis.load import load
from analysis.notes import footnotes
from analysis.pooled import pooled
from analysis.strata import strata
from analysis.summary import Summary, summarise
from analysis.verdict import conclusion

from .text_grid import write_text_grid


def cells(summary: Summary, name: str) -> list[list[str]]:
    """The cells of the table rows of that name."""
    lines = tables.markdown(summary).splitlines()
    rows = [line for line in lines if line.startswith(f"| {name} ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows]


def test_an_arm_that_finds_nothing_scores_zero_and_is_compared(tmp_path: Path) -> None:
    summary = summarise(load(write_text_grid(tmp_path, silent=("dice",), seeds=6)))
    for metric, value in {"H_mean": 0, "precision": 0, "recall": 0, "P_textfree": 1}.items():
        assert summary.arms["dice", metric].mean.mean == value
    assert summary.primary[0].judged == "worse"
    assert "“dice” found no word in any seed." in conclusion(summary)


def test_two_arms_that_find_nothing_are_not_called_one_setting(tmp_path: Path) -> None:
    summary = summarise(load(write_text_grid(tmp_path, silent=("dice", "bce"), seeds=6)))
    assert summary.primary[0].identical
    text = conclusion(summary) + " ".join(footnotes(summary))
    assert "dentical" not in text
    assert "“bce” and “dice” found no word in any seed." in text
    assert "No word found in any seed: bce, dice." in text
    assert "No verdict below 6 seeds" not in text
    assert [row.silent for row in summary.primary] == [True, False]
    for metric in ("H_mean", "P_textfree"):
        row = summary.contrasts[metric][0]
        assert (row.p, row.judged, row.new_images, row.superiority) == (None,) * 4
        assert np.isnan([row.difference.low, row.difference.sd, row.detectable]).all()
    dashed = [set(line[3:-1]) for line in cells(summary, "`dice` − `bce`")[:2]]
    assert dashed == [{"—"}, {"—"}]
    found = [row.difference for row in strata(summary) if row.contrast.arm == "dice"]
    assert found
    assert np.isnan([interval.low for interval in found]).all()
    assert summary.primary[1].judged == "better"


@pytest.mark.parametrize("silent", ["focal", ("focal", 3)], ids=str)
def test_an_arm_that_found_no_word_in_some_seed_wins_no_guard_by_it(
    tmp_path: Path, silent: Any
) -> None:
    contrasts = (("dice", "focal"), ("dice", "bce"))
    folder = write_text_grid(
        tmp_path, effects={"dice": 0.25}, silent=(silent,), images=48, contrasts=contrasts
    )
    summary = summarise(load(folder))
    assert summary.silent_once == ("focal",)
    assert summary.silent == (() if isinstance(silent, tuple) else ("focal",))
    guard = summary.contrasts["P_textfree"][0].difference
    assert isinstance(silent, tuple) or guard.high < 0
    assert not summary.arms["focal", "P_textfree"].best
    assert not summary.arms["focal", "P_textfree"].second
    text = conclusion(summary)
    assert "“dice” is better than “focal”" in text
    assert "P_textfree" not in text
    assert "no word was found by focal" in " ".join(footnotes(summary))


def test_an_arm_that_loses_wins_no_guard_by_finding_nothing(tmp_path: Path) -> None:
    contrasts = (("focal", "dice"), ("dice", "bce"))
    folder = write_text_grid(
        tmp_path, effects={"dice": 0.25}, silent=("focal",), images=48, contrasts=contrasts
    )
    summary = summarise(load(folder))
    assert summary.contrasts["P_textfree"][0].difference.low > 0
    text = conclusion(summary)
    assert "“focal” is worse than “dice”" in text
    assert "P_textfree" not in text


def test_a_guard_speaks_against_an_arm_where_both_find_words(tmp_path: Path) -> None:
    folder = write_text_grid(tmp_path, effects={"dice": 0.25}, images=48)
    for path in folder.glob("runs/1-*"):  # dice finds something in every image without a word
        table = pd.read_parquet(path / "per_image.parquet")
        free = table["components"] == 0
        table["value"] = table["value"].mask(free & (table["metric"] == "detections"), 1.0)
        table.to_parquet(path / "per_image.parquet", index=False)
        metrics = json.loads((path / "metrics.json").read_text())
        counts = table.pivot(index="image", columns="metric", values="value")
        metrics["test"] |= pooled(counts)
        (path / "metrics.json").write_text(json.dumps(metrics))
    text = conclusion(summarise(load(folder)))
    assert "“dice” is better than “bce”" in text
    assert "but by its interval P_textfree is worse" in text


@pytest.mark.parametrize("silent", ["dice", ("dice", 1)], ids=str)
def test_an_arm_that_does_not_learn_in_some_seed_has_no_steps_90(
    tmp_path: Path, silent: Any
) -> None:
    summary = summarise(load(write_text_grid(tmp_path, silent=(silent,), seeds=3)))
    assert summary.arms["dice", "steps_90"].seeds == ()
    assert summary.arms["bce", "steps_90"].seeds == (0, 1, 2)
    assert np.isnan(summary.contrasts["steps_90"][0].difference.mean)
    assert ["`dice`", "—", "2.6 ± 0.0", "3"] in cells(summary, "`dice`")  # its grad_share
    assert "No steps_90 of dice: in at least one seed" in " ".join(footnotes(summary))
