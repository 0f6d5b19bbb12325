"""What a finished run leaves in its folder; the analysis reads these files and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.torch import save_file

from experiments import checkpoint
from experiments.checkpoint import Progress
from experiments.config import RunConfig
from experiments.evaluate import mean_scores
from experiments.files import whole

FINISHED = "metrics.json"  # written last: a folder that has it is complete


def write_results(
    folder: Path,
    config: RunConfig,
    state: Progress,
    table: pd.DataFrame,
    maps: dict[str, Any],
    identity: Mapping[str, str],
) -> None:
    """Write a run's files, FINISHED last."""
    with whole(folder / "history.csv") as draft:
        pd.DataFrame(state.history).to_csv(draft, index=False)
    with whole(folder / "per_image.parquet") as draft:
        table.to_parquet(draft, index=False)
    with whole(folder / "checkpoint.safetensors") as draft:
        save_file(state.best_weights, draft)
    arrays = {
        **maps,
        "moments": [step for step, _, _ in state.counts],
        "hist_label": [labels for _, labels, _ in state.counts],
        "hist_prediction": [found for _, _, found in state.counts],
    }
    with whole(folder / "gradient_maps.npz") as draft:
        packed: dict[str, Any] = {name: np.array(value) for name, value in arrays.items()}
        np.savez_compressed(draft, **packed)
    with whole(folder / "preview.png") as draft:
        preview(arrays).save(draft)
    (folder / "predictions").mkdir(exist_ok=True)
    for name, mask in zip(arrays["names"], arrays["prediction"], strict=True):
        with whole(folder / "predictions" / f"{name}.png") as draft:
            Image.fromarray(mask).save(draft)
    summary = {
        **identity,
        "seed": config.seed,
        "test": mean_scores(table),
        "select": config.select,
        "best_step": state.best_step,
        "seconds": round(state.seconds, 1),
    }
    with whole(folder / FINISHED) as draft:
        draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (folder / checkpoint.FILE).unlink(missing_ok=True)


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
