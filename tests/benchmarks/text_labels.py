"""Label maps of words against the published numpy loops, and against the training step.

python -m tests.benchmarks.text_labels [--out results/benchmarks/text_labels.json]
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import pyclipper
import shapely
import torch
from numpy.typing import NDArray

import losses
from experiments.data.outlines import Polygon
from experiments.data.text import Word, labels_of_mask, text_labels
from models.dbnet import DBNet

from . import report

Map = NDArray[np.float32]
Result = dict[str, Any]
SIZES, COUNTS, POINTS = (640, 1024), (5, 50, 200), (4, 14)
SHRINK, LEAST, LOW, HIGH = 0.4, 8, 0.3, 0.7
WANTED = 3.0
SMALL, BATCH = 160, 8
METHOD = """\
- Words: 10 to 30 px high, two to six times as long, turned by up to 23 degrees, anywhere in the
  image; of 14 points they are bent. None is ignored.
- "here": `text_labels`. "from a mask": `labels_of_mask` of the same words, filled (words that
  touch are one). "published": `MakeBorderMap` and `MakeShrinkMap` of PaddleOCR (Apache-2.0, after
  MhLiao/DB), retyped: a polygon's distances for all of its window, one line after the other.
- Subjects take turns in each of {repeats} rounds, every other one in reverse order, after a
  warm-up; medians of one call, all four maps; one thread. Ratios are of medians.
- The laptop preset of a text grid has some 3 words at {small} px. Its training step: `DBNet` lite,
  loss `db`, {batch} images of noise, AdamW, one thread too.
"""


def published_border(polygons: Sequence[Polygon], size: tuple[int, int]) -> tuple[Map, Map]:
    """Threshold map and mask as PaddleOCR's `MakeBorderMap` makes them."""
    canvas, mask = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for polygon in polygons:
        shape = shapely.Polygon(polygon)
        reach = shape.area * (1 - SHRINK**2) / shape.length
        wide = np.array(_offset(polygon, reach)[0])
        cv2.fillPoly(mask, [wide.astype(np.int32)], 1.0)
        (x0, y0), (x1, y1) = wide.min(0), wide.max(0)
        width, height = x1 - x0 + 1, y1 - y0 + 1
        moved = polygon - (x0, y0)
        xs = np.broadcast_to(np.linspace(0, width - 1, num=width)[None], (height, width))
        ys = np.broadcast_to(np.linspace(0, height - 1, num=height)[:, None], (height, width))
        distances = np.zeros((len(moved), height, width), np.float32)
        for i, point in enumerate(moved):
            line = published_distance(xs, ys, point, moved[(i + 1) % len(moved)])
            distances[i] = np.clip(line / reach, 0, 1)
        left, right = (min(max(0, x), size[1] - 1) for x in (x0, x1))
        top, bottom = (min(max(0, y), size[0] - 1) for y in (y0, y1))
        part = canvas[top : bottom + 1, left : right + 1]
        seen = distances.min(0)[top - y0 : bottom - y0 + 1, left - x0 : right - x0 + 1]
        part[:] = np.fmax(1 - seen, part)
    return canvas * (HIGH - LOW) + LOW, mask


def published_distance(
    xs: NDArray[np.float64], ys: NDArray[np.float64], a: Polygon, b: Polygon
) -> NDArray[np.float64]:
    """Distance to a segment, right only within the circle that has the segment as diameter.

    Outside of it the distance to the nearer end is taken, also beside the segment.
    """
    to_a = np.square(xs - a[0]) + np.square(ys - a[1])
    to_b = np.square(xs - b[0]) + np.square(ys - b[1])
    length = np.square(a[0] - b[0]) + np.square(a[1] - b[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (length - to_a - to_b) / (2 * np.sqrt(to_a * to_b))
        sine = np.nan_to_num(1 - np.square(cosine))
        found = np.sqrt(to_a * to_b * sine / length)
        found[cosine < 0] = np.sqrt(np.fmin(to_a, to_b))[cosine < 0]
    return found


def published_shrink(
    polygons: Sequence[Polygon], ignored: Sequence[bool], size: tuple[int, int]
) -> tuple[Map, Map]:
    """Shrink map and mask as PaddleOCR's `MakeShrinkMap` makes them."""
    core, mask = np.zeros(size, np.float32), np.ones(size, np.float32)
    for given, skipped in zip(polygons, ignored, strict=True):
        polygon = np.clip(given, 0, (size[1] - 1, size[0] - 1))
        shape = shapely.Polygon(polygon)
        skipped = skipped or shape.area < 1
        pieces: list[Any] = []
        if not skipped and np.ptp(polygon, axis=0).min() >= LEAST:
            for ratio in np.arange(SHRINK, 1, SHRINK):
                pieces = _offset(polygon, -shape.area * (1 - ratio**2) / shape.length)
                if len(pieces) == 1:
                    break
        if not pieces:
            cv2.fillPoly(mask, polygon.astype(np.int32)[None], 0)
        for piece in pieces:
            cv2.fillPoly(core, [np.array(piece).reshape(-1, 2).astype(np.int32)], 1)
    return core, mask


def _offset(polygon: Polygon, by: float) -> list[Any]:
    clipper = pyclipper.PyclipperOffset()
    clipper.AddPath([tuple(p) for p in polygon], pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return list(clipper.Execute(by))


def published(words: Sequence[Word], size: tuple[int, int]) -> tuple[Map, Map, Map, Map]:
    """All four, in the order of `text_labels`; the border first, as PaddleOCR's configs do."""
    ignored = [word.ignored for word in words]
    border = published_border([word.polygon for word in words if not word.ignored], size)
    return *published_shrink([w.polygon for w in words], ignored, size), *border


def draw_words(count: int, size: int, points: int, seed: int = 0) -> list[Word]:
    """Words as METHOD says."""
    rng = np.random.default_rng(seed)
    words = []
    for _ in range(count):
        height = rng.uniform(10, 30)
        x = height * rng.uniform(2, 6) * np.linspace(-0.5, 0.5, points // 2)
        bend = height / 2 * np.cos(3 * x / np.ptp(x)) * (points > 4)
        upper, lower = np.c_[x, bend - height / 2], np.c_[x, bend + height / 2]
        turn = rng.uniform(-0.4, 0.4)
        turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        centre = rng.uniform(min(90, size / 2), size - min(90, size / 2), 2)
        words.append(Word(np.concatenate([upper, lower[::-1]]) @ turned + centre))
    return words


def filled(words: Sequence[Word], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask of the words."""
    inside = np.zeros(size, np.uint8)
    for word in words:
        cv2.fillPoly(inside, [np.round(word.polygon).astype(np.int32)], 255)
    return inside


def timed(subjects: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call of each subject."""
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for call in subjects.values():
        call()
    for turn in range(repeats):
        for name in list(subjects)[:: 1 if turn % 2 else -1]:
            start = perf_counter()
            subjects[name]()
            found[name].append(perf_counter() - start)
    return found


def row(size: int, count: int, points: int, repeats: int) -> Result:
    """Median milliseconds of the three ways, and how much faster the first is."""
    words, shape = draw_words(count, size, points), (size, size)
    subjects: dict[str, Callable[[], object]] = {
        "here": partial(text_labels, words, shape),
        "from a mask": partial(labels_of_mask, filled(words, shape)),
        "published": partial(published, words, shape),
    }
    samples = timed(subjects, repeats)
    ms = {name: 1e3 * statistics.median(found) for name, found in samples.items()}
    ratio = ms["published"] / ms["here"]
    return {"size": size, "words": count, "points": points, "ms": ms, "ratio": ratio,
            "met": ratio >= WANTED, "samples_s": samples}  # fmt: skip


def step_s(repeats: int) -> list[float]:
    """Seconds of each training step of the laptop preset's model, labels and images ready."""
    size = (SMALL, SMALL)
    labels = [text_labels(draw_words(3, SMALL, 4, seed), size) for seed in range(BATCH)]
    target, mask, near, taught = torch.from_numpy(np.stack(labels)).split(1, 1)
    images = torch.randn(BATCH, 3, *size)
    model, loss = DBNet.preset("lite").train(), losses.build("db")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        out = model(images)
        optimizer.zero_grad(set_to_none=True)
        loss(out.logits, out.threshold, target, near, taught, mask=mask).backward()
        optimizer.step()

    return timed({"step": step}, repeats)["step"]


def markdown(result: Result) -> str:
    """The table, with the machine and the method."""
    head = ["px", "words", "points", *(f"{name}, ms" for name in result["rows"][0]["ms"])]
    head += ["faster than published", f"target {WANTED:g}x"]
    cells = [
        [str(r["size"]), str(r["words"]), str(r["points"]),
         *(f"{ms:.1f}" for ms in r["ms"].values()), f"{r['ratio']:.1f}x",
         report.verdict(r["met"])]
        for r in result["rows"]
    ]  # fmt: skip
    method = METHOD.format(repeats=result["repeats"], small=SMALL, batch=BATCH)
    step = 1e3 * statistics.median(result["step_samples_s"])
    labels = BATCH * result["rows"][0]["ms"]["here"]
    return (
        f"# Labels of words\n\n{report.facts(result['machine'])}\n{method}\n"
        f"{report.table(head, cells)}\n"
        f"A training step takes {step:.0f} ms, the labels of its {BATCH} images {labels:.1f} ms: "
        f"{labels / step:.1%} of it, if no other process makes them.\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the table, or write it with --out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.text_labels")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--out", type=Path, help="JSON to write; the table goes beside it as .md")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    repeats = 1 if args.quick else 15
    cases = [(SMALL, 3, 4)] + [(s, c, p) for s in SIZES for c in COUNTS for p in POINTS]
    rows = [row(*case, repeats) for case in cases]
    result = {
        "machine": report.machine("cpu"),
        "repeats": repeats,
        "rows": rows,
        "step_samples_s": step_s(repeats),
    }
    report.save(result, markdown(result), args.out)


if __name__ == "__main__":
    main()
