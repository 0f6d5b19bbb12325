"""Committed results: every table and page follows from the committed values, byte for byte."""

from pathlib import Path

import pytest

from analysis import page
from analysis.figures import FIGURES
from analysis.load import load
from analysis.report import FILES, texts
from analysis.summary import summarise

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference"
FOLDERS = sorted(file.parent for file in REFERENCE.glob("*/*/grid.json"))


def test_there_are_reference_results() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_committed_report_follows_from_the_committed_values(folder: Path) -> None:
    """The figures' bytes depend on the machine's libraries: the page gets the committed ones."""
    summary = summarise(load(folder))
    pictures = {stem: folder / f"{stem}.png" for stem in FIGURES}
    there = {stem: path for stem, path in pictures.items() if path.exists()}
    again = texts(summary) | {"report.html": page.render(summary, there, FILES)}
    assert "differences" in there
    for name, text in again.items():
        assert (folder / name).read_bytes().decode("utf-8") == text, name
