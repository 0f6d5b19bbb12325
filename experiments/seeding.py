"""Separate random streams, each a pure function of the run's seed and a name.

A stream never depends on how much another one has drawn, so arms with the same seed see the same
batches, flips and dropout masks, and a resumed run needs no generator state.
"""

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, *names: object) -> int:
    """A 63-bit seed from (seed, names)."""
    key = "/".join(map(str, (seed, *names))).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1


def numpy_stream(seed: int, *names: object) -> np.random.Generator:
    """A numpy generator for the stream (seed, names)."""
    return np.random.default_rng(stream_seed(seed, *names))


def seed_torch(seed: int, *names: object) -> None:
    """Put torch's global generators at the start of the stream (seed, names).

    Dropout and kornia draw from the global generator; they take no generator argument.
    """
    torch.manual_seed(stream_seed(seed, *names))
