"""How costs are counted: on tensors that have shapes and no numbers.

Multiply-adds are those of the convolutions and matrix products of one evaluation forward of one
image (DBNet's has no threshold map); norms, resizing, activations and the sampling of deformable
convolutions are not counted.

Weights are all parameters and buffers in float32, 4 bytes a number. Kept is what a training step
holds from the forward pass to the backward pass for each further image of a batch, in float32,
each storage once; without and with gradient checkpointing. On top come weights, gradients, the
optimizer's moments, and what one operation needs while it runs (with checkpointing, what one stage
of the encoder or block of the decoder keeps while it is computed again). Attention is taken as it
is written out; fused kernels keep less.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from models.birefnet import BiRefNet
from models.trunk import Trunk

# that the presets are made for
SIZES = {"official": 1024, "lite": 128, "dbnet_official": 640, "dbnet_lite": 160}
HEADS = (
    "model",
    "size",
    "parameters",
    "trained",
    "encoder",
    "multiply-adds",
    "weights",
    "kept per image",
    "with checkpointing",
)


@dataclass(frozen=True)
class Cost:
    """Of one model at one size; numbers of parameters, multiply-adds and bytes."""

    size: int
    parameters: int
    trained: int
    encoder: int
    multiply_adds: int
    weights: int
    kept: int
    kept_checkpointed: int


def cost(size: int, switches: Mapping[str, Any], build: Callable[..., Trunk] = BiRefNet) -> Cost:
    """What `build(**switches)` costs with images (3, size, size); no weights are loaded.

    Raises:
        ValueError: unknown switches, a size that the model refuses.
    """
    plain = _on_meta(build, {**switches, "checkpoint": False})
    again = _on_meta(build, {**switches, "checkpoint": True})
    two, three = (torch.empty(n, 3, size, size, device="meta") for n in (2, 3))
    parameters = list(plain.parameters())
    return Cost(
        size=size,
        parameters=sum(p.numel() for p in parameters),
        trained=sum(p.numel() for p in parameters if p.requires_grad),
        encoder=sum(p.numel() for p in plain.bb.parameters()),
        multiply_adds=multiply_adds(plain.eval(), two[:1]),
        weights=sum(z.nbytes for z in (*parameters, *plain.buffers())),
        kept=kept(plain.train(), three) - kept(plain, two),
        kept_checkpointed=kept(again.train(), three) - kept(again, two),
    )


def multiply_adds(module: nn.Module, image: Tensor) -> int:
    """Of the convolutions and matrix products of `module(image)`."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(image)
    return int(counter.get_total_flops()) // 2


def kept(module: nn.Module, image: Tensor) -> int:
    """Bytes that `module(image)` keeps for its backward pass, weights and buffers left out."""
    own = {_storage(z) for z in (*module.parameters(), *module.buffers())}
    held: dict[int, torch.UntypedStorage] = {}  # so that no address is used twice

    def note(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            held[_storage(tensor)] = tensor.untyped_storage()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
        module(image)
    return sum(storage.nbytes() for storage in held.values())


def table(costs: Mapping[str, Cost], markdown: bool = False) -> str:
    """A row for each named cost, in aligned columns or as Markdown."""
    rows = [HEADS, *(_row(name, c) for name, c in costs.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    lines = [_line(row, widths, markdown) for row in rows]
    if markdown:
        lines.insert(1, "|-" + "|-:" * (len(HEADS) - 1) + "|")
    return "\n".join(lines)


def _on_meta(build: Callable[..., Trunk], switches: dict[str, Any]) -> Trunk:
    with torch.device("meta"):
        return build(**{**switches, "pretrained": False, "bb_pretrained": None})


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # meta storages have no other address


def _row(name: str, c: Cost) -> Sequence[str]:
    millions = [f"{n / 1e6:.2f} M" for n in (c.parameters, c.trained, c.encoder)]
    sizes = [f"{n / 2**20:,.0f} MiB" for n in (c.weights, c.kept, c.kept_checkpointed)]
    return name, f"{c.size} px", *millions, f"{c.multiply_adds / 1e9:,.2f} G", *sizes


def _line(row: Sequence[str], widths: Sequence[int], markdown: bool) -> str:
    if markdown:
        return "| " + " | ".join(row) + " |"
    first, *rest = zip(row, widths, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)))
