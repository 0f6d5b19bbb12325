"""Draw a batch, and compare two formulas in value and gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["SIZES", "agree", "draw", "normal"]

# Smaller and larger than the windows of SSIM (11) and F3Net (31); odd sizes among them.
SIZES = [(1, 8, 8), (3, 40, 33), (2, 7, 64)]
Formula = Callable[..., Tensor]


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Normal numbers in float64, the same for the same seed."""
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=g, dtype=torch.float64)


def draw(size: tuple[int, int, int], seed: int = 0, soft: bool = False) -> tuple[Tensor, Tensor]:
    """Logits and a target: uniform numbers, or 40 % of pixels at 1."""
    b, h, w = size
    noise = torch.rand(
        b, 1, h, w, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )
    return normal(b, 1, h, w, seed=seed, scale=3.0), noise if soft else (noise > 0.6).double()


def agree(
    ours: Formula, theirs: Formula, leaves: Sequence[Tensor], *, close: float = 1e-6
) -> Tensor:
    """Assert that two functions of ``leaves`` agree in value and gradient; return the value."""
    leaves = [x.detach().clone().requires_grad_() for x in leaves]
    found, wanted = ours(*leaves), theirs(*leaves)
    torch.testing.assert_close(found, wanted, rtol=close, atol=close)
    for a, b in zip(
        torch.autograd.grad(found, leaves, allow_unused=True),
        torch.autograd.grad(wanted, leaves, allow_unused=True),
        strict=True,
    ):
        zero = torch.zeros(())
        torch.testing.assert_close(
            zero if a is None else a, zero if b is None else b, rtol=close, atol=1e-9
        )
    return found.detach()
