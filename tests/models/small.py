"""What the tests of the model share: narrow widths, and numbers drawn from a seed."""

from typing import Any

import torch
from torch import Tensor

SMALL: dict[str, Any] = {
    "inter_channels": 8,
    "aspp_channels": 8,
    "inward_channels": 8,
    "gradient_channels": 4,
}


def noise(*size: int, seed: int = 0) -> Tensor:
    """Normal, the same for the same seed."""
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))
