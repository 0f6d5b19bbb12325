"""Run benchmarks and memory counts, one after the other, into plain data."""

import sys
from collections.abc import Iterable
from typing import Any

import torch

import losses

from .inputs import Inputs, Size, counted_bytes, ignored, make
from .measure import Timing, copy_bandwidth, saved_bytes, step, time_all
from .suite import BENCHMARKS, Benchmark, Ratio

Result = dict[str, Any]
PROGRESS = 0.75
SAVED_LIMIT = 3.0


def _told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def benchmark(found: Benchmark, repeats: int, device: str, compiled: bool) -> Result:
    """Time one benchmark's subjects; the ratios between them with their targets."""
    torch._dynamo.reset()
    _told(f"{found.name} ...")
    size = Size(found.size.batch, found.size.side, device)
    inputs = found.inputs(size)
    subjects = [s for s in found.subjects if compiled or not s.compiled]
    ready = {s.name: s.ready() for s in subjects}
    times = time_all({n: step(f, inputs) for n, f in ready.items()}, repeats, device)
    share = 1 / counted_bytes(inputs[: len(inputs) - found.extra])
    rows = {
        name: {
            "median_s": time.median,
            "min_s": min(time.samples),
            "max_s": max(time.samples),
            "samples_s": list(time.samples),
            "value": float(ready[name](*inputs).detach()),
            "saved": saved_bytes(ready[name], inputs) * share,
        }
        for name, time in times.items()
    }
    return {
        "name": found.name,
        "title": found.title,
        "size": str(size),
        "subjects": rows,
        "ratios": _ratios(found, rows),
        "traffic": _traffic(found, size, times),
    }


def _ratios(found: Benchmark, rows: dict[str, Result]) -> list[Result]:
    present = [r for r in found.ratios if r.subject in rows and r.against in rows]
    return [_ratio(r, rows[r.subject], rows[r.against]) for r in present]


def _ratio(ratio: Ratio, subject: Result, against: Result) -> Result:
    value = ratio.of(subject["median_s"], against["median_s"])
    apart = abs(subject["value"] - against["value"]) / abs(against["value"])
    return {
        "subject": ratio.subject,
        "against": ratio.against,
        "kind": ratio.kind,
        "ratio": value,
        "wanted": ratio.wanted,
        "met": ratio.met(value),
        "values_apart": apart if ratio.kind == "faster" else None,
    }


def _traffic(found: Benchmark, size: Size, times: dict[str, Timing]) -> Result | None:
    """Least seconds at the speed of a copy, and how many times that each subject takes."""
    if found.traffic is None:
        return None
    speed = copy_bandwidth(size.device, 256 if size.pixels > 1 << 20 else 1)
    least = found.traffic * size.pixels / speed
    return {
        "bytes_per_pixel": found.traffic,
        "copy_gb_per_s": speed / 1e9,
        "least_s": least,
        "times_least": {name: time.median / least for name, time in times.items()},
    }


def _saved(loss: losses.Loss, inputs: Inputs, size: Size, masked: bool) -> float:
    mask = ignored(size) if masked else None

    def call(*args: Any) -> torch.Tensor:
        return loss(*args, mask=mask, progress=PROGRESS)

    return saved_bytes(call, inputs) / counted_bytes(inputs)


def variants(name: str) -> Iterable[tuple[str, losses.Loss]]:
    """The loss with one choice or flag other than its default."""
    for key, knob in losses.spec(name).knobs.items():
        options = {"choice": knob.choices, "flag": (True, False)}.get(knob.kind, ())
        for value in options:
            if value != knob.default:
                yield f"{key}={value}", losses.build(name, **{key: value})


def memory(name: str, size: Size) -> Result:
    """Count what a registered loss saves, as a multiple of its predictions and labels."""
    _told(f"memory:{name} ...")
    loss = losses.build(name)
    inputs = make(loss.kind, size)
    plain = _saved(loss, inputs, size, False)
    others = [(_saved(other, inputs, size, False), said) for said, other in variants(name)]
    worst, knob = max(others, default=(plain, ""))
    return {
        "loss": name,
        "kind": loss.kind,
        "size": str(size),
        "saved": plain,
        "masked": _saved(loss, inputs, size, True),
        "worst": max(worst, plain),
        "worst_knob": knob if worst > plain else "",
        "wanted": SAVED_LIMIT,
        "met": plain <= SAVED_LIMIT,
    }


def _unjudged(rows: list[Result]) -> None:
    """Take the verdicts out: they say nothing of small images and one round."""
    for row in rows:
        row["met"] = None


def run(
    chosen: list[str], *, repeats: int, device: str, compiled: bool, quick: bool
) -> dict[str, list[Result]]:
    """Run the chosen items: names of benchmarks, and ``memory:`` with the name of a loss."""
    size = Size(2, 64, device) if quick else Size(4, 1024, device)
    found: dict[str, list[Result]] = {"benchmarks": [], "memory": []}
    for name in chosen:
        if name in BENCHMARKS:
            asked = BENCHMARKS[name].shrunk() if quick else BENCHMARKS[name]
            found["benchmarks"].append(benchmark(asked, repeats, device, compiled))
        else:
            found["memory"].append(memory(name.removeprefix("memory:"), size))
    if quick:
        _unjudged([*found["memory"], *(r for b in found["benchmarks"] for r in b["ratios"])])
    return found
