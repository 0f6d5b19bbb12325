"""Images a second of the metrics, and what each of them costs.

python -m tests.benchmarks.metrics [--out results/benchmarks/metrics.json]
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import py_sod_metrics as sod
import torch

from experiments.data import load
from experiments.data.decode import Pixels
from experiments.metrics import METRICS, boundary, boundary_accuracy, image_metrics, iou
from experiments.scores import Output, Scorer, at_resolution, scored

from . import report

THREADS = 2
WORKERS = (0, 1, 2)
METHOD = """\
- Masks: {masks} renders of thin structures (`thin3d`), brought to the size; predictions: their
  masks at a sixteenth of it with noise, as logits at half the size, so that outlines are blurred
  and some blobs are wrong.
- "here": logits to metrics as an evaluation does it, all {count} metrics, the mask read from
  memory. "PySODMetrics": the same logits, a new object of each of its six measures with its own
  preparation of the pair (`step(normalize=False)`), and this project's functions for the others.
  Ratios are of medians.
- Ways take turns in each of {repeats} rounds of {images} images, timed from the arrival of the
  first one (the second of two processes) to that of the last. One process of its own leaves the
  run's to the model, which is not part of this.
- Per metric: one call on one pair, the median over the masks and {repeats} rounds; in brackets
  PySODMetrics' own step. E_mean and F_mean share their counts where both are asked for.
- {threads} threads of torch and OpenCV in the process itself, one of torch in each of the others.
"""
Result = dict[str, Any]
Row = dict[str, Any]
Map = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Masks:
    """Masks in memory, as many times as they are asked for."""

    masks: tuple[Pixels, ...]

    def pair(self, i: int, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Not asked for: the outputs are there."""
        raise NotImplementedError(f"sample {i} at {size}")

    def mask(self, i: int) -> Pixels:
        """Mask `i` modulo their number."""
        return self.masks[i % len(self.masks)]


def scene(size: int, count: int) -> tuple[Masks, list[np.ndarray[Any, np.dtype[np.float32]]]]:
    """Masks (size, size) and the logits (1, size / 2, size / 2) of what was predicted."""
    rng = np.random.default_rng(0)
    samples = load("thin3d", "test", size=(64, 64), count=count)
    masks, logits = [], []
    for i in range(count):
        mask = cv2.resize(samples.native_mask(i), (size, size), interpolation=cv2.INTER_CUBIC)
        coarse = cv2.resize(
            mask.astype(np.float32), (size // 16,) * 2, interpolation=cv2.INTER_AREA
        )
        coarse = coarse / 255 - 0.5 + rng.normal(0, 0.25, coarse.shape)
        found = cv2.resize(coarse, (size // 2,) * 2, interpolation=cv2.INTER_CUBIC)
        masks.append(mask.astype(np.uint8))
        logits.append(8 * found[None].astype(np.float32))
    return Masks(tuple(masks)), logits


def upstream() -> dict[str, Callable[[Map, Pixels], float]]:
    """PySODMetrics' measures, each by an object and a preparation of its own."""

    def by(make: Callable[[], Any], value: Callable[[Any], float]) -> Callable[..., float]:
        def measured(found: Map, mask: Pixels) -> float:
            measure = make()
            measure.step(found, mask > 127, normalize=False)
            return float(value(measure.get_results()))

        return measured

    def f_measure() -> Any:
        handler = sod.FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)
        return sod.FmeasureV2({"fm": handler})

    return {
        "F_weighted": by(sod.WeightedFmeasure, lambda r: r["wfm"]),
        "S": by(sod.Smeasure, lambda r: r["sm"]),
        "E_mean": by(sod.Emeasure, lambda r: r["em"]["curve"].mean()),
        "F_mean": by(f_measure, lambda r: r["fm"]["dynamic"].mean()),
        "HCE": by(sod.HumanCorrectionEffortMeasure, lambda r: r["hce"]),
        "MAE": by(sod.MAE, lambda r: r["mae"]),
    }


def naive(source: Masks, outputs: Sequence[Output]) -> None:
    """Every metric of each output by itself."""
    for output in outputs:
        mask = source.mask(output.index)
        found = at_resolution(torch.from_numpy(output.logits), mask.shape)
        for measure in upstream().values():
            measure(found, mask)
        iou(found > 0.5, mask > 127)
        iou(boundary(found > 0.5), boundary(mask > 127))
        boundary_accuracy(found > 0.5, mask > 127)
        np.square(found - mask.astype(np.float64) / 255).mean()


def through(source: Masks, outputs: Sequence[Output], workers: int) -> float:
    """Images a second by so many processes, after their start."""
    stream = scored(Scorer(source, METRICS), outputs, workers)
    ahead = max(1, workers)
    for _ in range(ahead):
        next(stream)
    start = perf_counter()
    done = sum(1 for _ in stream)
    return done / (perf_counter() - start)


def rates(size: int, images: int, masks: int, repeats: int) -> list[Row]:
    """A row for each way, in turns."""
    source, logits = scene(size, masks)
    outputs = [Output(i, logits[i % masks], {}) for i in range(images + max(WORKERS))]
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats):
        for workers in WORKERS:
            found.setdefault(("here", workers), []).append(through(source, outputs, workers))
        start = perf_counter()
        naive(source, outputs[:images])
        speed = images / (perf_counter() - start)
        found.setdefault(("PySODMetrics", 0), []).append(speed)
    base = statistics.median(found["PySODMetrics", 0])
    return [
        {
            "size": size,
            "way": way,
            "workers": workers,
            "per_s": statistics.median(samples),
            "min": min(samples),
            "max": max(samples),
            "rates": samples,
            "faster": statistics.median(samples) / base,
        }
        for (way, workers), samples in found.items()
    ]


def costs(size: int, masks: int, repeats: int) -> list[Row]:
    """Milliseconds of each metric, here and by PySODMetrics where it has it."""
    source, logits = scene(size, masks)
    theirs = upstream()
    pairs = []
    for i, one in enumerate(logits):
        mask = source.mask(i)
        pairs.append((at_resolution(torch.from_numpy(one), mask.shape), mask))
    rows = []
    for name in METRICS:
        ours = _timed(lambda found, mask, n=name: image_metrics(found, mask, (n,)), pairs, repeats)
        other = _timed(theirs[name], pairs, repeats) if name in theirs else None
        rows.append({"size": size, "metric": name, "ms": ours, "theirs_ms": other})
    return rows


def _timed(call: Callable[..., object], pairs: Sequence[Any], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        for pair in pairs:
            start = perf_counter()
            call(*pair)
            found.append(1e3 * (perf_counter() - start))
    return statistics.median(found)


def measure(quick: bool) -> Result:
    """All rows."""
    sizes, images, masks, repeats = ((64,), 4, 2, 1) if quick else ((512, 1024, 2048), 24, 4, 5)
    image_metrics(np.zeros((8, 8)), np.zeros((8, 8), np.uint8))  # imports
    return {
        "images": images,
        "masks": masks,
        "repeats": repeats,
        "rates": [row for size in sizes for row in rates(size, images, masks, repeats)],
        "costs": [row for size in sizes for row in costs(size, masks, repeats)],
    }


def markdown(result: Result) -> str:
    """The two tables, with the machine and the method."""
    shown = {key: result[key] for key in ("images", "masks", "repeats")}
    method = METHOD.format(count=len(METRICS), threads=THREADS, **shown)
    speed = [
        [
            row["way"],
            str(row["size"]),
            str(row["workers"]),
            *(f"{row[key]:.2f}" for key in ("per_s", "min", "max")),
            f"{row['faster']:.2f}x",
        ]
        for row in result["rates"]
    ]
    sizes = sorted({row["size"] for row in result["costs"]})
    cost = [[name, *(_cost(result["costs"], name, size) for size in sizes)] for name in METRICS]
    head = ["", "px", "processes", "images/s", "min", "max", "of PySODMetrics"]
    facts = report.facts(result["machine"])
    tables = f"{report.table(head, speed)}\n{report.table(['ms', *map(str, sizes)], cost)}"
    return f"# Metrics\n\n{facts}\n{method}\n{tables}"


def _cost(rows: list[Row], name: str, size: int) -> str:
    (row,) = (row for row in rows if (row["metric"], row["size"]) == (name, size))
    theirs = row["theirs_ms"]
    return f"{row['ms']:.1f}" + (f" ({theirs:.1f})" if theirs is not None else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the tables, or write them with --out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.metrics")
    parser.add_argument("--quick", action="store_true", help="small sizes, 1 round")
    parser.add_argument("--out", type=Path, help="JSON to write; the tables go beside it as .md")
    args = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    result = measure(args.quick)
    result = {"machine": report.machine("cpu"), **result}
    report.save(result, markdown(result), args.out)


if __name__ == "__main__":
    main()
