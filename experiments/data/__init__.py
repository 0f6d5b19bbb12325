"""Data sets: the two that ship with the project, and folders with `im/` and `gt/`."""

from experiments.data.samples import Samples, batches, normalise, to_tensors
from experiments.data.sources import SHIPPED, Counts, load

__all__ = ["SHIPPED", "Counts", "Samples", "batches", "load", "normalise", "to_tensors"]
