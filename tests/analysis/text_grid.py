"""A grid of text detection as a finished run leaves it, made up: effects are planted."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

ARMS = ("bce", "dice", "focal")
CONTRASTS = (("dice", "bce"), ("focal", "bce"))
STEPS, VALIDATIONS = 100, 10


def write_text_grid(
    folder: Path,
    *,
    arms: tuple[str, ...] = ARMS,
    contrasts: tuple[tuple[str, str], ...] | None = None,
    seeds: int = 8,
    images: int = 16,
    words: tuple[int, ...] = (0, 3, 1, 8, 2, 4),
    effects: Mapping[str, float] | None = None,
    absent: Mapping[tuple[str, int], str] | None = None,
    pictures: bool = False,
    silent: tuple[str | tuple[str, int], ...] = (),
    size: tuple[int, int] = (48, 64),
    **settings: Any,
) -> Path:
    """Write a grid of text detection.

    An arm finds a word with probability .7 plus its effect and what its seed is worth, and adds
    a false detection to an image with probability .2; arms, or runs, of `silent` find nothing. Two
    images are of one photograph; the numbers of words recur. `pictures` writes thumbnails and
    maps; `settings` replace keys of grid.json.
    """
    contrasts = tuple(c for c in CONTRASTS if {*c} <= {*arms}) if contrasts is None else contrasts
    cells = []
    index = np.arange(images)
    described = _images(index, np.array(words)[index % len(words)])
    for place, arm in enumerate(arms):
        for seed in range(seeds):
            state = (absent or {}).get((arm, seed), "complete")
            cell = {"arm": arm, "seed": seed, "state": state, "hash": f"{arm}-{seed}",
                    "run": f"runs/{place}-{seed}", "code": "c0de" * 10}  # fmt: skip
            cells.append(cell)
            if state != "complete":
                continue
            worth = np.random.default_rng([1, seed]).normal(0, 0.02)
            rate = (
                0
                if {arm, (arm, seed)} & {*silent}
                else 0.7 + worth + (effects or {}).get(arm, 0.0)
            )
            run = folder / str(cell["run"])
            run.mkdir(parents=True)
            counts = _counts(described, rate, np.random.default_rng([2, place, seed]))
            _write_run(run, cell, described, counts)
            _write_history(run, rate, 18.0 + 4 * place, [3, place, seed])
            if pictures:
                _thumbnails(described, size, place).to_parquet(run / "thumbnails.parquet")
                np.savez_compressed(run / "text_maps.npz", **_maps(described, size, place))
    content = _content(arms, contrasts, seeds, cells)
    (folder / "grid.json").write_text(json.dumps(content | settings), encoding="utf-8")
    return folder


def _content(
    arms: tuple[str, ...],
    contrasts: tuple[tuple[str, str], ...],
    seeds: int,
    cells: list[dict[str, Any]],
) -> dict[str, Any]:
    """What grid.json holds."""
    return {
        "grid": "db", "preset": "laptop", "question": "Which loss finds words?", "arms": arms,
        "descriptions": {arm: f"the {arm} loss" for arm in arms}, "baseline": arms[0],
        "contrasts": [{"arm": a, "minus": b, "about": f"{a}?"} for a, b in contrasts],
        "primary": "H_mean", "guards": ["P_textfree"], "margin": 0.01, "task": "text",
        "seeds": list(range(seeds)), "data": {"name": "words", "digest": "da7a" * 10},
        "test": True, "cells": cells,
    }  # fmt: skip


def _images(index: Any, words: Any) -> pd.DataFrame:
    word = 0.01 * (1 + index * 5 % 7)  # of one word, as a share of the image
    return pd.DataFrame(
        {
            "image": [f"{i:03d}" for i in index],
            "group": [f"photograph {i // 2}" for i in index],
            "area": words * word,
            "outline": words * np.sqrt(word),
            "components": words,
        }
    )


def _counts(images: pd.DataFrame, rate: float, rng: np.random.Generator) -> pd.DataFrame:
    words = images["components"].to_numpy()
    matched = rng.binomial(words, rate)
    wrong = rng.binomial(1, 0.2, len(words)) if rate else np.zeros(len(words), dtype=int)
    return pd.DataFrame({"matched": matched, "detections": matched + wrong, "words": words})


def _write_run(
    run: Path, cell: Mapping[str, Any], images: pd.DataFrame, counts: pd.DataFrame
) -> None:
    m, d, w = (counts[name] for name in ("matched", "detections", "words"))
    alone = np.where(w == 0, d == 0, 2 * m / np.maximum(1, d + w))
    columns = {"H_image": alone, **{name: column.astype(float) for name, column in counts.items()}}
    parts = [images.assign(metric=str(metric), value=value) for metric, value in columns.items()]
    pd.concat(parts, ignore_index=True).to_parquet(run / "per_image.parquet", index=False)
    test = {str(name): float(np.mean(column)) for name, column in columns.items()}
    test |= {"H_mean": 2 * m.sum() / (d.sum() + w.sum()), "recall": m.sum() / w.sum()}
    test |= {"precision": m.sum() / d.sum() if d.sum() else 0.0}
    test |= {"H_published": test["H_mean"] - 0.05}
    if (w == 0).any():
        test["P_textfree"] = float((d[w == 0] == 0).mean())
    metrics = {key: cell[key] for key in ("arm", "seed", "hash")}
    metrics |= {"data_digest": "da7a" * 10, "code_digest": cell["code"], "test": test}
    metrics |= {
        "cut": 0.3,
        "least_score": 0.55,
        "commit": "beef123",
        "versions": '{"torch": "2.13.0"}',
    }
    (run / "metrics.json").write_text(json.dumps(metrics, default=float), encoding="utf-8")
    config = {
        "seed": cell["seed"], "task": "text", "boxes": {"form": "box"},
        "data": {"name": "words", "size": [320, 320], "workers": 0},
        "train": {"steps": STEPS, "batch": 8, "metrics": "plain"},
        "loss": {"pixel": {"name": "db"}, "labels": {}}, "select": "H_mean",
    }  # fmt: skip
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _write_history(run: Path, rate: float, pace: float, seed: list[int]) -> None:
    rng = np.random.default_rng(seed)
    step = np.arange(STEPS)
    left = np.exp(-(step + 1) / pace)
    validated = (step + 1) % (STEPS // VALIDATIONS) == 0
    recorded = np.isin(step, np.linspace(0, STEPS - 1, 5).round())
    terms = {"probability": 3 * left, "threshold": 1 + left, "binary": 0.5 * left}
    noise = rng.normal(0, 0.002, STEPS)
    history = {
        "step": step,
        "loss": sum(terms.values()),
        "lr": 0.0025 * (1 + np.cos(np.pi * step / STEPS)),
        **terms,
        "grad_norm": 1 + 5 * left,
        "grad_share": np.where(recorded, 2 * (1 + left), np.nan),
        "val_H_mean": np.where(validated, (1 - left) * rate + noise * (rate > 0), np.nan),
    }
    pd.DataFrame(history).to_csv(run / "history.csv", index=False, lineterminator="\n")


def _boxes(words: int, size: tuple[int, int]) -> Any:
    """A mask (H, W) with so many boxes, in rows."""
    mask = np.zeros(size, dtype=bool)
    for word in range(min(words, 12)):
        top, left = 3 + 11 * (word // 3), 3 + 20 * (word % 3)
        mask[top : top + 7, left : left + 15] = True
    return mask


def _maps(images: pd.DataFrame, size: tuple[int, int], place: int) -> dict[str, Any]:
    chosen = images[images["components"] > 0].iloc[:3]
    chosen = pd.concat([chosen, images[images["components"] == 0].iloc[:1]])
    truth = np.stack([_boxes(words, size) for words in chosen["components"]])
    found = np.where(truth, 200 - 40 * place, 20 + 10 * place)
    grey = np.where(truth, 240, 90)[..., None] * [1.0, 0.8, 0.6]
    border = (0.3 + 0.4 * truth).astype(np.float16)
    return {
        "names": chosen["image"].to_numpy(dtype=str),
        "image": grey.astype(np.uint8),
        "target": (255 * truth).astype(np.uint8),
        "prediction": found.astype(np.uint8),
        "threshold_label": border,
        "threshold": border,
        "binary": np.where(found > 127, 255, 0).astype(np.uint8),
    }


def _thumbnails(images: pd.DataFrame, size: tuple[int, int], place: int) -> pd.DataFrame:
    """A picture of each image; its first word is to be ignored where it has more than two."""
    rows = []
    for name, words in zip(images["image"], images["components"], strict=True):
        truth = _boxes(words, size) * np.uint8(255)
        found = _boxes(max(0, words - place), size) * np.uint8(255)
        if words > 2:
            truth[3:10, 3:18] = 128
        planes = {"picture": np.repeat(truth[..., None] // 2 + 60, 3, axis=2),
                  "target": truth, "prediction": found}  # fmt: skip
        files = {}
        for plane, pixels in planes.items():
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG" if plane == "picture" else "PNG")
            files[plane] = file.getvalue()
        rows.append({"image": name, **files})
    return pd.DataFrame(rows)
