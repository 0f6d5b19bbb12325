"""The pilot of a gradient-supervision grid: what scale and weight make its arms comparable.

    python -m experiments.pilot --grid grad_loss --preset laptop

Prints, for each arm, the rms of the gradient its objective sends into the gradient logits at the
start of training, by what to multiply its `scale` to make that the baseline's, and the share of
the pixel loss's gradient on the decoder (`grad_share`) over one run at the configured weight.
The seeds lie outside those of every grid.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from experiments import grid as grids
from experiments.config import RunConfig
from experiments.data import load_splits, normalise, to_tensors
from experiments.errors import UserError, unknown
from experiments.model import build_model
from experiments.objective import Objective
from experiments.train import train

SEEDS = (1000, 1001, 1002, 1003)


def initial_rms(config: RunConfig) -> float:
    """Root mean square of the gradient loss's gradient on the gradient logits, before step 1."""
    samples = load_splits(config.data)[0]
    images, targets = to_tensors([samples[i] for i in range(config.train.batch)])
    model, objective = build_model(config), Objective(config.loss)
    torch.manual_seed(config.seed)
    inputs = normalise(images)
    out = model(inputs)
    if not out.gradient_logits:  # a model without outward reference
        return 0.0
    term = objective(out, inputs, targets, 0.0)["gradient"]
    grads = torch.autograd.grad(term, out.gradient_logits, allow_unused=True)
    squares = [g.square().mean() for g in grads if g is not None]
    return float(torch.stack(squares).mean().sqrt()) if squares else 0.0


def shares(config: RunConfig) -> tuple[list[float], float]:
    """grad_share at the moments of one run, and its last score on the validation split."""
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder), test=False)
        history = pd.read_csv(Path(folder) / "history.csv")
    scores = history[f"val_{config.select}"].dropna()
    return history["grad_share"].dropna().tolist(), float(scores.iloc[-1])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.pilot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--grid", required=True, help="a grid of masks")
    p.add_argument("--preset", default="laptop", help="its scale (default: laptop)")
    p.add_argument("--arm", action="append", help="only this arm (repeatable)")
    p.add_argument("--weight", type=float, help="try this gradient weight instead")
    p.add_argument("--no-train", action="store_true", help="initial rms only")
    try:
        pilot(p.parse_args(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def pilot(options: argparse.Namespace) -> None:
    """Print a line for each arm.

    Raises:
        UserError: unknown names, a grid of text, or a run that cannot be.
    """
    grid = grids.find(options.grid)
    if grid.task != "masks":
        raise UserError(f"{grid.name!r} is a grid of {grid.task}: no gradient supervision")
    preset = grids.find_preset(grid, options.preset)
    for name in options.arm or ():
        if name not in grid.arms:
            raise unknown(f"arm of {grid.name!r}", name, grid.arms)
    names = dict.fromkeys([grid.baseline, *(options.arm or grid.arms)])
    rms: dict[str, float] = {}
    for name in names:
        configs = [grids.resolve(grid, preset, name, seed) for seed in SEEDS]
        if options.weight is not None:
            configs = [
                replace(c, loss=replace(c.loss, gradient_weight=options.weight)) for c in configs
            ]
        rms[name] = sum(initial_rms(config) for config in configs) / len(configs)
        ratio = rms[grid.baseline] / rms[name] if rms[name] else float("nan")
        line = f"{name:<18}rms {rms[name]:.3e}  scale x{ratio:.3f}"
        if not options.no_train:
            found, value = shares(configs[0])
            line += f"  grad_share {' '.join(f'{x:.4f}' for x in found)}"
            line += f"  mean {sum(found) / len(found):.4f}  validation {grid.primary} {value:.3f}"
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
