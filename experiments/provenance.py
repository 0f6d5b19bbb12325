"""Which code and which libraries a run was made with."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from experiments.config import PROJECT
from experiments.results import FINISHED

LIBRARIES = (
    "torch",
    "kornia",
    "transformers",
    "pysodmetrics",
    "numpy",
    "opencv-python-headless",
    "shapely",
    "pillow",
    "matplotlib",
    "optuna",
)


@cache
def commit() -> str:
    """The project's commit, marked if the tree has changes; empty outside a checkout."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> dict[str, str]:
    """The libraries that a run's numbers depend on."""
    return {name: version(name) for name in LIBRARIES}


def of_runs(folders: Iterable[Path]) -> tuple[str, dict[str, str]]:
    """Commit, versions and device of finished runs; several are joined by " / "."""
    commits: set[str] = set()
    found: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        if (folder / FINISHED).exists():
            summary = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
            commits.add(summary.get("commit", ""))
            made_with = json.loads(summary.get("versions", "{}"))
            for name, value in (*made_with.items(), ("device", summary.get("device", "unknown"))):
                found[name].add(value)
    joined = {name: " / ".join(sorted(values)) for name, values in found.items()}
    return " / ".join(sorted(commits)), joined
