"""Hard-example mining: the sum of the k greatest values, exact under ties, without a sort."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hardest_sum", "kth_largest"]

_BITS = {torch.float32: (torch.int32, 31), torch.float64: (torch.int64, 63)}


def kth_largest(values: Tensor, k: Tensor) -> Tensor:
    """The k-th largest of each row: (R, N) >= 0 and (R,) integers -> (R, 1).

    Non-negative floats are ordered as their bits are, so the answer is built bit by bit from
    counts: 31 passes, deterministic, no sort, no host sync. k below 1 gives NaN, which the caller
    leaves out.
    """
    integer, width = _BITS[values.dtype]
    values = values.detach()
    found = torch.zeros_like(values[:, :1], dtype=integer)
    for place in range(width - 1, -1, -1):
        trial = found | (1 << place)
        at_least = values >= trial.view(values.dtype)  # the small side as floats: compiled 4 x
        enough = at_least.sum(1, keepdim=True, dtype=torch.int32) >= k[:, None]
        found = torch.where(enough, trial, found)
    return found.view(values.dtype)


def hardest_sum(values: Tensor, k: Tensor) -> Tensor:
    """Sum of the k greatest of each row: (R, N) >= 0 and (R,) integers -> (R,).

    Values within 4 eps of the k-th count as equal to it and share what is left of k, and the
    gradient with it, so neither depends on the order of the pixels: a logarithm at the end of a
    row may be computed by other instructions than the same one before it, and differ in its last
    bits. The sum is exact to 4 eps; 0 for k = 0.
    """
    tau = kth_largest(values, k)
    apart = 4 * torch.finfo(values.dtype).eps
    above = values > tau * (1 + apart)
    tied = (values >= tau * (1 - apart)) & ~above
    left = (k - above.sum(1, dtype=torch.int32)).to(values.dtype)
    share = left / tied.sum(1, dtype=torch.int32).clamp(min=1)
    weight = torch.where(tied, share[:, None], above.to(values.dtype))
    return torch.where(k > 0, (weight * values).sum(1), torch.zeros_like(values[:, 0]))
