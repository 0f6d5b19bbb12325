"""What a finished run leaves in its folder; the analysis reads these files and nothing else."""

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from experiments import checkpoint
from experiments.checkpoint import Progress
from experiments.config import RunConfig
from experiments.evaluate import Evaluation, signed
from experiments.files import whole
from experiments.task import Files
from experiments.watch import Watch

FINISHED = "metrics.json"  # written last: a folder that has it is complete


def recorded(folder: Path, config: RunConfig, key: str | None, test: bool) -> float | None:
    """The value of the finished run of hash `key`: it may have been killed before anyone heard."""
    if key is None or not (folder / FINISHED).exists():
        return None
    summary = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
    values = summary.get("test", {}) if test else {config.select: summary["validation"]}
    value = values.get(config.select, math.nan)
    return None if summary.get("hash") != key or math.isnan(value) else float(value)


def write_config(folder: Path, config: RunConfig) -> None:
    """Make a run's folder, rid it of drafts that a kill left, and write what is to be run."""
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.rglob(".*.tmp.*"):
        draft.unlink(missing_ok=True)
    with whole(folder / "config.json") as draft:
        draft.write_text(json.dumps(config.as_dict(), indent=1) + "\n", encoding="utf-8")


def write_results(
    folder: Path,
    config: RunConfig,
    state: Progress,
    tested: Evaluation | None,
    files: Files,
    identity: Mapping[str, str],
    watch: Watch,
) -> None:
    """Write a run's files, FINISHED last; `tested` is None where the test was left alone."""

    def put(name: str) -> AbstractContextManager[Path]:
        watch.before_write()
        return whole(folder / name)

    if tested is not None:
        with put("per_image.parquet") as draft:
            tested.table.to_parquet(draft, index=False)
    with put("checkpoint.safetensors") as draft:
        save_file(state.best_weights, draft)
    for name, write in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with put(name) as draft:
            write(draft)
    with put(FINISHED) as draft:
        summary = {**identity, **_summary(config, state, tested)}
        draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (folder / checkpoint.FILE).unlink(missing_ok=True)


def _summary(config: RunConfig, state: Progress, tested: Evaluation | None) -> dict[str, Any]:
    return {
        "seed": config.seed,
        **({} if tested is None else {"test": tested.scores}),
        "validation": signed(config.select, state.best),
        "select": config.select,
        "best_step": state.best_step,
        **state.chosen,
        "seconds": round(state.seconds, 1),
    }
