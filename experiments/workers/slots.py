"""What a machine has for runs: how many at once, and which of its GPUs each of them gets."""

import os

from experiments.config import Runtime


def deal_gpu(index: int) -> None:
    """Show this process one of the machine's GPUs, by its slot; before CUDA is initialised."""
    import torch

    chosen = gpu_of(index, torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if chosen is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen


def gpu_of(index: int, count: int, visible: str | None) -> str | None:
    """The GPU of a worker in slot `index` as CUDA_VISIBLE_DEVICES names it; None without one.

    Args:
        index: slot, from 0; more slots than GPUs share them.
        count: GPUs that can be used.
        visible: CUDA_VISIBLE_DEVICES as it is, indices or UUIDs; None where it is not set.

    >>> gpu_of(3, 2, None), gpu_of(1, 2, "4,GPU-8f1e"), gpu_of(0, 0, None)
    ('1', 'GPU-8f1e', None)
    """
    if not count:
        return None
    names = visible.split(",") if visible else [str(number) for number in range(count)]
    return names[index % min(count, len(names))].strip()


def at_once(threads: int, device: str) -> int:
    """How many runs this machine does at once: one a GPU, else one for so many threads."""
    import torch

    gpus = torch.cuda.device_count() if device != "cpu" else 0
    return gpus or max(1, cores() // threads)


def check(runtime: Runtime) -> None:
    """Refuse what this machine does not have before every run fails for it.

    Raises:
        UserError: it has no GPU, or no TensorBoard.
    """
    import torch

    from experiments import device, history

    if runtime.device == "cuda" and not torch.cuda.is_available():
        device.choose(runtime.device)  # not where there is one: that would start CUDA here
    if runtime.tensorboard:
        history.board()


def cores() -> int:
    """How many cores this process may use: fewer than the machine's in a container or a job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
