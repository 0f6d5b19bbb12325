"""The metrics a table may show: their order, their direction and how they are spelled."""

from difflib import get_close_matches
from typing import Literal

Direction = Literal["up", "down"]

DIRECTIONS: dict[str, Direction] = {
    "F_weighted": "up",
    "F_max": "up",
    "F_mean": "up",
    "S": "up",
    "E_mean": "up",
    "E_max": "up",
    "IoU": "up",
    "BIoU": "up",
    "Dice": "up",
    "MAE": "down",
    "MSE": "down",
    "HCE": "down",
}
# What the arm table adds to the primary metric and the guards, as far as it was measured.
EXTRA = ("S", "E_mean", "IoU")


def direction(metric: str) -> Direction:
    """Whether more or less of `metric` is better; an unknown metric is a ValueError."""
    if metric in DIRECTIONS:
        return DIRECTIONS[metric]
    raise ValueError(
        f"metric {metric!r} has no direction{nearest(metric, list(DIRECTIONS))}; "
        "a new metric is added to analysis/metrics.py with 'up' or 'down'"
    )


def sign(metric: str) -> int:
    """+1 where more is better, -1 where less is."""
    return 1 if direction(metric) == "up" else -1


def arrow(metric: str) -> str:
    """The arrow of a table header: up where more is better."""
    return "↑" if direction(metric) == "up" else "↓"


def nearest(name: str, known: list[str]) -> str:
    """`" (did you mean 'x'?)"` for the closest known name, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(known)})"
