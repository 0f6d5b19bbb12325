"""Augmentation of a batch by kornia; image and target move together."""

from collections.abc import Callable, Sequence

from kornia.augmentation import (
    AugmentationSequential,
    ColorJitter,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)
from kornia.constants import DataKey, Resample
from torch import Tensor, nn

from experiments.errors import unknown

# The official recipe's list (flip, enhance, rotate, crop), with its ranges where it names them.
STEPS: dict[str, Callable[[tuple[int, int]], nn.Module]] = {
    "flip": lambda _: RandomHorizontalFlip(p=0.5),
    "enhance": lambda _: ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, p=1.0),
    "rotate": lambda _: RandomRotation(degrees=15.0, p=0.2),
    "crop": lambda size: RandomResizedCrop(size, scale=(0.7, 1.0), ratio=(0.9, 1.1), p=0.5),
}


class Augment:
    """Applies the named steps to (images, targets), both in [0, 1].

    Draws from torch's global generator: seed it before each call.
    """

    def __init__(self, names: Sequence[str], size: tuple[int, int]) -> None:
        for name in names:
            if name not in STEPS:
                raise unknown("augmentation", name, STEPS)
        self.steps = (
            AugmentationSequential(
                *(STEPS[name](size) for name in names),
                data_keys=["input", "mask"],
                extra_args={DataKey.MASK: {"resample": Resample.BILINEAR}},  # masks are soft
            )
            if names
            else None
        )

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.steps is None:
            return images, targets
        images, targets = self.steps(images, targets)
        return images.clamp(0, 1), targets.clamp(0, 1)
