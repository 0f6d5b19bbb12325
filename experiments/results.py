"""What a finished run leaves in its folder; the analysis reads these files and nothing else."""

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.torch import save_file

from experiments import checkpoint
from experiments.checkpoint import Progress
from experiments.config import RunConfig
from experiments.evaluate import Evaluation, signed
from experiments.files import whole
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
    pictures: pd.DataFrame | None,
    maps: dict[str, Any],
    identity: Mapping[str, str],
    watch: Watch,
) -> None:
    """Write a run's files, FINISHED last.

    `tested` and its `pictures` are None where the test split was left alone.
    """

    def put(name: str) -> AbstractContextManager[Path]:
        watch.before_write()
        return whole(folder / name)

    tables = {
        "per_image.parquet": None if tested is None else tested.table,
        "thumbnails.parquet": pictures,
    }
    for name, table in tables.items():
        if table is not None:
            with put(name) as draft:
                table.to_parquet(draft, index=False)
    with put("checkpoint.safetensors") as draft:
        save_file(state.best_weights, draft)
    with put("gradient_maps.npz") as draft:
        np.savez_compressed(draft, **maps, **_histograms(state))
    with put("preview.png") as draft:
        preview(maps).save(draft)
    (folder / "predictions").mkdir(exist_ok=True)
    for name, mask in zip(maps["names"], maps["prediction"], strict=True):
        with put(f"predictions/{name}.png") as draft:
            Image.fromarray(mask).save(draft)
    with put(FINISHED) as draft:
        summary = {**identity, **_summary(config, state, tested)}
        draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (folder / checkpoint.FILE).unlink(missing_ok=True)


def _histograms(state: Progress) -> dict[str, Any]:
    """Counts of gradient labels and predictions (moments, stages, 256), and their steps."""
    steps, labels, found = zip(*state.counts, strict=True) if state.counts else ((), (), ())
    return {
        "moments": np.array(steps),
        "hist_label": np.array(labels),
        "hist_prediction": np.array(found),
    }


def _summary(config: RunConfig, state: Progress, tested: Evaluation | None) -> dict[str, Any]:
    return {
        "seed": config.seed,
        **({} if tested is None else {"test": tested.scores}),
        "validation": signed(config.select, state.best),
        "select": config.select,
        "best_step": state.best_step,
        "seconds": round(state.seconds, 1),
    }


def preview(maps: dict[str, Any]) -> Image.Image:
    """Rows of image, target, prediction, edge weight, gradient label and gradient prediction."""
    columns = [np.asarray(maps["image"])]
    for name in ("target", "prediction", "edge_weight", "gradient_label", "gradient_prediction"):
        if name in maps:
            grey = np.asarray(maps[name], dtype=np.float32)
            if name == "edge_weight":
                grey = (grey - 1) / max(1e-6, float(grey.max()) - 1)
            if np.asarray(maps[name]).dtype != np.uint8:
                grey = grey * 255
            columns.append(np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=-1))
    rows = np.concatenate(columns, axis=2)
    return Image.fromarray(rows.reshape(-1, *rows.shape[2:]))
