"""A training step of the official BiRefNet code against one of this project's.

    python -m tests.benchmarks.step --official CHECKOUT [--out results/benchmarks/step.json]

CHECKOUT is a clone of ZhengPeng7/BiRefNet; the interpreter needs what that code imports, beside
what this project does. Weights, batches and losses are equal: the loss of both is checked first.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from .measure import Timing, time_all
from .step_sides import Subject, Worker

THREADS, REPEATS = 2, 7
AGREE = {"float32": 1e-4, "bfloat16": 5e-2}
WANTED = {"float32": 5.0, "bfloat16": 7.0}  # on a CPU, pvt_v2_b0, batch 4
Result = dict[str, Any]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--official", type=Path, help="checkout of the official code")
    parser.add_argument("--backbone", default="pvt_v2_b0")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], metavar="PX")
    parser.add_argument("--batch", type=int, nargs="+", default=[4], metavar="IMAGES")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--precision", nargs="+", default=["float32", "bfloat16"], choices=list(AGREE)
    )
    parser.add_argument("--compile", action="store_true", help="compiled steps too, both sides")
    parser.add_argument(
        "--checkpoint", action="store_true", help="gradient checkpointing too (ours)"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help="rounds; 7 for a result")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--out", type=Path, help="JSON to write; tables go beside it as .md")
    return parser


def subjects(args: argparse.Namespace, pixels: int, batch: int, weights: str) -> list[Subject]:
    """All that take turns on one batch; the official ones first: they write the weights."""
    first = Subject(
        "official",
        str(args.official.resolve()),
        weights,
        backbone=args.backbone,
        pixels=pixels,
        batch=batch,
        device=args.device,
        threads=args.threads,
    )
    found = [
        replace(first, side=side, precision=precision, compiled=compiled)
        for side in ("official", "ours")
        for precision, compiled in product(args.precision, (False, True)[: 1 + args.compile])
    ]
    extra = [replace(s, checkpoint=True) for s in found if s.side == "ours" and args.checkpoint]
    return found + extra


def compare(chosen: Sequence[Subject], repeats: int) -> Result:
    """Time the subjects in turns; what fails is told in its own words."""
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        ready: dict[str, tuple[Subject, Worker]] = {}
        values: dict[str, float] = {}
        for subject in chosen:
            print(f"{subject}, {subject.batch} x {subject.pixels} px ...", file=sys.stderr)
            try:
                worker = stack.enter_context(Worker(subject))
                values[str(subject)] = worker.ask("value")
                worker.step()
            except RuntimeError as error:
                failed[str(subject)] = str(error)
            else:
                ready[str(subject)] = subject, worker
        times = time_all({n: w.step for n, (_, w) in ready.items()}, repeats, "cpu")
        rows = {
            name: _row(times[name], subject, values[name], worker.ask("peak"))
            for name, (subject, worker) in ready.items()
        }
    named = {str(s): s for s in chosen}
    ratios = list(_ratios({name: (named[name], row) for name, row in rows.items()}))
    size = {key: getattr(chosen[0], key) for key in ("backbone", "pixels", "batch", "device")}
    return {**size, "subjects": rows, "failed": failed, "ratios": ratios}


def _row(time: Timing, subject: Subject, value: float, peak: int) -> Result:
    return {
        "median_s": time.median,
        "min_s": min(time.samples),
        "max_s": max(time.samples),
        "samples_s": list(time.samples),
        "images_per_s": subject.batch / time.median,
        "peak_bytes": peak,
        "loss": value,
    }


def _ratios(rows: dict[str, tuple[Subject, Result]]) -> Iterator[Result]:
    """Each of ours against the official one of its kind; where that fails, against float32."""
    for name, (subject, row) in rows.items():
        if subject.side == "official":
            continue
        twin = replace(subject, side="official", checkpoint=False)
        others = [str(x) for x in (twin, replace(twin, precision="float32"))]
        against = next((x for x in others if x in rows), None)
        if against is None:
            continue
        other = rows[against][1]
        apart = abs(row["loss"] / other["loss"] - 1)
        rounds = zip(row["samples_s"], other["samples_s"], strict=True)
        each = [theirs / mine for mine, theirs in rounds]
        ratio, wanted = other["median_s"] / row["median_s"], _wanted(subject)
        yield {
            "subject": name,
            "against": against,
            "ratio": ratio,
            "least": min(each),
            "most": max(each),
            "peak_share": row["peak_bytes"] / other["peak_bytes"] if other["peak_bytes"] else None,
            "wanted": wanted,
            "met": None if wanted is None else ratio >= wanted,
            "losses_apart": apart,
            "losses_agree": apart <= AGREE[subject.precision],
        }


def _wanted(subject: Subject) -> float | None:
    plain = not (subject.compiled or subject.checkpoint)
    asked = (subject.device, subject.backbone, subject.batch) == ("cpu", "pvt_v2_b0", 4)
    return WANTED[subject.precision] if plain and asked and subject.pixels in (128, 256) else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sizes; print the tables, or write them with --out."""
    args = _parser().parse_args(arguments)
    if args.official is None or not (args.official / "models" / "birefnet.py").exists():
        raise SystemExit(
            f"--official {args.official}: no models/birefnet.py there; expected a checkout: "
            "git clone https://github.com/ZhengPeng7/BiRefNet"
        )
    from . import report, step_report  # here: they import models, which the workers must not

    runs = []
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder, "official.pth"))
        for pixels, batch in product(args.sizes, args.batch):
            runs.append(compare(subjects(args, pixels, batch, weights), args.repeats))
    result = {"machine": report.machine(args.device), "repeats": args.repeats, "runs": runs}
    result |= {"official": step_report.revision(args.official)}
    text = step_report.markdown(result)
    report.save(result, text, args.out)


if __name__ == "__main__":
    main()
