"""The tables of `tests.benchmarks.step`."""

import subprocess
from pathlib import Path
from typing import Any

from .report import facts, table, verdict

Result = dict[str, Any]
METHOD = """\
- A step: forward in training mode, losses, backward, AdamW. Equal weights (read from the official
  state dict; offsets moved from 0), equal batch, equal losses (the official `PixLoss` with the
  weights for DIS5K and the BCE of the gradient labels). The losses of both, dropout and drop path
  off, are compared first; the steps that are timed have both on.
- As each side's own training has them, AdamW is torch's default there and the fused one here,
  which computes the same; weights lie channels-last here.
- Each subject is a process of its own, kept for the whole run. They take turns: one block of
  steps of each a round, every other round in reverse order; {repeats} rounds after a warm-up that
  also compiles; {threads} threads; those whose turn it is not wait.
- Ratios are of medians; least and most are over the rounds. bfloat16 is autocast of the forward
  pass. Where the official step fails, ours is set against the official one in float32.
- "compiled" is `torch.compile` of the model with default settings, on both sides.
- Every result is listed, those that miss their target too.
"""


def revision(checkout: Path) -> str:
    """The commit of the official code; empty outside of git."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _run(run: Result) -> str:
    seen = [
        [
            name,
            *(f"{1e3 * row[key]:.0f}" for key in ("median_s", "min_s", "max_s")),
            f"{row['images_per_s']:.2f}",
            f"{row['peak_bytes'] / 2**30:.1f}" if row["peak_bytes"] else "",
            f"{row['loss']:.6g}",
        ]
        for name, row in run["subjects"].items()
    ]
    ratios = [
        [
            f"{row['subject']} against {row['against']}",
            f"{row['ratio']:.2f}x",
            f"{row['least']:.2f} to {row['most']:.2f}",
            "" if row["wanted"] is None else f">= {row['wanted']:g}x",
            verdict(row["met"]),
            "" if row["peak_share"] is None else f"{row['peak_share']:.2f}x",
            f"{row['losses_apart']:.0e}{'' if row['losses_agree'] else ' **differ**'}",
        ]
        for row in run["ratios"]
    ]
    head = ["subject", "median ms", "min", "max", "images/s", "peak GB", "loss"]
    heads = ["ratio", "faster", "over the rounds", "target", "", "memory", "losses apart"]
    failed = "".join(f"\nFailed: {n}: `{why[:300]}`\n" for n, why in run["failed"].items())
    title = f"## {run['backbone']}, {run['batch']} x {run['pixels']} px, {run['device']}\n\n"
    return title + table(head, seen) + failed + "\n" + table(heads, ratios)


def markdown(result: Result) -> str:
    """All tables, with the machine and the method."""
    method = METHOD.format(repeats=result["repeats"], threads=result["machine"]["threads"])
    about = facts({**result["machine"], "official code": result["official"]})
    parts = [f"# Speed of a training step against the official code\n\n{about}\n{method}"]
    return "\n".join([*parts, *map(_run, result["runs"])])
