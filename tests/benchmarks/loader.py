"""Images a second of the loader alone against the training step.

    python -m tests.benchmarks.loader FOLDER [--out results/benchmarks/loader.json]

FOLDER is a data set with train, val and test, of a hundred training images or more.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from experiments import grid as grids
from experiments.data import DataConfig, Samples, batches, load_splits, normalise
from experiments.data.augment import Augment
from experiments.model import build_model
from experiments.objective import Objective

from . import report

THREADS, BATCH = 2, 8
WORKERS = (0, 1, 2)
OFFICIAL = ("flip", "enhance", "rotate", "pepper")
METHOD = """\
- Loader: batches of {batch} through `batches`, images and masks, to float32 tensors in [0, 1];
  nothing else runs. From the arrival of a batch after the workers' start to that of the last,
  {steps} batches (a third of them at 1024 px); the median of {repeats} rounds, with minimum and
  maximum beside it.
- "decode": nothing is kept, each image and mask is read and resized. "disk": resized samples from
  the cache on disk, which the system's page cache holds. "memory": decoded and resized samples in
  the process; sets of up to 1 GiB are kept so, larger ones on disk.
- 256 px: the images as they are ({native}). 1024 px: {large} of them, each repeated
  side by side to 2048 x 1536 px, as JPEG (quality 92) and PNG: the size and the detail of a
  photograph, and no photograph.
- "training step": `lite` of the bench preset at 256 px, float32, batches of {batch} in memory:
  forward, both losses, backward, AdamW; {threads} threads of the CPU. No step on
  a GPU was compared: it is faster, and asks more of the loader. "augmentation": {official}
  on the batch, {threads} threads, part of the training process.
- "of the step": how many training steps' images the loader delivers in the time of one.
"""
Result = dict[str, Any]
Row = dict[str, Any]


def loaded(samples: Samples, workers: int, steps: int) -> float:
    """Images a second of the loader, after the start of its processes."""
    ahead = 2 * workers + 1  # batches that are under way when the first arrives
    stream = batches(
        samples, seed=0, batch=BATCH, start=0, steps=steps + 2 * ahead, workers=workers
    )
    for _ in range(ahead):
        next(stream)
    start = perf_counter()
    for _ in range(steps):
        next(stream)
    seconds = perf_counter() - start
    for _ in stream:
        pass
    return steps * BATCH / seconds


def loader_rows(samples: Samples, steps: int, repeats: int) -> Iterator[Row]:
    """Every way to get a sample, for each number of workers."""
    assert samples.shelf is not None
    on_disk, decoded = replace(samples, keep=0), replace(samples, keep=0, shelf=None)
    for i in range(len(samples)):
        on_disk[i]
    ways = {"decode": decoded, "disk": on_disk}
    subjects = [(way, w, chosen) for way, chosen in ways.items() for w in WORKERS]
    if len(samples) * 4 * samples.size[0] * samples.size[1] <= samples.keep:
        for i in range(len(samples)):
            samples[i]
        subjects.append(("memory", 0, samples))
    rates: dict[tuple[str, int], list[float]] = {(way, w): [] for way, w, _ in subjects}
    for _ in range(repeats):
        for way, w, chosen in subjects:
            rates[way, w].append(loaded(chosen, w, steps))
    for (way, w), found in rates.items():
        yield {"size": samples.size[0], "samples": way, "workers": w, **summary(found)}


def summary(rates: list[float]) -> Row:
    """Median, extremes and all samples of a rate."""
    return {
        "per_s": statistics.median(rates),
        "min": min(rates),
        "max": max(rates),
        "rates": rates,
    }


def rate(call: Callable[[], object], repeats: int) -> Row:
    """Images a second of a call on one batch."""
    call()
    found = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        found.append(BATCH / (perf_counter() - start))
    return summary(found)


def step_row(samples: Samples, repeats: int) -> tuple[Row, Row]:
    """The training step of the bench preset, and the official augmentation of its batch."""
    grid = grids.find("grad_loss")
    config = grids.resolve(grid, grid.presets["bench"], grid.baseline, seed=0)
    model, objective = build_model(config), Objective(config.loss)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images, targets = next(batches(samples, seed=0, batch=BATCH, start=0, steps=1, workers=0))
    augment = Augment(OFFICIAL, samples.size)

    def step() -> None:
        inputs = normalise(images)
        parts = objective(model(inputs), inputs, targets, 0.0)
        optimizer.zero_grad(set_to_none=True)
        objective.total(parts).backward()
        optimizer.step()

    size = {"size": samples.size[0], "workers": "", "samples": ""}
    trained = {**size, **rate(step, repeats), "samples": "training step"}
    return trained, {**size, **rate(lambda: augment(images, targets), repeats),
                     "samples": "augmentation"}  # fmt: skip


def tiled(samples: Samples, folder: Path, count: int) -> Path:
    """A data set of photographs' size: `count` of the images, repeated to 1536 x 2048 (H, W)."""
    for i in range(count):
        split = ("train", "test")[i >= count - 2]
        height, width = samples.native_mask(i).shape
        times = -(-1536 // height), -(-2048 // width)
        image, mask = samples.source.pair(i, (height, width))
        for kind, pixels, ending in (("im", image, "jpg"), ("gt", mask, "png")):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
            large = np.tile(pixels, (*times, 1)[: pixels.ndim])[:1536, :2048]
            Image.fromarray(large).save(folder / split / kind / f"{i}.{ending}", quality=92)
    return folder


def measure(data: str, quick: bool) -> Result:
    """All rows: both sizes and the step."""
    steps, repeats, large = (2, 1, 24) if quick else (24, 5, 64)
    small_size, large_size = ((64, 64), (128, 128)) if quick else ((256, 256), (1024, 1024))
    samples, _, _ = load_splits(DataConfig(name=data, size=small_size))
    first, augmentation = step_row(samples, 3 if quick else 9)
    rows = [first, augmentation, *loader_rows(samples, steps, repeats)]
    with tempfile.TemporaryDirectory() as place:
        root = tiled(samples, Path(place) / "large", large)
        many, _, _ = load_splits(DataConfig(name=str(root), size=large_size))
        rows += loader_rows(replace(many, keep=0), max(2, steps // 3), repeats)
    shapes = [samples.native_mask(i).shape for i in range(len(samples))]
    return {
        "steps": steps,
        "repeats": repeats,
        "large": large,
        "native": f"{len(samples)} of {min(map(max, shapes))} to {max(map(max, shapes))} px",
        "rows": [{**row, "of_step": row["per_s"] / first["per_s"]} for row in rows],
    }


def markdown(result: Result) -> str:
    """The table, with the machine and the method."""
    shown = {k: result[k] for k in ("steps", "repeats", "large", "native")}
    method = METHOD.format(batch=BATCH, threads=THREADS, official=", ".join(OFFICIAL), **shown)
    head = ["", "px", "workers", "images/s", "min", "max", "of the step"]
    cells = [
        [
            row["samples"],
            str(row["size"]),
            str(row["workers"]),
            *(f"{row[key]:.1f}" for key in ("per_s", "min", "max")),
            f"{row['of_step']:.1f}",
        ]
        for row in result["rows"]
    ]
    facts = report.facts(result["machine"])
    return f"# Loader\n\n{facts}\n{method}\n{report.table(head, cells)}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the table, or write it with --out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.loader")
    parser.add_argument("folder", help="a data set, as --data of experiments/run.py takes it")
    parser.add_argument("--quick", action="store_true", help="small sizes, 1 round")
    parser.add_argument("--out", type=Path, help="JSON to write; the table goes beside it as .md")
    args = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        result = measure(args.folder, args.quick)
    result = {"machine": report.machine("cpu"), **result}
    report.save(result, markdown(result), args.out)


if __name__ == "__main__":
    main()
