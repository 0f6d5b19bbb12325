"""Commands of the smoke grid, and what they ask for."""

from pathlib import Path

from experiments.cli.job import Job, prepare
from experiments.cli.options import parser

ROOT = Path(__file__).parent.parent.parent
SMOKE = ("--grid", "grad_loss", "--preset", "smoke")


def job_of(*options: str) -> Job:
    return prepare(parser().parse_args(options))
