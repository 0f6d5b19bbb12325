"""The refinement modules: a second stage that sees the image and the coarse map.

The official code had them, and the forward pass that used them, in its first year (both are in
its history: the classes until commit afe09e0, the forward pass until 740c238). Its third class, a
second encoder with four input channels, was never given four: its encoders ignored the argument.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models import backbones
from models.blocks import BasicDecBlk, Widths, norm, resize
from models.checkpointing import recompute
from models.decoder import Decoder, DecoderSwitches

Refine = Literal["RefUNet", "Refiner", "none"]
TAKEN = 4  # the image and the logits of the coarse map
UNET_WIDTH, STEM_WIDTH = 64, 48


class RefUNet(nn.Module):
    """A U-Net of 64 channels and five scales (BASNet's refinement: Qin et al., CVPR 2019)."""

    def __init__(self, widths: Widths, checkpoint: bool = False) -> None:
        super().__init__()
        c = UNET_WIDTH
        first = [nn.Conv2d(TAKEN, c, 3, padding=1)]
        self.encoder_1 = nn.Sequential(*first, *_layer(c, widths))
        for i in (2, 3, 4):
            self.add_module(f"encoder_{i}", nn.Sequential(nn.MaxPool2d(2), *_layer(c, widths)))
        self.pool4 = nn.MaxPool2d(2)
        self.decoder_5 = nn.Sequential(*_layer(c, widths))
        for i in (4, 3, 2, 1):
            self.add_module(f"decoder_{i}", nn.Sequential(*_layer(2 * c, widths)))
        self.conv_d0 = nn.Conv2d(c, 1, 3, padding=1)
        recompute(
            (part for part in self.children() if isinstance(part, nn.Sequential)), checkpoint
        )

    def forward(self, image: Tensor, logits: Tensor) -> list[Tensor]:
        """(B, 3, H, W) and (B, 1, H, W), H and W multiples of 16, to one level (B, 1, H, W)."""
        x, seen = torch.cat((image, logits), dim=1), []
        for i in (1, 2, 3, 4):
            x = self.get_submodule(f"encoder_{i}")(x)
            seen.append(x)
        x = self.decoder_5(self.pool4(x))
        for i in (4, 3, 2, 1):
            finer = seen[i - 1]
            both = torch.cat((resize(x, finer.shape[-2:]), finer), dim=1)
            x = self.get_submodule(f"decoder_{i}")(both)
        return [self.conv_d0(x)]


class Refiner(nn.Module):
    """A second encoder with its decoder, behind a stem that makes three channels of four."""

    def __init__(
        self,
        backbone: str,
        pretrained: backbones.Pretrained,
        drop_path: float | None,
        switches: DecoderSwitches,
        widths: Widths,
        neck: Sequence[int],
    ) -> None:
        super().__init__()
        self.stem_layer = _Stem(widths)
        self.bb = backbones.build(backbone, pretrained, drop_path)
        self.bb.checkpoint(switches.checkpoint)
        channels = list(self.bb.channels)
        self.squeeze_module = BasicDecBlk(channels[0], channels[0], widths, switches.attention)
        recompute([self.stem_layer, self.squeeze_module], switches.checkpoint)
        self.decoder = Decoder(channels, switches, widths, neck if self.bb.plain else None)

    def forward(self, image: Tensor, logits: Tensor) -> list[Tensor]:
        """(B, 3, H, W) and (B, 1, H, W), H and W multiples of 32, to levels, coarse to fine."""
        x = self.stem_layer(torch.cat((image, logits), dim=1))
        maps = self.bb(x)[::-1]
        maps[0] = self.squeeze_module(maps[0])
        levels: list[Tensor] = self.decoder(x, maps)[0]
        return levels


class _Stem(nn.Module):
    """Two 3 x 3 convolutions with norms and a GELU between, four channels to three."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(TAKEN, STEM_WIDTH, 3, padding=1)
        self.norm1 = nn.Sequential(*_stem_norm(STEM_WIDTH, widths))
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(STEM_WIDTH, 3, 3, padding=1)
        self.norm2 = nn.Sequential(*_stem_norm(3, widths))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, H, W) to (B, 3, H, W)."""
        out: Tensor = self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))
        return out


class _Permute(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)


def _stem_norm(channels: int, widths: Widths) -> list[nn.Module]:
    """Batch norm; without it layer norm over the channels, the one place that has a stand-in."""
    if widths.batch_norm:
        return [nn.BatchNorm2d(channels)]
    return [_Permute(0, 2, 3, 1), nn.LayerNorm(channels, eps=1e-6), _Permute(0, 3, 1, 2)]


def _layer(taken: int, widths: Widths) -> list[nn.Module]:
    c = UNET_WIDTH
    return [nn.Conv2d(taken, c, 3, padding=1), norm(c, widths), nn.ReLU()]
