"""Which code and which libraries a run was made with."""

import json
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from experiments.config import PROJECT
from experiments.results import FINISHED

LIBRARIES = ("torch", "kornia", "transformers", "pysodmetrics", "numpy", "optuna")


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
    """Commit and versions that finished runs were made with; several are joined by " / "."""
    commits, libraries = {}, {name: {} for name in LIBRARIES}  # type: ignore[var-annotated]
    for folder in folders:
        if (folder / FINISHED).exists():
            summary = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
            commits[summary.get("commit", "")] = None
            for name, value in json.loads(summary.get("versions", "{}")).items():
                libraries[name][value] = None
    joined = {name: " / ".join(sorted(found)) for name, found in libraries.items() if found}
    return " / ".join(sorted(commits)), joined
