"""The switches of BiRefNet: every part of the model is one, with the official default."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from models.blocks import SQUEEZE, Attention, BlockKind, Deformable, Widths
from models.decoder import DecoderSwitches, Inward, Lateral
from models.names import unknown
from models.refinement import Refine

Pretrained = bool | str
MULTI_SCALE = ("cat", "add", "none")
CHOICES: dict[str, tuple[str, ...]] = {
    "multi_scale_input": MULTI_SCALE,
    "squeeze": SQUEEZE,
    "decoder_block": get_args(BlockKind),
    "decoder_attention": get_args(Attention),
    "deformable": get_args(Deformable),
    "lateral": get_args(Lateral),
    "inward": get_args(Inward),
    "refine": get_args(Refine),
}
LEAST_MOST: dict[str, tuple[int, int | None]] = {
    "context": (0, 3),
    "outward": (0, 4),
    "refine_iterations": (1, None),
    "refine_scale": (1, None),
    "classes": (0, None),
    "aspp_channels": (1, None),
    "inward_channels": (1, None),
    "gradient_channels": (1, None),
}


@dataclass(frozen=True)
class Switches:
    """What a BiRefNet is made of; names of choices are the official ones.

    Args:
        backbone: a name of `models.backbones.names()`, or any backbone of transformers: a model
            type ("convnextv2"), a name on the hub or a folder ("facebook/convnextv2-tiny-1k-224").
        pretrained: False, True (the library's weights), or a path to a file or folder.
        bb_pretrained: the official code's name for `pretrained`.
        freeze_backbone: True, or how many of its five stages (stem, strides 4 to 32), counted from
            the image: no gradient, no batch statistics, no drop path there. None: as officially,
            dino_v3 alone.
        multi_scale_input: how the encoder's maps of the image at half size join: "cat" (as more
            channels), "add" or "none".
        context: how many finer encoder maps join the coarsest, 0 to 3.
        squeeze: what the coarsest map passes before the decoder: "BasicDecBlk_x1", "ResBlk_x4",
            "ASPP_x3", "ASPPDeformable_x3" or "none", which needs `context=0`.
        decoder_block: "BasicDecBlk", or "ResBlk", which has a 1 x 1 convolution around it.
        decoder_attention: inside those blocks: "ASPPDeformable", "ASPP" or "none".
        deformable: kind of deformable convolution there: "DCNv2" or "DCNv4".
        lateral: what joins encoder maps to the decoder: "BasicLatBlk" or "none".
        inward: the image at every stage: cut in "patches", resized ("image") or "none".
        outward: gradient prediction and attention at so many stages, coarse to fine, 0 to 4.
            True is the official three, False none; needs `multi_stage`.
        multi_stage: logits of the three coarser stages too.
        refine: a second stage at full size, "RefUNet" or "Refiner" (a second encoder and decoder);
            the first then sees the image smaller by `refine_scale`. Its levels follow the first's.
        refine_iterations: how often the second stage runs, each time on its own result.
        refine_scale: 1 or more; officially 4.
        classes: classes of the auxiliary head; 0 leaves it out.
        inter_channels: inside a decoder block; "adap": a quarter of what comes in.
        aspp_channels: of each branch of the attention.
        inward_channels: inside the convolutions of the inward reference.
        gradient_channels: of the features of the outward reference.
        neck_channels: that the maps of a plain transformer are brought to, coarse to fine.
        dropout: in the attention, 0 to below 1.
        drop_path: stochastic depth of the encoder; None: as it was trained (.2 Swin, .1 PVT).
        batch_norm: False to train on single images.
        checkpoint: compute encoder stages and decoder blocks again in the backward pass: less
            memory, more time, the same results.

    Raises:
        ValueError: an unknown choice, with the nearest known one; parts that need each other.
    """

    backbone: str = "swin_v1_l"
    pretrained: Pretrained = False
    bb_pretrained: Pretrained | None = None
    freeze_backbone: bool | int | None = None
    multi_scale_input: str = "cat"
    context: int = 3
    squeeze: str = "BasicDecBlk_x1"
    decoder_block: BlockKind = "BasicDecBlk"
    decoder_attention: Attention = "ASPPDeformable"
    deformable: Deformable = "DCNv2"
    lateral: Lateral = "BasicLatBlk"
    inward: Inward = "patches"
    outward: bool | int = True
    multi_stage: bool = True
    refine: Refine = "none"
    refine_iterations: int = 1
    refine_scale: int = 4
    classes: int = 0
    inter_channels: int | Literal["adap"] = 64
    aspp_channels: int = 256
    inward_channels: int = 64
    gradient_channels: int = 16
    neck_channels: Sequence[int] = (1536, 768, 384, 192)  # those of swin_v1_l
    dropout: float = 0.5
    drop_path: float | None = None
    batch_norm: bool = True
    checkpoint: bool = False

    @classmethod
    def of(cls, switches: dict[str, Any]) -> "Switches":
        """From keywords; ValueError names the nearest known one for an unknown."""
        known = [field.name for field in fields(cls)]
        for key in switches:
            if key not in known:
                raise unknown("switch of BiRefNet", key, known)
        return cls(**switches)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        object.__setattr__(self, "neck_channels", tuple(self.neck_channels))  # JSON: a list
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, (least, most) in LEAST_MOST.items():
            _whole(name, getattr(self, name), least, most)
        if self.inter_channels != "adap":
            _whole("inter_channels", self.inter_channels, 1, None)
        if self.freeze_backbone is not None and self.freeze_backbone not in range(6):
            raise ValueError(
                f"freeze_backbone is {self.freeze_backbone!r}, expected True, False or 0 to 5"
            )
        for name, rate in (("dropout", self.dropout), ("drop_path", self.drop_path)):
            if rate is not None and not 0 <= rate < 1:
                raise ValueError(f"{name} is {rate!r}, expected 0 to below 1")
        if len(self.neck_channels) != 4:
            raise ValueError(f"neck_channels are {self.neck_channels!r}, expected four numbers")
        if self.outward and not self.multi_stage:
            raise ValueError("outward needs multi_stage=True: its labels use those levels")

    @property
    def weights(self) -> Pretrained:
        """`pretrained` by either of its names."""
        return self.pretrained if self.bb_pretrained is None else self.bb_pretrained

    @property
    def frozen(self) -> int:
        """How many stages of the encoder are frozen."""
        if self.freeze_backbone is None:
            return 5 if self.backbone.startswith("dino_v3") else 0
        return 5 if self.freeze_backbone is True else int(self.freeze_backbone)

    @property
    def widths(self) -> Widths:
        """Channels inside the decoder."""
        return Widths(
            inter=self.inter_channels,
            aspp=self.aspp_channels,
            inward=self.inward_channels,
            gradient=self.gradient_channels,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
            deformable=self.deformable,
        )

    @property
    def decoder(self) -> DecoderSwitches:
        """The decoder's parts."""
        return DecoderSwitches(
            block=self.decoder_block,
            attention=self.decoder_attention,
            lateral=self.lateral,
            inward=self.inward,
            outward=3 if self.outward is True else int(self.outward),
            multi_stage=self.multi_stage,
            checkpoint=self.checkpoint,
        )

    @property
    def refiner_decoder(self) -> DecoderSwitches:
        """Those of the refinement module's decoder, which has neither reference."""
        plain = DecoderSwitches(attention=self.decoder_attention, inward="none", outward=0)
        return replace(plain, multi_stage=self.multi_stage, checkpoint=self.checkpoint)


def _whole(name: str, seen: object, least: int, most: int | None) -> None:
    if not isinstance(seen, int) or seen < least or (most is not None and seen > most):
        allowed = f"{least} to {most}" if most is not None else f"a whole number from {least}"
        raise ValueError(f"{name} is {seen!r}, expected {allowed}")
