"""Data-parallel training inside a run, by torchrun; in a process alone all of it does nothing.

    torchrun --nproc-per-node 4 experiments/run.py --grid grad_loss --preset paper --data ...

Every rank computes its slice of each batch. Rank 0 alone validates, writes and is heard and asked.
"""

import atexit
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
# The others wait while rank 0 validates; torchrun ends them at once if it dies.
PATIENCE = timedelta(hours=12)


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def world() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def rank() -> int:
    """Which of them this is; 0 leads."""
    return int(os.environ["RANK"]) if launched() else 0


def local_rank() -> int:
    """Which one it is on this machine: its GPU."""
    return int(os.environ["LOCAL_RANK"]) if launched() else 0


def stream() -> tuple[object, ...]:
    """What the names of this rank's random streams end in: nothing on rank 0."""
    return ("rank", rank()) if rank() else ()


def share(value: T) -> T:
    """Rank 0's `value`, on every rank."""
    if not launched():
        return value
    _join()
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def together(work: Callable[[], T]) -> T:
    """What `work` gives on each rank; an error on one of them is raised on all.

    A rank that met it alone would leave the others waiting.
    """
    if not launched():
        return work()
    _join()
    value, error = None, None
    try:
        value = work()
    except Exception as caught:
        error = caught
    errors: list[Exception | None] = [None] * world()
    dist.all_gather_object(errors, error)
    for each in (error, *errors):
        if each is not None:
            raise each
    return cast(T, value)


def by_leader(work: Callable[[], T]) -> T:
    """What `work` gives on rank 0, which alone does it; an error there is raised on every rank."""
    if not launched():
        return work()
    value, error = None, None
    if rank() == 0:
        try:
            value = work()
        except Exception as caught:
            error = caught
    value, error = share((value, error))
    if error is not None:
        raise error
    return cast(T, value)


def mean(values: Tensor) -> Tensor:
    """Mean over the ranks; NaN and infinity on one of them are everyone's."""
    if launched():
        _join()
        dist.all_reduce(values)
        values /= world()
    return values


def wrap(module: nn.Module, device: torch.device) -> nn.Module:
    """The module whose backward averages gradients over the ranks.

    On GPUs batch norm's statistics are those of the whole batch; on CPUs, for which torch has no
    such layer, those of each rank's slice.
    """
    if not launched():
        return module
    _join()
    if device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    # Arms leave parameters without a gradient, such as the heads of a supervision that is dropped.
    return DistributedDataParallel(module, find_unused_parameters=True)


def synchronised(module: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients are exchanged only after the `last` part of a batch."""
    if last or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    return cast(AbstractContextManager[Any], module.no_sync())


@cache
def _join() -> None:
    # gloo for CPU tensors and objects, NCCL for those on GPUs
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE
    )
    atexit.register(dist.destroy_process_group)
