"""Committed results: every table and page follows from the committed values, byte for byte."""

import re
from pathlib import Path

import pytest

from analysis import page
from analysis import scales as beside
from analysis.figures import FIGURES
from analysis.load import load
from analysis.report import FILES, texts
from analysis.scales import Scales, compare
from analysis.summary import Summary, summarise

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference"
FOLDERS = sorted(file.parent for file in REFERENCE.glob("*/*/grid.json"))


def test_there_are_reference_results() -> None:
    assert FOLDERS


def other_scale(folder: Path, large: Summary) -> Scales | None:
    """What the report stands beside: the preset that scales.md names, if there is any."""
    file = folder / beside.FILE
    named = (
        re.search(r"does preset (\S+) rank", file.read_text("utf-8")) if file.exists() else None
    )
    assert named or not file.exists()
    return compare(summarise(load(folder.parent / named[1])), large) if named else None


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_committed_report_follows_from_the_committed_values(folder: Path) -> None:
    """The figures' bytes depend on the machine's libraries: the page gets the committed ones."""
    summary = summarise(load(folder))
    scales = other_scale(folder, summary)
    pictures = {stem: folder / f"{stem}.png" for stem in (*FIGURES, beside.STEM)}
    there = {stem: path for stem, path in pictures.items() if path.exists()}
    again = texts(summary, scales) | {"report.html": page.render(summary, there, FILES, scales)}
    assert "differences" in there
    assert (beside.STEM in there) == (scales is not None)
    for name, text in again.items():
        assert (folder / name).read_bytes().decode("utf-8") == text, name
