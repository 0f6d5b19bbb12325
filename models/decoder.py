"""BiRefNet's decoder: four stages with inward and outward reference."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import (
    BLOCKS,
    Attention,
    BasicLatBlk,
    BlockKind,
    SimpleConvs,
    Widths,
    norm,
    resize,
)

Inward = Literal["patches", "image", "none"]
STAGES = (4, 3, 2, 1)  # coarse to fine, in the official numbering


@dataclass(frozen=True)
class DecoderSwitches:
    """The decoder's parts, with the official defaults."""

    block: BlockKind = "BasicDecBlk"
    attention: Attention = "ASPPDeformable"
    inward: Inward = "patches"
    outward: bool = True
    multi_stage: bool = True


class Decoder(nn.Module):
    """Takes the image and four encoder maps, gives logits at four scales and gradient logits.

    Args:
        channels: of the encoder maps, coarse to fine.
        switches: which parts there are.
        widths: channels inside.
    """

    def __init__(self, channels: list[int], switches: DecoderSwitches, widths: Widths) -> None:
        super().__init__()
        self.switches = switches
        out = [*channels[1:], channels[-1] // 2]
        inward = [c // 8 for c in channels] if switches.inward != "none" else [0] * 4
        block = BLOCKS[switches.block]
        for i, stage in enumerate(STAGES):
            taken = channels[i] + inward[max(0, i - 1)]
            self.add_module(
                f"decoder_block{stage}", block(taken, out[i], widths, switches.attention)
            )
            if stage > 1:
                self.add_module(f"lateral_block{stage}", BasicLatBlk(channels[i + 1], out[i]))
        if switches.inward != "none":
            split = switches.inward == "patches"
            for stage, width, power in zip(
                (5, *STAGES), (inward[0], *inward), (10, 8, 6, 4, 0), strict=True
            ):
                taken = 3 * 2**power if split else 3
                self.add_module(f"ipt_blk{stage}", SimpleConvs(taken, width, widths.inward))
        self.conv_out1 = nn.Sequential(nn.Conv2d(out[3] + inward[3], 1, 1))
        for i, stage in enumerate(STAGES[:3]):
            if switches.multi_stage:
                self.add_module(f"conv_ms_spvn_{stage}", nn.Conv2d(out[i], 1, 1))
            if switches.outward:
                g = widths.gradient
                features = nn.Sequential(
                    nn.Conv2d(out[i], g, 3, padding=1), norm(g, widths), nn.ReLU()
                )
                self.add_module(f"gdt_convs_{stage}", features)
                self.add_module(f"gdt_convs_pred_{stage}", nn.Sequential(nn.Conv2d(g, 1, 1)))
                self.add_module(f"gdt_convs_attn_{stage}", nn.Sequential(nn.Conv2d(g, 1, 1)))

    def forward(self, image: Tensor, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Levels of logits, coarse to fine, the last at the image's size, and gradient logits.

        Args:
            image: (B, 3, H, W), H and W multiples of 32.
            maps: encoder maps, coarse to fine.
        """
        levels, gradients = [], []
        x = self._with_inward(5, maps[0], image)
        for i, stage in enumerate(STAGES[:3]):
            x = self.get_submodule(f"decoder_block{stage}")(x)
            if self.switches.multi_stage:
                levels.append(self.get_submodule(f"conv_ms_spvn_{stage}")(x))
            if self.switches.outward:
                features = self.get_submodule(f"gdt_convs_{stage}")(x)
                gradients.append(self.get_submodule(f"gdt_convs_pred_{stage}")(features))
                x = x * self.get_submodule(f"gdt_convs_attn_{stage}")(features).sigmoid()
            finer = maps[i + 1]
            x = resize(x, finer.shape[-2:]) + self.get_submodule(f"lateral_block{stage}")(finer)
            x = self._with_inward(stage, x, image)
        return [*levels, self._out(self.get_submodule("decoder_block1")(x), image)], gradients

    def _with_inward(self, stage: int, x: Tensor, image: Tensor) -> Tensor:
        if self.switches.inward == "none":
            return x
        seen = patches(image, x.shape[-2:]) if self.switches.inward == "patches" else image
        seen = resize(seen, x.shape[-2:])
        return torch.cat((x, self.get_submodule(f"ipt_blk{stage}")(seen)), dim=1)

    def _out(self, x: Tensor, image: Tensor) -> Tensor:
        """The last 1 x 1 convolution, drawn forward to where there are fewer numbers.

        It commutes with the upsampling of its decoder input, and it is folded into the last
        convolution of its inward input: nothing nonlinear lies between.
        """
        conv: nn.Conv2d = self.get_submodule("conv_out1.0")  # type: ignore[assignment]
        decoded, seen = conv.weight.split((x.shape[1], conv.in_channels - x.shape[1]), dim=1)
        out = resize(F.conv2d(x, decoded, conv.bias), image.shape[-2:])
        if self.switches.inward == "none":
            return out
        block: SimpleConvs = self.get_submodule("ipt_blk1")  # type: ignore[assignment]
        return out + block.folded(image, seen)


def patches(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """The image cut into tiles of `size`, stacked as channels: (B, C H W / (h w), h, w)."""
    b, c, height, width = image.shape
    h, w = size
    tiles = image.view(b, c, height // h, h, width // w, w).permute(0, 3, 5, 1, 2, 4)
    return tiles.reshape(b, h, w, -1).permute(0, 3, 1, 2)  # channels-last
