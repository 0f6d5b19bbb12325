"""What a BiRefNet refuses to look at, said before a layer fails on it."""

import torch
from torch import Tensor, nn


def check_kind(image: Tensor, dtype: torch.dtype, least: int) -> None:
    """Refuse what are no images.

    Args:
        image: anything.
        dtype: of the model; under autocast other floating ones pass, but not float64, which
            autocast leaves as it is.
        least: the shortest side.

    Raises:
        ValueError: no tensor, another dtype, no (B, 3, H, W), an empty batch, a shorter side.
    """
    seen = f"{image.dtype}" if isinstance(image, Tensor) else type(image).__name__
    if not isinstance(image, Tensor) or not _fits(image, dtype):
        raise ValueError(
            f"image is {seen}, expected a tensor (B, 3, H, W) of {dtype} (any floating one but "
            "float64 under autocast): divide pixels of 0 to 255 by 255, normalise with ImageNet's "
            f"mean and spread, and convert with .to({dtype})"
        )
    if image.ndim != 4 or not len(image) or image.shape[1] != 3 or min(image.shape[-2:]) < least:
        raise ValueError(
            f"image is {tuple(image.shape)}, expected (B, 3, H, W) with B from 1, H and W from "
            f"{least}"
        )


def check_statistics(model: nn.Module, image: Tensor) -> None:
    """Refuse a batch of one image whose statistics a batch norm would take.

    Those of SyncBatchNorm may come from other processes too.

    Raises:
        ValueError: with what there is to do.
    """
    if len(image) > 1 or not model.training:
        return
    norms = [
        name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training
    ]
    if not norms:
        return
    encoder = any(name.startswith("bb.") for name in norms)
    second = any(name.startswith("refiner.bb.") for name in norms)
    decoder = any(not name.startswith(("bb.", "refiner.bb.")) for name in norms)
    cures = ["batch_norm=False"] * decoder + ["freeze_backbone=True"] * encoder
    alone = "" if second else f"{' and '.join(cures)}, or "
    raise ValueError(
        f"a batch of one image has no batch statistics, which {len(norms)} batch norms need "
        f"({norms[0]} is one): train with {alone}more images, or call .eval()"
    )


def check_finite(image: Tensor) -> None:
    """Refuse NaN and infinite pixels.

    Raises:
        ValueError: with their places in the batch.
    """
    finite = image.isfinite().flatten(1).all(dim=1)
    if not bool(finite.all()):
        bad = (~finite).nonzero().flatten().tolist()
        raise ValueError(
            f"image has NaN or infinite pixels (number {bad} of the batch), expected finite "
            "ImageNet-normalised values: look at how they were decoded or normalised"
        )


def _fits(image: Tensor, dtype: torch.dtype) -> bool:
    if image.dtype == dtype:
        return True
    device = image.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return False
    return image.is_floating_point() and image.dtype != torch.float64
