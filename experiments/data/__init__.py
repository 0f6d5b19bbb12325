"""Data sets: the two that ship with the project, and folders with `im/` and `gt/`."""

from experiments.data.samples import Samples, batches, normalise, to_tensors
from experiments.data.sources import SHIPPED, Counts, DataConfig, load, load_splits

__all__ = [
    "SHIPPED",
    "Counts",
    "DataConfig",
    "Samples",
    "batches",
    "load",
    "load_splits",
    "normalise",
    "to_tensors",
]
