"""BiRefNet's decoder: four stages with inward and outward reference."""

from collections.abc import Sequence
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
from models.checkpointing import recompute

Inward = Literal["patches", "image", "none"]
Lateral = Literal["BasicLatBlk", "none"]
STAGES = (4, 3, 2, 1)  # coarse to fine, in the official numbering
STRIDE = 32  # of the coarsest map


@dataclass(frozen=True)
class DecoderSwitches:
    """The decoder's parts, with the official defaults."""

    block: BlockKind = "BasicDecBlk"
    attention: Attention = "ASPPDeformable"
    lateral: Lateral = "BasicLatBlk"
    inward: Inward = "patches"
    outward: int = 3  # how many stages predict the gradient, coarse to fine
    multi_stage: bool = True
    checkpoint: bool = False  # compute the blocks again in the backward pass


class Decoder(nn.Module):
    """Takes the image and four encoder maps, gives logits at four scales and gradient logits.

    Args:
        channels: of the encoder maps, coarse to fine.
        switches: which parts there are.
        widths: channels inside.
        neck: channels that maps of one stride (a plain transformer's) are brought to, coarse to
            fine, one map a stage; None for an encoder whose maps are a pyramid.
        logits: whether there is what makes logits of the last map and of the image at full size;
            without it the decoder gives `features` alone.
    """

    def __init__(
        self,
        channels: Sequence[int],
        switches: DecoderSwitches,
        widths: Widths,
        neck: Sequence[int] | None = None,
        logits: bool = True,
    ) -> None:
        super().__init__()
        self.switches, self.neck = switches, neck is not None
        given = list(neck or channels)
        if neck:
            for stage, taken, width in zip(STAGES, channels, neck, strict=True):
                self.add_module(f"pyramid_neck_x{stage}", BasicLatBlk(taken, width))
        out = [*given[1:], given[-1] // 2]
        inward = [c // 8 for c in channels] if switches.inward != "none" else [0] * 4
        block = BLOCKS[switches.block]
        for i, stage in enumerate(STAGES):
            taken = given[i] + inward[max(0, i - 1)]
            self.add_module(
                f"decoder_block{stage}", block(taken, out[i], widths, switches.attention)
            )
            recompute([self.get_submodule(f"decoder_block{stage}")], switches.checkpoint)
            if stage > 1 and switches.lateral != "none":
                self.add_module(f"lateral_block{stage}", BasicLatBlk(given[i + 1], out[i]))
        self.channels = out[3]
        if switches.inward != "none":
            self._add_inward(inward, widths, logits)
        if logits:
            self.conv_out1 = nn.Sequential(nn.Conv2d(out[3] + inward[3], 1, 1))
        self._add_heads(out, widths)

    def _add_inward(self, inward: list[int], widths: Widths, logits: bool) -> None:
        split = self.switches.inward == "patches"
        stages = [*zip((5, *STAGES), (inward[0], *inward), (10, 8, 6, 4, 0), strict=True)]
        for stage, width, power in stages if logits else stages[:-1]:
            taken = 3 * 2**power if split else 3
            self.add_module(f"ipt_blk{stage}", SimpleConvs(taken, width, widths.inward))

    def _add_heads(self, out: list[int], widths: Widths) -> None:
        if self.switches.multi_stage:
            for stage, width in zip(STAGES[:3], out, strict=False):
                self.add_module(f"conv_ms_spvn_{stage}", nn.Conv2d(width, 1, 1))
        for stage, width in zip(STAGES[: self.switches.outward], out, strict=False):
            self._add_outward(stage, width, widths)

    def _add_outward(self, stage: int, width: int, widths: Widths) -> None:
        g = widths.gradient
        features = nn.Sequential(nn.Conv2d(width, g, 3, padding=1), norm(g, widths), nn.ReLU())
        self.add_module(f"gdt_convs_{stage}", features)
        self.add_module(f"gdt_convs_pred_{stage}", nn.Sequential(nn.Conv2d(g, 1, 1)))
        self.add_module(f"gdt_convs_attn_{stage}", nn.Sequential(nn.Conv2d(g, 1, 1)))

    def forward(self, image: Tensor, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Levels of logits, coarse to fine, the last at the image's size, and gradient logits.

        Args:
            image: (B, C, H, W), H and W multiples of 32; C = 3 where there is inward reference.
            maps: encoder maps, coarse to fine.
        """
        x, levels, gradients = self.features(image, maps)
        return [*levels, self._out(x, image)], gradients

    def features(
        self, image: Tensor, maps: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The last map (B, `channels`, H/4, W/4), which no logits are made of yet, and the rest.

        It has seen the image wherever `inward` shows it but at full size: that joins the logits.
        """
        levels: list[Tensor] = []
        gradients: list[Tensor] = []
        if self.neck:
            maps = [self._necked(i, m, image) for i, m in enumerate(maps)]
        x = self._with_inward(5, maps[0], image)
        for stage, finer in zip(STAGES[:3], maps[1:], strict=True):
            x = self.get_submodule(f"decoder_block{stage}")(x)
            if self.switches.multi_stage:
                levels.append(self.get_submodule(f"conv_ms_spvn_{stage}")(x))
            x = resize(self._with_outward(stage, x, gradients), finer.shape[-2:])
            if self.switches.lateral != "none":
                x = x + self.get_submodule(f"lateral_block{stage}")(finer)
            x = self._with_inward(stage, x, image)
        x = self._with_outward(1, self.get_submodule("decoder_block1")(x), gradients)
        return x, levels, gradients

    def _necked(self, i: int, x: Tensor, image: Tensor) -> Tensor:
        """A map of a plain encoder, resized to its stage and brought to its channels."""
        return resized(self.get_submodule(f"pyramid_neck_x{STAGES[i]}"), x, stage_size(i, image))

    def _with_inward(self, stage: int, x: Tensor, image: Tensor) -> Tensor:
        if self.switches.inward == "none":
            return x
        seen = patches(image, x.shape[-2:]) if self.switches.inward == "patches" else image
        seen = resize(seen, x.shape[-2:])
        return torch.cat((x, self.get_submodule(f"ipt_blk{stage}")(seen)), dim=1)

    def _with_outward(self, stage: int, x: Tensor, gradients: list[Tensor]) -> Tensor:
        """The map weighted where the gradient is expected, whose logits are added to the list."""
        if stage not in STAGES[: self.switches.outward]:
            return x
        features = self.get_submodule(f"gdt_convs_{stage}")(x)
        gradients.append(self.get_submodule(f"gdt_convs_pred_{stage}")(features))
        weighted: Tensor = x * self.get_submodule(f"gdt_convs_attn_{stage}")(features).sigmoid()
        return weighted

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


def stage_size(i: int, image: Tensor) -> tuple[int, ...]:
    """(H, W) of stage i, counted from the coarsest, whose stride is 32."""
    return tuple(side * 2**i // STRIDE for side in image.shape[-2:])


def resized(conv: nn.Module, x: Tensor, size: tuple[int, ...]) -> Tensor:
    """A 1 x 1 convolution of a map brought to a size.

    It commutes with the bilinear resize, and goes where there is less to do.
    """
    smaller = size[0] * size[1] < x.shape[-2] * x.shape[-1]
    out: Tensor = conv(resize(x, size)) if smaller else resize(conv(x), size)
    return out


def patches(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """The image cut into tiles of `size`, stacked as channels: (B, C H W / (h w), h, w)."""
    b, c, height, width = image.shape
    h, w = size
    tiles = image.view(b, c, height // h, h, width // w, w).permute(0, 3, 5, 1, 2, 4)
    return tiles.reshape(b, h, w, -1).permute(0, 3, 1, 2)  # channels-last
