"""What every backbone offers to the model."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

Pretrained = bool | str


class Backbone(ABC, nn.Module):
    """An encoder: four feature maps of an ImageNet-normalised image.

    `channels` are those of the maps, coarse to fine. The maps lie at strides 4, 8, 16 and 32; if
    `plain`, as of a vision transformer, all four lie at stride 16.
    """

    channels: tuple[int, ...]
    plain = False

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W), H and W multiples of 16, to four maps, fine to coarse."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """Five groups of modules: the stem, then what makes each map, fine to coarse.

        Every parameter is in exactly one.
        """

    @abstractmethod
    def checkpoint(self, on: bool) -> None:
        """Whether inner maps are computed again for the backward pass rather than kept."""


def without_drop_path(name: str, drop_path: float | None) -> None:
    """Refuse stochastic depth where there is none.

    Raises:
        ValueError: a rate other than None or 0.
    """
    if drop_path:
        raise ValueError(f"{name} has no stochastic depth: drop_path is {drop_path}, expected 0")
