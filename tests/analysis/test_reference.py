"""Committed results: every table follows from the committed per-image values, byte for byte."""

import shutil
from pathlib import Path

import pytest

from analysis.report import write

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference"
FOLDERS = sorted(file.parent for file in REFERENCE.glob("*/*/grid.json"))


def test_there_are_reference_results() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_committed_table_follows_from_the_committed_values(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("table.md", "table.tex", "table.csv"):
        (copy / name).unlink()
    write(copy)
    for name in ("table.md", "table.tex", "table.csv"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
