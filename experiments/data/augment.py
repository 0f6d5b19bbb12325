"""Augmentation of a batch, on the device that it is on; image and target move together.

The official set of ZhengPeng7/BiRefNet (`image_proc.py`, `dataset.py`, `config.py`), which trains
with flip, enhance, rotate and pepper, in the order here. Where it draws whole numbers (angles,
tenths of a factor) this draws real ones; its rotation is bicubic, this one bilinear, for image and
mask; and crop, which there changes the image's size and so is never used, resizes back. Every draw
comes from torch's global CPU generator, so a GPU sees the same augmentation.
"""

from collections.abc import Callable, Sequence

import torch
from kornia.augmentation import (
    AugmentationBase2D,
    AugmentationSequential,
    RandomAffine,
    RandomHorizontalFlip,
    RandomRotation,
)
from kornia.constants import DataKey, Resample
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
    sharpness,
)
from torch import Tensor
from torch.nn.functional import interpolate

from experiments.data.sources import Augmentation
from experiments.errors import unknown

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
LEAST = 64  # the smallest side that the model takes


class Augment:
    """Applies the named steps to (images, targets), both in [0, 1].

    Draws from torch's global generator: seed it before each call.
    """

    def __init__(self, names: Sequence[str], size: tuple[int, int]) -> None:
        for name in names:
            if name not in STEPS:
                raise unknown("augmentation", name, STEPS)
        self.steps = [step(size) for name, step in STEPS.items() if name in names]

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) and soft targets (B, 1, H, W), in [0, 1] as before."""
        for step in self.steps:
            images, targets = step(images, targets)
        return images.clamp(0, 1), targets.clamp(0, 1)


def background(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One colour behind the object: 40 % grey, 40 % near the object's own, 20 % any.

    `background_color_synthesis` of the official data set; there the other steps but flip are
    switched off with it. The object's mean colour counts pixels above 0, weighted by the target.
    """
    b = len(images)
    kind, up = torch.rand(b, 1), torch.rand(b, 1) < 0.5
    share, grey, any_ = 0.2 * torch.rand(b, 1), _byte(b, 1).expand(b, 3), _byte(b, 3)
    kind, up, share, grey, any_ = (x.to(images.device) for x in (kind, up, share, grey, any_))
    mean = (images * targets).sum((2, 3)) / (targets > 0).sum((2, 3)).clamp(min=1)
    near = mean + share * torch.where(up, 1 - mean, -mean)
    colour = torch.where(kind < 0.4, grey, torch.where(kind < 0.8, near, any_))
    return images * targets + colour[..., None, None] * (1 - targets), targets


def enhance(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness and contrast by .5 to 1.5, colour by 0 to 2, sharpness by 0 to 3, always."""
    for change, low, high in (
        (adjust_brightness_accumulative, 0.5, 1.5),
        (adjust_contrast_with_mean_subtraction, 0.5, 1.5),
        (adjust_saturation_with_gray_subtraction, 0.0, 2.0),
        (sharpness, 0.0, 3.0),
    ):
        factor = torch.empty(len(images)).uniform_(low, high).to(images.device)
        images = change(images, factor).clamp(0, 1)
    return images, targets


def pepper(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """0.15 % of the image's pixels become black or white; the target stays."""
    draw = torch.rand(len(images), 1, *images.shape[2:]).to(images.device)
    images = images.masked_fill(draw < 0.0015, 1.0)
    return images.masked_fill(draw < 0.0015 / 2, 0.0), targets


def dynamic(size: tuple[int, int]) -> Step:
    """Another size for each batch: sides of 1/4 to 9/4 of `size`, multiples of 32 from 64.

    `dynamic_size` of the official configuration: 256 to 2304 around 1024. There samples are read
    at their own resolution; here they come at `size`, and larger ones are interpolated.
    """

    def step(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        shape = [_side(side // 4, side * 9 // 4) for side in size]
        return _resize(images, shape), _resize(targets, shape)

    return step


def _side(low: int, high: int) -> int:
    return max(LEAST, int(torch.randint(low, high + 1, ())) // 32 * 32)


def _resize(x: Tensor, shape: list[int]) -> Tensor:
    return interpolate(x, shape, mode="bilinear", antialias=True)


def _byte(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape) / 255


def _moves(step: AugmentationBase2D) -> Step:
    """A geometric step of kornia's on both, bilinear: masks are soft."""
    both = AugmentationSequential(
        step,
        data_keys=["input", "mask"],
        extra_args={DataKey.MASK: {"resample": Resample.BILINEAR}},
    )

    def moved(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        images, targets = both(images, targets)
        return images, targets

    return moved


ZOOM = (1.0, 1 / 0.9)  # the middle of the image, each side at least nine tenths
STEPS: dict[Augmentation, Callable[[tuple[int, int]], Step]] = {
    "background": lambda _: background,
    "flip": lambda _: _moves(RandomHorizontalFlip(p=0.5)),
    "crop": lambda _: _moves(RandomAffine(degrees=0.0, scale=(*ZOOM, *ZOOM), p=1.0)),
    "rotate": lambda _: _moves(RandomRotation(degrees=15.0, p=0.2)),
    "enhance": lambda _: enhance,
    "pepper": lambda _: pepper,
    "dynamic": dynamic,
}
