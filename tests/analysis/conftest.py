"""Grids as a finished run leaves them, made up: effects are planted, so outcomes are known."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.load import load
from analysis.summary import Summary, summarise

ARMS = ("none", "released", "bce", "mae")
CONTRASTS = (("released", "none"), ("bce", "released"), ("mae", "bce"))
LEVELS = {"F_weighted": 0.7, "BIoU": 0.5, "IoU": 0.6, "S": 0.8, "MAE": 0.05}
GRADIENT = {"G_MAE": 0.1, "G_corr": 0.4}
DOWN = ("MAE", "G_MAE")
STEPS, VALIDATIONS = 100, 10
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
    object_noise: float = 0.002,
    absent: Mapping[tuple[str, int], str] | None = None,
    gradient: tuple[str, ...] = (),
    maps: bool = False,
    histograms: bool = False,
    size: tuple[int, int] = (24, 24),
    variant: str | None = None,
    **settings: Any,
) -> Path:
    """Write a grid: seeds differ by .02, arms by `effects` (better is positive), pairs by `noise`,
    and arms on an object by `object_noise`, which cancels over the images.

    `absent` maps (arm, seed) to a state; arms of `gradient` are scored by G_MAE and G_corr too;
    `maps` and `histograms` fill gradient_maps.npz, `maps` thumbnails.parquet too; `variant` is
    train.metrics of config.json;
    `settings` replace keys of grid.json. Later arms learn more slowly.
    """
    rng = np.random.default_rng(1)
    contrasts = tuple(c for c in CONTRASTS if {*c} <= {*arms}) if contrasts is None else contrasts
    shared = rng.normal(0, 0.02, seeds)
    cells = []
    primary = settings.get("primary", "F_weighted")
    for index, arm in enumerate(arms):
        uneven = _uneven(np.random.default_rng([2, index]), images, object_noise)
        levels = LEVELS | (GRADIENT if arm in gradient else {})
        for seed in range(seeds):
            shift = shared[seed] + (effects or {}).get(arm, 0.0) + noise * rng.normal()
            state = (absent or {}).get((arm, seed), "complete")
            cell = {"arm": arm, "seed": seed, "state": state, "hash": f"{arm}-{seed}",
                    "run": f"runs/{index}-{seed}", "code": "c0de" * 10}  # fmt: skip
            cells.append(cell)
            if state == "complete":
                run = folder / str(cell["run"])
                _write_run(run, cell, shift + uneven, levels)
                _write_config(run, seed, primary, variant)
                _write_history(run, primary, shift, 18.0 + 4 * index, [3, index, seed])
                if maps or histograms:
                    squashed = arm == "released"
                    arrays = _maps(size, squashed) if maps else {}
                    arrays |= _histograms(squashed, seed) if histograms else {}
                    np.savez_compressed(run / "gradient_maps.npz", **arrays)
                if maps:
                    _thumbnails(size, images).to_parquet(run / "thumbnails.parquet", index=False)
    content = {
        "grid": "toy", "preset": "laptop", "question": "Which loss?", "arms": arms,
        "descriptions": {arm: f"the {arm} loss" for arm in arms}, "baseline": "bce",
        "contrasts": [{"arm": a, "minus": b, "about": f"{a}?"} for a, b in contrasts],
        "primary": "F_weighted", "guards": ["MAE", "BIoU"], "margin": 0.005,
        "seeds": list(range(seeds)), "data": {"name": "embedded", "digest": "da7a" * 10},
        "test": True, "cells": cells,
    }  # fmt: skip
    (folder / "grid.json").write_text(json.dumps(content | settings), encoding="utf-8")
    return folder


def _uneven(rng: np.random.Generator, images: int, noise: float) -> Any:
    """How an arm differs on each image: alike on both images of an object, 0 on average."""
    effects = rng.normal(0, noise, images)[np.arange(images) // 2]
    return effects - effects.mean()


def _write_run(
    run: Path, cell: Mapping[str, Any], shift: Any, levels: Mapping[str, float]
) -> None:
    run.mkdir(parents=True)
    index = np.arange(len(shift))
    images = pd.DataFrame(
        {
            "image": [f"{i:03d}.png" for i in index],
            "group": [f"object {i // 2}" for i in index],
            "area": (1 + index * 7 % len(index)) / (2 * len(index)),
            "outline": 0.5 + 0.1 * (index * 3 % 11),
            "components": 1 + 2 * (index % 4),
        }
    )
    values = {m: v + (-shift if m in DOWN else shift) + index / 1000 for m, v in levels.items()}
    parts = [images.assign(metric=metric, value=value) for metric, value in values.items()]
    table = pd.concat(parts, ignore_index=True)
    table.to_parquet(run / "per_image.parquet", index=False)
    means = {metric: float(value.mean()) for metric, value in values.items()}
    means |= {"F_max": means["F_weighted"] + 0.05, "E_max": means["S"] + 0.05}
    metrics = {key: cell[key] for key in ("arm", "seed", "hash")}
    metrics |= {"data_digest": "da7a" * 10, "code_digest": cell["code"], "test": means}
    metrics |= {"commit": "abc123-dirty", "versions": '{"torch": "2.13.0"}'}
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def _write_config(run: Path, seed: int, select: str, variant: str | None) -> None:
    train: dict[str, Any] = {"steps": STEPS, "batch": 8, "lr": 5e-3, "save_seconds": 60.0}
    config = {
        "seed": seed,
        "data": {"name": "embedded", "size": [128, 128], "workers": 0},
        "model": {"preset": "lite"},
        "train": train | ({"metrics": variant} if variant else {}),
        "loss": {"pixel": {"name": "birefnet_pixel"}, "gradient": {"objective": "none"}},
        "select": select,
    }
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _write_history(run: Path, metric: str, shift: float, pace: float, seed: list[int]) -> None:
    """A loss that falls and a validation metric that nears its last value with `pace` steps."""
    rng = np.random.default_rng(seed)
    step = np.arange(STEPS)
    left = np.exp(-(step + 1) / pace)
    validated = (step + 1) % (STEPS // VALIDATIONS) == 0
    recorded = np.isin(step, np.linspace(0, STEPS - 1, 5).round())
    rise = (1 - left) * (0.7 + shift) + rng.normal(0, 0.002, STEPS)
    loss = 20 + 100 * left + rng.normal(0, 0.5, STEPS)
    history = {
        "step": step,
        "loss": loss,
        "lr": 0.0025 * (1 + np.cos(np.pi * step / STEPS)),
        "pixel": 0.9 * loss,
        "gradient": 0.1 * loss,
        "grad_norm": 1 + 5 * left,
        "grad_share": np.where(recorded, 0.1 * (1 + left), np.nan),
        "excess_bce": np.where(recorded, 0.05 + 0.4 * left, np.nan),
        f"val_{metric}": np.where(validated, 0.8 - rise if metric in DOWN else rise, np.nan),
    }
    pd.DataFrame(history).to_csv(run / "history.csv", index=False, lineterminator="\n")


def _maps(size: tuple[int, int], squashed: bool) -> dict[str, Any]:
    """Raw maps of five images: a soft disc, its edge, and a gradient label (near .5, as the
    released one, if `squashed`)."""
    height, width = size
    y, x = np.mgrid[:height, :width] / max(size)
    radii = np.linspace(0.1, 0.4, 5)[:, None, None]
    target = np.clip((radii - np.hypot(y - 0.5, x - 0.5)) * max(size) + 0.5, 0, 1)
    edge = 4 * target * (1 - target)
    label = 0.5 + 0.1 * (edge - 0.5) if squashed else edge
    return {
        "names": np.array([f"{i:03d}.png" for i in range(5)]),
        "image": (np.repeat(target[..., None], 3, axis=3) * [200, 120, 40]).astype(np.uint8),
        "target": (target * 255).astype(np.uint8),
        "prediction": (target * 230).astype(np.uint8),
        "edge_weight": (1 + 4 * edge).astype(np.float16),
        "gradient_label": label.astype(np.float16),
        "gradient_prediction": (label * 0.8).astype(np.float16),
    }


def _thumbnails(size: tuple[int, int], images: int) -> pd.DataFrame:
    """Small pictures of every image: a disc the larger, the higher its number is."""
    height, width = size
    y, x = np.mgrid[:height, :width] / max(size)
    rows = []
    for index in range(images):
        disc = np.hypot(y - 0.5, x - 0.5) < 0.1 + 0.3 * (index + 1) / images
        planes = {
            "picture": np.repeat(disc[..., None], 3, axis=2) * np.uint8([200, 120, 40]),
            "target": disc * np.uint8(255),
            "prediction": disc * np.uint8(230),
        }
        files = {}
        for name, plane in planes.items():
            file = io.BytesIO()
            Image.fromarray(plane).save(file, "JPEG" if name == "picture" else "PNG")
            files[name] = file.getvalue()
        rows.append({"image": f"{index:03d}.png", **files})
    return pd.DataFrame(rows)


def _histograms(squashed: bool, seed: int) -> dict[str, Any]:
    """Counts (5 moments, 3 stages, 256) of labels and, ever closer to them, of predictions."""
    rng = np.random.default_rng([4, seed])
    moments = np.linspace(1, STEPS, 5).round().astype(int)
    label = np.zeros((5, 3, 256), dtype=np.int64)
    found = np.zeros_like(label)
    for moment in range(5):
        for stage in range(3):
            pixels = 400 * 4**stage
            values = rng.beta(0.4, 4, pixels)
            values = 0.5 + 0.1 * (values - 0.5) if squashed else values
            near = values + (0.5 - values) * (1 - moment / 5)
            for counts, x in ((label, values), (found, near)):
                counts[moment, stage] = np.histogram(x, bins=256, range=(0, 1))[0]
    return {"moments": moments, "hist_label": label, "hist_prediction": found}


@pytest.fixture
def make_grid(tmp_path: Path) -> MakeGrid:
    """`make_grid(**settings)` writes a toy grid into a folder of its own and returns it."""

    def make(**settings: Any) -> Path:
        folder = tmp_path / f"grid {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return write_grid(folder, **settings)

    return make


@pytest.fixture(scope="session")
def small_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms of grad_loss, trained for two steps: the folder of a real, if tiny, grid."""
    folder = tmp_path_factory.mktemp("small")
    command = ["--grid", "grad_loss", "--preset", "smoke", "--arm", "bce", "--arm", "bce_released"]
    command += ["--set", "seeds=1", "--set", "train.steps=2", "--out", str(folder)]
    subprocess.run(
        [sys.executable, "experiments/run.py", *command, "--workers", "1"],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A finished grid with everything a figure may draw."""
    folder = write_grid(tmp_path_factory.mktemp("grid"), images=12, effects={"bce": 0.03},
                        gradient=("released", "bce", "mae"), maps=True,
                        histograms=True)  # fmt: skip
    return summarise(load(folder))


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Four arms, three contrasts of known outcome, six images, gradients predicted by two."""
    folder = tmp_path_factory.mktemp("planted")
    write_grid(
        folder,
        effects={"none": -0.03, "released": -0.03, "mae": -0.03},
        images=6,
        gradient=("bce", "mae"),
    )
    return summarise(load(folder))
