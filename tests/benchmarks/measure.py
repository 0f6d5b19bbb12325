"""Time of forward and backward, and bytes saved between them."""

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .inputs import Inputs, flat

BLOCK_S, MOST_CALLS = 0.3, 20
Step = Callable[[], None]


@dataclass(frozen=True)
class Timing:
    """Seconds of one forward and backward, one sample a round."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.samples)


def step(loss: Callable[..., Tensor], inputs: Inputs) -> Step:
    """Forward and backward with the gradients dropped first, as a training step drops them."""
    leaves = [x for x in flat(inputs) if x.requires_grad]

    def run() -> None:
        for x in leaves:
            x.grad = None
        loss(*inputs).backward()

    return run


@contextmanager
def _no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _block(run: Step, calls: int, device: str) -> float:
    """Seconds of one call, the mean of ``calls`` in a row, waiting for the device at both ends."""
    _wait(device)
    start = perf_counter()
    for _ in range(calls):
        run()
    _wait(device)
    return (perf_counter() - start) / calls


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def time_all(steps: Mapping[str, Step], repeats: int, device: str) -> dict[str, Timing]:
    """Time subjects interleaved: one block of each a round, every other round backwards.

    The first call compiles, the second warms up and tells how many calls fill a block, so that a
    short subject is not measured on one call. What disturbs a round disturbs all subjects.
    """
    calls = {}
    for name, run in steps.items():
        run()
        once = _block(run, 1, device)
        calls[name] = min(MOST_CALLS, max(1, math.ceil(BLOCK_S / once))) if repeats > 1 else 1
    samples: dict[str, list[float]] = {name: [] for name in steps}
    with _no_gc():
        for turn in range(repeats):
            for name in reversed(steps) if turn % 2 else steps:
                samples[name].append(_block(steps[name], calls[name], device))
    return {name: Timing(tuple(found)) for name, found in samples.items()}


def saved_bytes(loss: Callable[..., Tensor], inputs: Inputs) -> int:
    """Bytes of the storages that the forward pass keeps for backward, each counted once.

    The inputs count where they are kept. A view counts as the whole storage that it keeps alive.
    """
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(x: Tensor) -> None:
        storage = x.untyped_storage()
        kept[storage.data_ptr()] = storage  # held, so that no address is used twice

    with saved_tensors_hooks(pack, lambda _: None):
        value = loss(*inputs)
    assert value.requires_grad, "nothing to go backward through"
    return sum(storage.nbytes() for storage in kept.values())


def copy_bandwidth(device: str, megabytes: int) -> float:
    """Bytes read and written a second by a copy; the best of several."""
    x = torch.ones(megabytes << 18, device=device)
    y = torch.empty_like(x)

    def copy() -> None:
        y.copy_(x)

    copy()
    return 2 * x.numel() * x.element_size() / min(_block(copy, 3, device) for _ in range(9))
