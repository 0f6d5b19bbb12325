"""The answers in results/README.md say what the committed tables say, and nothing by heart."""

import re
from pathlib import Path

import pytest

from experiments import grid as grids

RESULTS = Path(__file__).parent.parent.parent / "results"
REFERENCE = sorted(file.parent for file in (RESULTS / "reference").glob("*/*/grid.json"))
FOLDER = re.compile(r"reference/([a-z0-9_]+/[a-z0-9_]+)/")
DECIMAL = re.compile(r"[−+]?\d+\.\d+")  # counts, minutes and sizes are whole and stand elsewhere


def answers() -> dict[str, str]:
    """The sections of results/README.md that answer a question, by title."""
    parts = (RESULTS / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: part for part in parts if part.partition("\n")[0][-1] == "?"}


def sources(answer: str) -> str:
    """What the folders that an answer links hold in tables."""
    folders = sorted({*FOLDER.findall(answer)})
    files = (RESULTS / "reference" / f / name for f in folders for name in ("table", "scales"))
    return "\n".join(f.with_suffix(".md").read_text(encoding="utf-8") for f in files
                     if f.with_suffix(".md").is_file())  # fmt: skip


@pytest.mark.parametrize("title", answers())
def test_every_row_and_number_of_an_answer_stands_in_a_committed_table(title: str) -> None:
    answer = answers()[title]
    source = sources(answer)
    lines = {*source.splitlines()}
    rows = [line for line in answer.splitlines() if line.startswith("|")]
    assert rows
    assert [row for row in rows if row not in lines and not {*row} <= {*"|-: "}] == []
    prose = "\n".join(line for line in answer.splitlines() if not line.startswith("|"))
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", prose)
    assert [number for number in DECIMAL.findall(prose) if number not in source] == []


@pytest.mark.parametrize("title", answers())
def test_every_answer_has_a_figure_a_command_and_says_what_was_not_tested(title: str) -> None:
    answer = answers()[title]
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", answer)
    assert pictures
    assert all((RESULTS / picture).is_file() for picture in pictures)
    commands = re.findall(r"--grid\s+(\w+)", answer)
    assert {*commands} >= {folder.split("/")[0] for folder in FOLDER.findall(answer)}
    assert {*commands} <= {*grids.names()}
    assert "Not tested:" in answer


def test_every_committed_grid_answers_a_question() -> None:
    linked = {folder for answer in answers().values() for folder in FOLDER.findall(answer)}
    assert linked == {f"{folder.parent.name}/{folder.name}" for folder in REFERENCE}
