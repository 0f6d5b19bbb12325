"""Speed and memory of the losses against their published formulas."""

import argparse
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch

import losses

from . import report
from .run import run
from .suite import BENCHMARKS

THREADS, REPEATS = 2, 7


def items() -> list[str]:
    """All that can be run: the benchmarks, then the memory of every registered loss."""
    return [*BENCHMARKS, *(f"memory:{name}" for name in losses.names())]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="run these, patterns too: ssim 'memory:*'"
    )
    parser.add_argument(
        "--repeats", type=int, default=REPEATS, help="rounds; committed results have at least 7"
    )
    parser.add_argument("--quick", action="store_true", help="small images, 1 round, no compile")
    parser.add_argument("--no-compile", action="store_true", help="leave compiled subjects out")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="JSON to write; tables go beside it as .md")
    return parser


def _chosen(patterns: Sequence[str] | None) -> list[str]:
    """Items that fit any of the patterns; SystemExit where a pattern fits none."""
    if patterns is None:
        return items()
    idle = [p for p in patterns if not any(fnmatch(name, p) for name in items())]
    if idle:
        raise SystemExit(f"no benchmark fits {idle}; --list names them")
    return [name for name in items() if any(fnmatch(name, p) for p in patterns)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for; print the tables, or write them with --out."""
    args = _parser().parse_args(arguments)
    chosen = _chosen(args.only)
    if args.list:
        print("\n".join(chosen))
        return
    if args.repeats < 1:
        raise SystemExit(f"--repeats {args.repeats}: expected at least 1")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch sees no GPU here")
    torch.set_num_threads(THREADS)
    repeats = 1 if args.quick else args.repeats
    compiled = not (args.quick or args.no_compile)
    figures = run(chosen, repeats=repeats, device=args.device, compiled=compiled, quick=args.quick)
    result = report.complete(figures, repeats, args.device)
    report.save(result, report.markdown(result), args.out)


if __name__ == "__main__":
    main()
