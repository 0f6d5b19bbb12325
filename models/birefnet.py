"""BiRefNet (Zheng et al., CAAI AIR 2024), module by module as the official code has it."""

from contextlib import nullcontext
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import backbones
from models.blocks import ATTENTION, BLOCKS, Attention, BlockKind, Widths, resize
from models.decoder import Decoder, DecoderSwitches, Inward
from models.names import unknown

STRIDE = 32
LEAST = 64  # the image at half size still has a pixel at the deepest stride
SQUEEZE = ("BasicDecBlk_x1", "ResBlk_x4", "ASPP_x3", "ASPPDeformable_x3", "none")
MULTI_SCALE = ("cat", "add", "none")
PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "lite": {
        "backbone": "efficientnet_lite0",
        "pretrained": True,
        "inter_channels": 16,
        "aspp_channels": 32,
        "inward_channels": 16,
    },
}


class BiRefNetOutput(NamedTuple):
    """What the model predicts, in training and evaluation alike; all logits."""

    logits: Tensor  # (B, 1, H, W)
    levels: list[Tensor]  # coarse to fine, (B, 1, h, w); the last is `logits`
    gradient_logits: list[Tensor]  # of the stages with outward reference, coarse to fine
    class_logits: Tensor | None  # (B, classes)


class BiRefNet(nn.Module):
    """Bilateral reference network for high-resolution segmentation.

    Args:
        backbone: a name of `models.backbones.names()`.
        pretrained: False, True (the library's weights), or a path.
        freeze_backbone: True, or how many of its five stages (stem, strides 4 to 32), counted from
            the image: no gradient, no batch statistics, no drop path there.
        multi_scale_input: how the image at half size joins: "cat", "add" or "none".
        context: how many finer encoder maps join the coarsest, 0 to 3.
        squeeze: what the coarsest map passes before the decoder.
        decoder_block, decoder_attention, inward, outward, multi_stage: the decoder's parts.
        classes: classes of the auxiliary head; 0 leaves it out.
        inter_channels, aspp_channels, inward_channels, gradient_channels: widths inside.
        dropout: in the attention.
        batch_norm: False to train on single images.

    Raises:
        ValueError: an unknown choice, with the nearest known one; parts that need each other.
    """

    def __init__(
        self,
        backbone: str = "swin_v1_l",
        *,
        pretrained: backbones.Pretrained = False,
        freeze_backbone: bool | int = False,
        multi_scale_input: str = "cat",
        context: int = 3,
        squeeze: str = "BasicDecBlk_x1",
        decoder_block: BlockKind = "BasicDecBlk",
        decoder_attention: Attention = "ASPPDeformable",
        inward: Inward = "patches",
        outward: bool = True,
        multi_stage: bool = True,
        classes: int = 0,
        inter_channels: int = 64,
        aspp_channels: int = 256,
        inward_channels: int = 64,
        gradient_channels: int = 16,
        dropout: float = 0.5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        _choice("multi_scale_input", multi_scale_input, MULTI_SCALE)
        _choice("squeeze", squeeze, SQUEEZE)
        _choice("decoder_block", decoder_block, get_args(BlockKind))
        _choice("decoder_attention", decoder_attention, get_args(Attention))
        _choice("inward", inward, get_args(Inward))
        if context not in range(4):
            raise ValueError(f"context is {context!r}, expected 0, 1, 2 or 3")
        if outward and not multi_stage:
            raise ValueError("outward=True needs multi_stage=True: its labels use those levels")
        widths = Widths(
            inter_channels, aspp_channels, inward_channels, gradient_channels, dropout, batch_norm
        )
        self.multi_scale_input, self.context = multi_scale_input, context
        self.batch_norm, self.pretrained = batch_norm, bool(pretrained)
        self.bb = backbones.build(backbone, pretrained)
        double = 2 if multi_scale_input == "cat" else 1
        channels = [double * c for c in self.bb.channels]
        joined = channels[0] + sum(channels[1 : 1 + context])
        self.cls_head = nn.Sequential(nn.Linear(channels[0], classes)) if classes else None
        self.squeeze_module = _squeeze(squeeze, joined, channels[0], widths, decoder_attention)
        switches = DecoderSwitches(decoder_block, decoder_attention, inward, outward, multi_stage)
        self.decoder = Decoder(channels, switches, widths)
        self.freeze(5 if freeze_backbone is True else freeze_backbone)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> "BiRefNet":
        """A named set of switches: "official" (swin_v1_l, made for 1024 px) or "lite".

        Raises:
            ValueError: an unknown preset or switch, with the nearest known one.
        """
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS)
        known = ["backbone", *(cls.__init__.__kwdefaults__ or {})]
        for key in overrides:
            if key not in known:
                raise unknown("switch of BiRefNet", key, known)
        return cls(**{**PRESETS[name], **overrides})

    def freeze(self, stages: int) -> None:
        """Freeze the backbone's first stages, 0 to 5, and train the others.

        Raises:
            ValueError: another number.
        """
        if stages not in range(6):
            raise ValueError(f"freeze_backbone is {stages!r}, expected True, False or 0 to 5")
        self.frozen = int(stages)
        for i, stage in enumerate(self.bb.stages()):
            for module in stage:
                module.requires_grad_(i >= stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> "BiRefNet":
        """As usual, but the backbone's frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in self.bb.stages()[: self.frozen]:
            for module in stage:
                module.eval()
        if self.frozen == 5:
            self.bb.eval()
        return self

    def forward(self, image: Tensor) -> BiRefNetOutput:
        """Segment ImageNet-normalised images (B, 3, H, W) of any size from 64 px on.

        Raises:
            ValueError: another number of channels or dimensions, a side below 64 px, a single
                image in training with batch norm.
        """
        if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < LEAST:
            raise ValueError(
                f"image is {tuple(image.shape)}, expected (B, 3, H, W) with H and W from {LEAST}"
            )
        if self.training and self.batch_norm and len(image) == 1:
            raise ValueError(
                "a batch of one image has no batch statistics: train with batch_norm=False or "
                "more images, or call .eval()"
            )
        height, width = image.shape[-2:]
        image = image.contiguous(memory_format=torch.channels_last)
        padded = F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        maps = self._encode(padded)
        pooled = maps[0].mean(dim=(2, 3)) if self.cls_head is not None else None
        classes = self.cls_head(pooled) if self.cls_head is not None else None
        if self.context:
            size = maps[0].shape[-2:]
            finer = [resize(m, size) for m in maps[self.context : 0 : -1]]
            maps[0] = torch.cat((*finer, maps[0]), dim=1)
        maps[0] = self.squeeze_module(maps[0])
        levels, gradients = self.decoder(padded, maps)
        if padded.shape != image.shape:
            levels = [_crop(z, image, padded) for z in levels]
            gradients = [_crop(z, image, padded) for z in gradients]
        return BiRefNetOutput(levels[-1], levels, gradients, classes)

    def _encode(self, image: Tensor) -> list[Tensor]:
        """Encoder maps, coarse to fine, the half-size image's joined to them."""
        with torch.no_grad() if self.frozen == 5 else nullcontext():
            maps: list[Tensor] = self.bb(image)
            if self.multi_scale_input != "none":
                half = resize(image, tuple(side // 2 for side in image.shape[-2:]))
                sizes = (m.shape[-2:] for m in maps)
                halves = [resize(h, size) for h, size in zip(self.bb(half), sizes, strict=True)]
                if self.multi_scale_input == "cat":
                    maps = [torch.cat(pair, dim=1) for pair in zip(maps, halves, strict=True)]
                else:
                    maps = [m + h for m, h in zip(maps, halves, strict=True)]
        return maps[::-1]


def _squeeze(kind: str, taken: int, given: int, widths: Widths, attention: Attention) -> nn.Module:
    if kind == "none":
        if taken != given:
            raise ValueError("squeeze='none' needs context=0: nothing else fuses the finer maps")
        return nn.Sequential()
    name, count = kind.split("_x")
    blocks: list[nn.Module] = []
    for i in range(int(count)):
        channels = taken if i == 0 else given
        if name in BLOCKS:
            blocks.append(BLOCKS[name](channels, given, widths, attention))
        else:
            blocks.append(ATTENTION[name](channels, widths, given))
    return nn.Sequential(*blocks)


def _crop(logits: Tensor, image: Tensor, padded: Tensor) -> Tensor:
    """A map of the padded image, brought to its size and cut to the image."""
    grown = resize(logits, padded.shape[-2:])
    return grown[..., : image.shape[-2], : image.shape[-1]]


def _choice(name: str, seen: str, known: tuple[str, ...]) -> None:
    if seen not in known:
        raise unknown(name, seen, known)
