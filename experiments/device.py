"""Where a run computes, and torch's global switches while it does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from experiments import distributed
from experiments.config import Device, TrainConfig
from experiments.errors import UserError


def choose(name: Device) -> torch.device:
    """The device of that name; "auto" is this process's GPU where there is one.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UserError(
            "device 'cuda': torch sees no GPU here; take 'auto' or 'cpu', or install a torch "
            "build and a driver for CUDA"
        )
    if name == "cpu" or not there:
        return torch.device("cpu")
    if distributed.launched():
        torch.cuda.set_device(distributed.local_rank())
    return torch.device("cuda", torch.cuda.current_device())


def label(device: torch.device) -> str:
    """What a run's summary calls its device: "cpu" or the GPU's name; "cpu x 2" of two ranks."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{name} x {distributed.world()}" if distributed.launched() else name


@contextmanager
def switches(t: TrainConfig) -> Iterator[None]:
    """Threads and, if asked for, deterministic kernels; as they were before when the block ends.

    Deterministic kernels change no bit on a CPU. What they cost on a GPU has not been measured;
    an operation that has none raises torch's RuntimeError, which names it.
    """
    threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.set_num_threads(t.threads)
    if t.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
