"""What a run checks of its batches, and what it says of one that spoils the loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

import losses
from experiments import distributed
from experiments.config import TrainConfig
from experiments.errors import UserError
from experiments.files import whole


class NonFiniteLossError(UserError):
    """Loss or gradient became NaN or infinite; the batch that did it is on disk."""


def check_parts(t: TrainConfig) -> None:
    """Check that a batch splits into equal parts on every process.

    Raises:
        UserError: it does not.
    """
    world = distributed.world()
    if t.batch % (world * t.accumulate):
        raise UserError(
            f"a batch of {t.batch} does not split into {t.accumulate} parts on each of {world} "
            "processes: change train.batch, train.accumulate or the number of processes"
        )


def check_values(targets: Tensor) -> None:
    """Check the targets of the first batch; of that one only, as it costs a synchronisation.

    Raises:
        UserError: NaN, or values outside [0, 1].
    """
    if fault := _fault(targets):
        raise UserError(f"batch: {fault}")


def non_finite(
    folder: Path,
    row: Mapping[str, float],
    images: Tensor,
    targets: Tensor,
    what: str,
    names: Sequence[str],
) -> NonFiniteLossError:
    """Save a step's batch, this rank's slice of it; the error that says where it is and why.

    `names` are those of the loss's terms in `row`.
    """
    file = folder / "-".join(map(str, ("nonfinite_batch", *distributed.stream())))
    file = file.with_suffix(".safetensors")
    with whole(file) as draft:
        save_file({"images": images.contiguous(), "targets": targets.contiguous()}, draft)
    fault = _fault(targets)
    terms = ", ".join(f"{name} {row[name]:g}" for name in names)
    cause = "a lower learning rate, warm-up or gradient clipping is the usual fix"
    if fault:
        cause = f"the data are at fault: {fault}"
    return NonFiniteLossError(
        f"{what} is not finite at step {row['step']} ({terms}); the batch is in {file}; {cause}"
    )


def _fault(targets: Tensor) -> str:
    try:
        maps = targets.flatten(0, 1)[:, None]  # a text target has four
        losses.check_batch(torch.zeros_like(maps), maps)
    except ValueError as error:
        return str(error)
    return ""
