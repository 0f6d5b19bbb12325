"""`grid.json`: what a grid asked before it ran, and the state of its cells, for the analysis."""

import json
from pathlib import Path
from typing import Any

from experiments.cli.job import Job
from experiments.config import code_digest
from experiments.files import whole
from experiments.ledger.ledger import Ledger

# The analysis tells what is there from what is not; why it is not, the ledger tells.
STATES = {"struck": "failed", "elsewhere": "missing"}


def write_grid(job: Job, ledger: Ledger) -> None:
    """Write the job's `grid.json`."""
    grid, states = job.grid, ledger.states(job.cells)
    seeds, file = sorted({cell.seed for cell in job.cells}), job.folder / "grid.json"
    content: dict[str, Any] = {
        "grid": grid.name,
        "task": grid.task,
        "preset": job.preset_name,
        "question": grid.question,
        "arms": list(grid.arms),
        "descriptions": {name: arm.about for name, arm in grid.arms.items()},
        "baseline": grid.baseline,
        "contrasts": [{"arm": c.arm, "minus": c.minus, "about": c.about} for c in grid.contrasts],
        "primary": grid.primary,
        "guards": list(grid.guards),
        "margin": grid.margin,
        "seeds": seeds,
        "seeds_added": seeds_added(file, seeds),
        "data": {"name": job.preset.data.name, "digest": job.cells[0].data_digest},
        "command": job.command,
        "test": job.preset.test,
        "cells": [
            {
                "arm": cell.arm,
                "seed": cell.seed,
                "state": STATES.get(states[cell.hash].state, states[cell.hash].state),
                "hash": cell.hash,
                "run": f"runs/{cell.folder}",
                "code": code_digest(),
            }
            for cell in job.cells
        ],
    }
    with whole(file) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def seeds_added(file: Path, seeds: list[int]) -> list[int]:
    """Those of `seeds` that joined after a table was written, and so after a look at it."""
    if not file.exists():
        return []
    before = json.loads(file.read_text(encoding="utf-8"))
    added = set(before.get("seeds_added", ()))
    if file.with_name("table.md").exists():
        added |= set(seeds) - set(before["seeds"])
    return sorted(added & set(seeds))
