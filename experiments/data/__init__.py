"""Data sets: the two that ship with the project, and folders as people have them."""

from experiments.data.samples import Samples, batches, normalise, to_tensors
from experiments.data.sources import (
    SHIPPED,
    Counts,
    DataConfig,
    configure,
    describe,
    load,
    load_splits,
)

__all__ = [
    "SHIPPED",
    "Counts",
    "DataConfig",
    "Samples",
    "batches",
    "configure",
    "describe",
    "load",
    "load_splits",
    "normalise",
    "to_tensors",
]
