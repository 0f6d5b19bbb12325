"""Finished runs, compared."""

from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file


def same_files(one: Path, two: Path) -> bool:
    """Whether two runs have the same table, history and weights, bit by bit."""
    tables = [pd.read_parquet(folder / "per_image.parquet") for folder in (one, two)]
    histories = [(folder / "history.csv").read_bytes() for folder in (one, two)]
    weights = [load_file(folder / "checkpoint.safetensors") for folder in (one, two)]
    return (
        tables[0].equals(tables[1])
        and histories[0] == histories[1]
        and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    )
