"""What derivatives by hand share: a prediction's probabilities beside its target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .contract import Batch, pixel_count, select

__all__ = ["View", "each", "look"]


def each(per_image: Tensor) -> Tensor:
    """(B,) -> (B,1,1,1), to meet maps."""
    return per_image.view(-1, 1, 1, 1)


@dataclass(frozen=True)
class View:
    """Probability p, 1 - p, p - t, and a pixel's share of its image's mean; 0 where ignored."""

    p: Tensor
    rest: Tensor
    error: Tensor
    share: Tensor
    mask: Tensor | None

    def by_logits(self, by_p: Tensor) -> Tensor:
        """The derivative by the logits, of one by the probabilities."""
        return select(by_p * self.p * self.rest, self.mask, by_p.dtype)


def look(b: Batch) -> View:
    """View a batch, without autograd; 1 - p is made from the logits, exact where p rounds to 1."""
    p, rest = torch.sigmoid(b.logits), torch.sigmoid(-b.logits)
    share = each(1 / pixel_count(p, b.mask).clamp(min=1))
    if b.mask is not None:
        p, share = select(p, b.mask, p.dtype), share * b.mask
    return View(p, rest, p - b.target, share, b.mask)
