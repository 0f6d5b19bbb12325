"""What the tables hold, as tests read it."""

import csv
import io
import re
from typing import Any

from analysis.load import load
from analysis.summary import Summary, summarise
from analysis.tables import table_csv

PLANTED = {"none": -0.03, "released": -0.03, "bce": 0.0, "mae": -0.03}
TWO: dict[str, Any] = {"arms": ("bce", "mae"), "contrasts": (("mae", "bce"),)}


def summary_of(make_grid: Any, **settings: Any) -> Summary:
    return summarise(load(make_grid(**settings)))


def rows_of(summary: Summary) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table_csv(summary))))


def lines_of(text: str, start: str) -> list[str]:
    """The first table below a line that begins with `start`, without its ruler."""
    lines = text.splitlines()
    below = lines[next(i for i, line in enumerate(lines) if line.startswith(start)) :]
    first = next(i for i, line in enumerate(below) if line.startswith("|"))
    count = next(i for i, line in enumerate([*below[first:], ""]) if not line.startswith("|"))
    return [line for line in below[first : first + count] if not re.match(r"\| -", line)]
