"""Grids as a finished run leaves them, made up: effects are planted, so outcomes are known."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ARMS = ("none", "released", "bce", "mae")
CONTRASTS = (("released", "none"), ("bce", "released"), ("mae", "bce"))
LEVELS = {"F_weighted": 0.7, "BIoU": 0.5, "IoU": 0.6, "S": 0.8, "MAE": 0.05}
MakeGrid = Callable[..., Path]


def write_grid(
    folder: Path,
    *,
    arms: tuple[str, ...] = ARMS,
    contrasts: tuple[tuple[str, str], ...] | None = None,
    seeds: int = 8,
    images: int = 5,
    effects: Mapping[str, float] | None = None,
    noise: float = 0.002,
    absent: Mapping[tuple[str, int], str] | None = None,
    maps: bool = False,
    size: tuple[int, int] = (24, 24),
    **settings: Any,
) -> Path:
    """Write a grid: seeds differ by .02, arms by `effects` (better is positive), pairs by `noise`;
    `absent` maps (arm, seed) to a state, `settings` replace keys of grid.json."""
    rng = np.random.default_rng(1)
    contrasts = tuple(c for c in CONTRASTS if {*c} <= {*arms}) if contrasts is None else contrasts
    shared = rng.normal(0, 0.02, seeds)
    cells = []
    for arm in arms:
        for seed in range(seeds):
            shift = shared[seed] + (effects or {}).get(arm, 0.0) + noise * rng.normal()
            state = (absent or {}).get((arm, seed), "complete")
            cell = {"arm": arm, "seed": seed, "state": state, "hash": f"{arm}-{seed}",
                    "run": f"runs/{arms.index(arm)}-{seed}", "code": "c0de" * 10}  # fmt: skip
            cells.append(cell)
            if state == "complete":
                _write_run(folder / str(cell["run"]), cell, shift, images)
                if maps:
                    write_maps(folder / str(cell["run"]), size, squashed=arm == "released")
    content = {
        "grid": "toy", "preset": "laptop", "question": "Which loss?", "arms": arms,
        "descriptions": {arm: f"the {arm} loss" for arm in arms}, "baseline": "bce",
        "contrasts": [{"arm": a, "minus": b, "about": f"{a}?"} for a, b in contrasts],
        "primary": "F_weighted", "guards": ["MAE", "BIoU"], "margin": 0.005,
        "seeds": list(range(seeds)), "data": {"name": "embedded", "digest": "da7a" * 10},
        "commit": "abc123-dirty", "versions": {"torch": "2.13.0"}, "test": True, "cells": cells,
    }  # fmt: skip
    (folder / "grid.json").write_text(json.dumps(content | settings), encoding="utf-8")
    return folder


def _write_run(run: Path, cell: Mapping[str, Any], shift: float, images: int) -> None:
    run.mkdir(parents=True)
    rows = [
        (
            f"{i:03d}.png",
            f"object {i // 2}",
            metric,
            level + (-shift if metric == "MAE" else shift),
        )
        for metric, level in LEVELS.items()
        for i in range(images)
    ]
    table = pd.DataFrame(rows, columns=["image", "group", "metric", "value"])
    table["value"] += table["image"].str[:3].astype(float) / 1000
    table.to_parquet(run / "per_image.parquet", index=False)
    metrics = {key: cell[key] for key in ("arm", "seed", "hash")}
    metrics |= {"data_digest": "da7a" * 10, "code_digest": cell["code"], "test": {}}
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def write_maps(run: Path, size: tuple[int, int], *, squashed: bool) -> None:
    """Raw maps of five images: a soft disc, its edge, and a gradient label (near .5, as the
    released one, if `squashed`)."""
    height, width = size
    y, x = np.mgrid[:height, :width] / max(size)
    radii = np.linspace(0.1, 0.4, 5)[:, None, None]
    target = np.clip((radii - np.hypot(y - 0.5, x - 0.5)) * max(size) + 0.5, 0, 1)
    edge = 4 * target * (1 - target)
    label = 0.5 + 0.1 * (edge - 0.5) if squashed else edge
    np.savez_compressed(
        run / "gradient_maps.npz",
        names=np.array([f"{i:03d}.png" for i in range(5)]),
        image=(np.repeat(target[..., None], 3, axis=3) * [200, 120, 40]).astype(np.uint8),
        target=(target * 255).astype(np.uint8),
        prediction=(target * 230).astype(np.uint8),
        edge_weight=(1 + 4 * edge).astype(np.float16),
        gradient_label=label.astype(np.float16),
        gradient_prediction=(label * 0.8).astype(np.float16),
    )


@pytest.fixture
def make_grid(tmp_path: Path) -> MakeGrid:
    """`make_grid(**settings)` writes a toy grid into a folder of its own and returns it."""

    def make(**settings: Any) -> Path:
        folder = tmp_path / f"grid {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return write_grid(folder, **settings)

    return make
