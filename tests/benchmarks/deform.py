"""The deformable convolution against torchvision's operator, forward and backward.

    python -m tests.benchmarks.deform [--out results/benchmarks/deform.json] [--device cuda]

Where torchvision's operator does not run (builds for a GPU have one for the CPU as well, those of
some systems have none), a form with grid_sample stands in, and the tables say so.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models import deform
from models.deform import Read

from . import report
from .measure import saved_bytes, step, time_all

THREADS, REPEATS = 2, 7
METHOD = """\
- A call is forward and backward, all four gradients, with the gradients dropped before it.
  Subjects take turns: one block of calls of each a round, every other round in reverse order;
  {repeats} rounds after a warm-up; a block is as many calls as fill 0.3 s, at most 20; garbage
  collection off; {threads} threads. Ratios are of medians.
- "rows" is this project's form in plain PyTorch, on a GPU too, where the model itself takes
  torchvision's. In bfloat16 all inputs are; torchvision has no kernel for that.
- Offsets are normal with a deviation of 1.5 px, modulation uniform in [0, 1).
- "saved": bytes of the storages kept for backward (`saved_tensors_hooks`), each counted once.
  "all samples" is what keeping the samples of every tap would take.
- "apart": the largest difference of the result or of a gradient, as a share of the largest number
  in it; both in the same dtype as "rows".
"""
Op = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Result = dict[str, Any]


class Size(NamedTuple):
    """(B, C, side, side) to (B, O, side, side)."""

    batch: int
    channels: int
    side: int
    kernel: int
    out: int
    wanted: float | None = None

    def __str__(self) -> str:
        b, c, side, k, o, _ = self
        return f"({b}, {c}, {side}, {side}), {k} x {k}, {o} outputs"


SIZES = (
    Size(2, 64, 64, 7, 256, wanted=10.0),
    Size(2, 64, 64, 3, 256),
    Size(2, 64, 64, 1, 256),
    Size(1, 64, 256, 7, 256),  # the finest stage of an image of 1024 px
)


def inputs(size: Size, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, offsets, modulation and weight; leaves with a gradient."""
    torch.manual_seed(0)
    b, c, side, k, o, _ = size
    found = (
        torch.randn(b, c, side, side),
        1.5 * torch.randn(b, 2 * k * k, side, side),
        torch.rand(b, k * k, side, side),
        torch.randn(o, c, k, k) / math.sqrt(c * k * k),
    )
    x, offset, modulation, weight = (z.to(device).requires_grad_() for z in found)
    return x, offset, modulation, weight


def rows(x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor) -> Tensor:
    """This project's."""
    read = Read(offset, modulation, weight, weight.shape[-1] // 2)
    (out,) = deform._by_rows(x, [read], (x.shape[2], x.shape[3]), 1)
    return out


def rows_bfloat16(*tensors: Tensor) -> Tensor:
    """The same on rounded inputs."""
    return rows(*(z.bfloat16() for z in tensors)).float()


def torchvision(x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor) -> Tensor:
    """Its operator."""
    read = Read(offset, modulation, weight, weight.shape[-1] // 2)
    return deform._by_torchvision(x, read, 1)


def grid_sample(x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor) -> Tensor:
    """Tap by tap, as it is mostly written without an operator."""
    h, w, k = x.shape[2], x.shape[3], weight.shape[-1]
    side = torch.arange(max(h, w), device=x.device)
    total: Tensor | float = 0.0
    for tap in range(k * k):
        y = offset[:, 2 * tap] + (side[:h, None] + tap // k - k // 2)
        z = offset[:, 2 * tap + 1] + (side[:w] + tap % k - k // 2)
        grid = torch.stack((2 * z / (w - 1) - 1, 2 * y / (h - 1) - 1), dim=-1)
        read = F.grid_sample(x, grid, align_corners=True) * modulation[:, tap, None]
        total = total + torch.einsum("bchw,oc->bohw", read, weight[:, :, tap // k, tap % k])
    assert isinstance(total, Tensor)
    return total


def apart(one: Op, other: Op, size: Size, device: str) -> float:
    """The largest difference of results and gradients, as a share of the largest number."""
    found = []
    for op in (one, other):
        leaves = inputs(size, device)
        out = op(*leaves)
        found.append([out.detach(), *torch.autograd.grad(out.sum(), leaves)])
    pairs = zip(*found, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def compare(size: Size, repeats: int, device: str) -> Result:
    """One size: rows, rows in bfloat16, and what they are measured against."""
    other = torchvision if deform.torchvision_works(device) else grid_sample
    ops: dict[str, Op] = {"rows": rows, "rows, bfloat16": rows_bfloat16, other.__name__: other}
    leaves = inputs(size, device)
    sums = {name: _summed(op) for name, op in ops.items()}
    times = time_all({n: step(f, leaves) for n, f in sums.items()}, repeats, device)
    theirs = times[other.__name__].median
    subjects = {
        name: {
            "median_s": time.median,
            "min_s": min(time.samples),
            "max_s": max(time.samples),
            "samples_s": list(time.samples),
            "saved_bytes": saved_bytes(sums[name], leaves),
            "faster": theirs / time.median,
            "wanted": size.wanted if name == "rows" and other is torchvision else None,
        }
        for name, time in times.items()
    }
    samples = 4 * size.batch * size.side**2 * size.kernel**2 * size.channels
    share = apart(rows, other, size, device)
    return {"size": str(size), "subjects": subjects, "samples_bytes": samples, "apart": share}


def _summed(op: Op) -> Op:
    return lambda *tensors: op(*tensors).sum()


def markdown(result: Result) -> str:
    """All tables, with the machine and the method."""
    method = METHOD.format(repeats=result["repeats"], threads=result["machine"]["threads"])
    parts = [f"# Deformable convolution\n\n{report.facts(result['machine'])}\n{method}"]
    head = ["subject", "median ms", "min", "max", "faster", "target", "", "saved MB"]
    for run in result["runs"]:
        cells = [
            [
                name,
                *(f"{1e3 * row[key]:.1f}" for key in ("median_s", "min_s", "max_s")),
                f"{row['faster']:.2f}x",
                "" if row["wanted"] is None else f">= {row['wanted']:g}x",
                report.verdict(None if not row["wanted"] else row["faster"] >= row["wanted"]),
                f"{row['saved_bytes'] / 1e6:.1f}",
            ]
            for name, row in run["subjects"].items()
        ]
        ends = f"all samples {run['samples_bytes'] / 1e6:.0f} MB; apart {run['apart']:.0e}"
        parts.append(f"## {run['size']}\n\n{report.table(head, cells)}\n{ends}\n")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sizes; print the tables, or write them with --out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.deform")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="rounds; 7 for a result")
    parser.add_argument("--quick", action="store_true", help="small maps, 1 round")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="JSON to write; tables go beside it as .md")
    args = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    sizes = [s._replace(side=8, channels=4, wanted=None) for s in SIZES] if args.quick else SIZES
    repeats = 1 if args.quick else args.repeats
    runs = [compare(size, repeats, args.device) for size in sizes]
    result = {"machine": report.machine(args.device), "repeats": repeats, "runs": runs}
    report.save(result, markdown(result), args.out)


if __name__ == "__main__":
    main()
