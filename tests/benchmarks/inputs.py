"""Batches to measure on: blobs of about 20 % positives, logits of a half-trained model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.registry import Input, Kind

POSITIVES = 0.2
# What a model hands over: the label goes into the count of bytes, images and masks do not.
Inputs = tuple[Input, ...]


@dataclass(frozen=True)
class Size:
    """Images of side x side pixels, where they live, and the seed they are drawn with."""

    batch: int
    side: int
    device: str = "cpu"
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.batch} x 1 x {self.side} x {self.side}"

    @property
    def pixels(self) -> int:
        """Pixels of the batch."""
        return self.batch * self.side**2

    def generator(self) -> torch.Generator:
        """Random numbers that are the same on every device."""
        return torch.Generator().manual_seed(self.seed)


def _smooth(size: Size, g: torch.Generator, cells: int) -> Tensor:
    coarse = torch.randn(size.batch, 1, cells, cells, generator=g)
    shape = (size.side, size.side)
    return F.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)


def blobs(size: Size) -> Tensor:
    """Binary target: in every image the highest fifth of a smooth random field."""
    field = _smooth(size, size.generator(), 8)
    rank = round((1 - POSITIVES) * size.side**2)
    cut = field.flatten(1).kthvalue(rank, dim=1).values
    return (field > cut.view(-1, 1, 1, 1)).float().to(size.device)


def ignored(size: Size) -> Tensor:
    """Mask without a band of 5 % of the rows: a piece that annotators left out."""
    mask = torch.ones(size.batch, 1, size.side, size.side, dtype=torch.bool, device=size.device)
    mask[:, :, : size.side // 20] = False
    return mask


def logits(size: Size, target: Tensor) -> Tensor:
    """Scores that are right on most pixels, unsure at boundaries, with noise of each pixel."""
    g = size.generator().manual_seed(size.seed + 1)
    near = F.avg_pool2d(target.cpu(), 9, stride=1, padding=4)
    noise = 1.5 * _smooth(size, g, 24) + 0.5 * torch.randn(near.shape, generator=g)
    return leaf((6 * near - 3 + noise).to(size.device))


def leaf(x: Tensor) -> Tensor:
    """Detached copy that gathers a gradient."""
    return x.detach().clone().requires_grad_()


def levels(full: Tensor, count: int = 4) -> list[Tensor]:
    """Stages of a decoder, coarse to fine: 1/8, 1/4, 1/2 and all of the side."""
    sides = [full.shape[-1] >> i for i in reversed(range(count))]
    return [
        leaf(F.interpolate(full.detach(), size=(s, s), mode="bilinear", align_corners=True))
        for s in sides
    ]


def make(kind: Kind, size: Size) -> Inputs:
    """Positional inputs of a loss of this kind; predictions are leaves with a gradient."""
    t = blobs(size)
    z = logits(size, t)
    if kind == "logits":
        return z, t
    if kind == "map":
        return leaf(z.sigmoid()), F.avg_pool2d(t, 9, stride=1, padding=4)
    if kind == "levels":
        return levels(z), t
    if kind == "gradient":
        stages = [leaf(x) for x in levels(z)[1:]]
        image = torch.randn(size.batch, 3, size.side, size.side, generator=size.generator())
        return stages, levels(z)[1:], image.to(size.device), t
    border = F.max_pool2d(t, 9, stride=1, padding=4)
    soft = F.avg_pool2d(border, 9, stride=1, padding=4)
    return z, leaf(soft * 0.4 + 0.3), t, soft * 0.4 + 0.3, border > 0.5


def flat(inputs: Sequence[Input]) -> Iterator[Tensor]:
    """Every tensor of the inputs, those in lists too."""
    for x in inputs:
        yield from [x] if isinstance(x, Tensor) else x


def counted_bytes(inputs: Inputs) -> int:
    """Bytes of predictions (all levels) and labels; images and boolean masks do not count."""
    one = [x for x in flat(inputs) if x.dtype != torch.bool and x.shape[1] == 1]
    return sum(x.numel() * x.element_size() for x in one)
