"""The switches of BiRefNet: every part of the model is one, with the official default."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from typing import Any, Literal, get_args, get_origin

from models.backbones.base import Pretrained
from models.blocks import Attention, BlockKind, Deformable, Widths
from models.decoder import DecoderSwitches, Inward, Lateral
from models.names import unknown
from models.refinement import Refine

MultiScale = Literal["cat", "add", "none"]
Squeeze = Literal["BasicDecBlk_x1", "ResBlk_x4", "ASPP_x3", "ASPPDeformable_x3", "none"]


def _whole(x: object, least: int = 1) -> bool:
    return type(x) is int and x >= least  # True is an int too, but no number of channels


def _rate(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and 0 <= x < 1


def _text(x: object) -> bool:
    return isinstance(x, str) and x != ""


def _four(x: object) -> bool:
    return isinstance(x, tuple) and len(x) == 4 and all(map(_whole, x))


Check = tuple[str, Callable[[Any], bool]]  # what is expected, and whether a value is
FLAG: Check = ("True or False", lambda x: isinstance(x, bool))
NUMBER: Check = ("a whole number from 1", _whole)
CHECKS: dict[str, Check] = {
    "backbone": ("a name or a folder", _text),
    "pretrained": ("True, False or a path", lambda x: isinstance(x, bool) or _text(x)),
    "bb_pretrained": (
        "True, False, a path or None",
        lambda x: x is None or isinstance(x, bool) or _text(x),
    ),
    "freeze_backbone": (
        "True, False or 0 to 5, or None",
        lambda x: x is None or (isinstance(x, int) and 0 <= x <= 5),
    ),
    "context": ("0 to 3", lambda x: _whole(x, 0) and x <= 3),
    "outward": ("True, False or 0 to 4", lambda x: isinstance(x, int) and 0 <= x <= 4),
    "multi_stage": FLAG,
    "refine_iterations": NUMBER,
    "refine_scale": NUMBER,
    "classes": ("a whole number from 0", lambda x: _whole(x, 0)),
    "inter_channels": ("a whole number from 1, or 'adap'", lambda x: x == "adap" or _whole(x)),
    "aspp_channels": NUMBER,
    "inward_channels": NUMBER,
    "gradient_channels": NUMBER,
    "neck_channels": ("four numbers, each whole and from 1", _four),
    "dropout": ("0 to below 1", _rate),
    "drop_path": ("0 to below 1, or None", lambda x: x is None or _rate(x)),
    "batch_norm": FLAG,
    "checkpoint": FLAG,
}


@dataclass(frozen=True)
class Switches:
    """What a BiRefNet is made of; names of choices are the official ones.

    Args:
        backbone: a name of `models.backbones.names()`, or any backbone of transformers: a model
            type ("convnextv2"), a name on the hub or a folder ("facebook/convnextv2-tiny-1k-224").
        pretrained: False, True (the library's weights), or a path (str or Path, kept as str) to a
            file or folder.
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
        batch_norm: False leaves it out, to train on single images; but the encoder keeps its own
            (resnet, vgg16bn, efficientnet_lite0), which `freeze_backbone=True` stops.
        checkpoint: compute encoder stages and decoder blocks again in the backward pass: less
            memory, more time, the same results.

    Raises:
        ValueError: an unknown choice, with the nearest known one; another type or range;
            parts that need each other.
    """

    backbone: str = "swin_v1_l"
    pretrained: Pretrained = False
    bb_pretrained: Pretrained | None = None
    freeze_backbone: bool | int | None = None
    multi_scale_input: MultiScale = "cat"
    context: int = 3
    squeeze: Squeeze = "BasicDecBlk_x1"
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
    def of(cls, switches: Mapping[str, Any]) -> "Switches":
        """From keywords; ValueError names the nearest known one for an unknown."""
        cls.check(switches)
        return cls(**switches)

    @classmethod
    def check(cls, switches: Mapping[str, Any]) -> None:
        """Refuse unknown names, and values that are wrong whatever the others are."""
        types = {field.name: field.type for field in fields(cls)}
        for name, value in switches.items():
            if name not in types:
                raise unknown("switch of BiRefNet", name, types)
            if get_origin(types[name]) is Literal:
                if value not in get_args(types[name]):
                    raise unknown(name, value, get_args(types[name]))
            elif not CHECKS[name][1](_plain(value)):
                raise ValueError(f"{name} is {value!r}, expected {CHECKS[name][0]}")

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name, value in vars(self).items():
            object.__setattr__(self, name, _plain(value))
        self.check(vars(self))
        if self.outward and not self.multi_stage:
            raise ValueError("outward needs multi_stage=True: its labels use those levels")

    @property
    def weights(self) -> Pretrained:
        """`pretrained` by either of its names."""
        return self.pretrained if self.bb_pretrained is None else self.bb_pretrained

    @property
    def frozen(self) -> bool | int:
        """Whether the encoder is frozen, or how many of its stages are."""
        if self.freeze_backbone is None:
            return self.backbone.startswith("dino_v3")
        return self.freeze_backbone

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


def _plain(value: Any) -> Any:
    """As it is saved and compared: a path is its text, a list (of JSON) a tuple."""
    if isinstance(value, PathLike):
        return fspath(value)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
