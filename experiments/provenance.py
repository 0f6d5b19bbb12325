"""Which code and which libraries a run was made with."""

import subprocess
from functools import cache
from importlib.metadata import version

from experiments.config import PROJECT

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
