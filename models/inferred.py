"""What a BiRefNet is made of, told from the names and shapes of its official weights."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

BLOCK = "decoder.decoder_block"
STAGES = (4, 3, 2, 1)  # coarse to fine
Shapes = Mapping[str, tuple[int, ...]]


class Sign(NamedTuple):
    """By what a backbone is known: the first convolution's width and the deepest block."""

    first: str
    width: int
    block: str
    finest: int  # channels of its finest map


SIGNS = {  # of those that begin alike the deeper comes later
    "efficientnet_lite0": Sign("conv_stem", 32, "blocks.15.", 24),
    "vgg16": Sign("conv1.0", 64, "conv4.28.", 128),
    "vgg16bn": Sign("conv1.0", 64, "conv4.40.", 128),
    "resnet18": Sign("conv1.0", 64, "conv1.4.1.bn2.", 64),
    "resnet50": Sign("conv1.0", 64, "conv1.4.2.bn3.", 256),
    "swin_v1_t": Sign("patch_embed.proj", 96, "layers.2.blocks.5.", 96),
    "swin_v1_s": Sign("patch_embed.proj", 96, "layers.2.blocks.17.", 96),
    "swin_v1_b": Sign("patch_embed.proj", 128, "layers.2.blocks.17.", 128),
    "swin_v1_l": Sign("patch_embed.proj", 192, "layers.2.blocks.17.", 192),
    "pvt_v2_b0": Sign("patch_embed1.proj", 32, "block3.1.", 32),
    "pvt_v2_b1": Sign("patch_embed1.proj", 64, "block3.1.", 64),
    "pvt_v2_b2": Sign("patch_embed1.proj", 64, "block3.5.", 64),
    "pvt_v2_b5": Sign("patch_embed1.proj", 64, "block3.39.", 64),
    "dino_v3_s": Sign("model.patch_embed.proj", 384, "model.blocks.11.mlp.fc1.", 384),
    "dino_v3_s_plus": Sign("model.patch_embed.proj", 384, "model.blocks.11.mlp.fc1_g.", 384),
    "dino_v3_b": Sign("model.patch_embed.proj", 768, "model.blocks.11.", 768),
    "dino_v3_l": Sign("model.patch_embed.proj", 1024, "model.blocks.23.", 1024),
    "dino_v3_h_plus": Sign("model.patch_embed.proj", 1280, "model.blocks.31.", 1280),
    "dino_v3_7b": Sign("model.patch_embed.proj", 4096, "model.blocks.39.", 4096),
}


def infer(state: Mapping[str, Tensor], backbone: str | None = None) -> dict[str, Any]:
    """The switches that the names and shapes of official weights tell.

    Nothing tells `refine_iterations` and `refine_scale`, nor "add" from "none" for
    `multi_scale_input`, which is left out of the answer where it is not "cat".

    Args:
        state: official names without prefixes.
        backbone: for one that is none of `models.backbones.names()`.

    Raises:
        ValueError: the weights are not of a BiRefNet, or of an unknown backbone.
    """
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    if f"{BLOCK}1.conv_in.weight" not in shapes:
        raise ValueError(
            f"no weights of a BiRefNet: expected {BLOCK}1.conv_in.weight among the keys, seen "
            f"{len(shapes)} ({', '.join([*shapes][:3])}, ...)"
        )
    name = backbone or _backbone(shapes)
    try:
        return {
            "backbone": name,
            **_scale_and_neck(shapes, name),
            **_squeeze(shapes),
            **_decoder(shapes),
            **_widths(shapes),
        }
    except KeyError as error:
        raise ValueError(f"the weights lack {error}, which every BiRefNet has") from error


def _backbone(shapes: Shapes) -> str:
    names = [
        name
        for name, sign in SIGNS.items()
        if shapes.get(f"bb.{sign.first}.weight", (0,))[0] == sign.width
        and any(key.startswith(f"bb.{sign.block}") for key in shapes)
    ]
    if not names:
        seen = ", ".join([key for key in shapes if key.startswith("bb.")][:3])
        raise ValueError(
            f"the backbone ({seen or 'no key begins with bb.'}, ...) is none of "
            f"{', '.join(SIGNS)}; give backbone=... if it is another"
        )
    return names[-1]


def _scale_and_neck(shapes: Shapes, backbone: str) -> dict[str, Any]:
    neck = shapes.get("decoder.pyramid_neck_x1.conv.weight")
    finest = neck[1] if neck else shapes[f"{BLOCK}2.conv_out.weight"][0]
    cat = backbone in SIGNS and finest == 2 * SIGNS[backbone].finest
    found: dict[str, Any] = {"multi_scale_input": "cat"} if cat else {}
    if neck:
        widths = (shapes[f"decoder.pyramid_neck_x{i}.conv.weight"][0] for i in STAGES)
        found["neck_channels"] = tuple(width // (1 + cat) for width in widths)
    return found


def _squeeze(shapes: Shapes) -> dict[str, Any]:
    """What the coarsest map passes, and how many finer maps join it there."""
    first = "squeeze_module.0."
    count = len({key.split(".")[1] for key in shapes if key.startswith("squeeze_module.")})
    if not count:
        return {"squeeze": "none", "context": 0}
    if f"{first}conv_in.weight" in shapes:
        kind = "ResBlk" if f"{first}conv_resi.weight" in shapes else "BasicDecBlk"
        taken, given = shapes[f"{first}conv_in.weight"][1], shapes[f"{first}conv_out.weight"][0]
    else:
        kind = "ASPP" if f"{first}aspp2.atrous_conv.weight" in shapes else "ASPPDeformable"
        taken = shapes[f"{first}global_avg_pool.1.weight"][1]
        given = shapes[f"{first}conv1.weight"][0]
    neck = (f"decoder.pyramid_neck_x{i}.conv.weight" for i in STAGES[1:])
    finer = [shapes[key][1] for key in neck if key in shapes]
    finer = finer or [shapes[f"{BLOCK}{i}.conv_out.weight"][0] for i in STAGES[:3]]
    joined = {given + sum(finer[:n]): n for n in range(4)}
    return {"squeeze": f"{kind}_x{count}", "context": joined.get(taken, 3)}


def _decoder(shapes: Shapes) -> dict[str, Any]:
    inside = f"{BLOCK}4.dec_att."
    attention = "ASPP" if f"{inside}aspp2.atrous_conv.weight" in shapes else "ASPPDeformable"
    inward = shapes.get("decoder.ipt_blk5.conv1.weight", (0, 0))[1]
    refine = "RefUNet" if "refiner.encoder_1.0.weight" in shapes else "Refiner"
    newer = any(key.endswith(".atrous_conv.offset_mask.weight") for key in shapes)
    return {
        "deformable": "DCNv4" if newer else "DCNv2",
        "decoder_block": "ResBlk" if f"{BLOCK}4.conv_resi.weight" in shapes else "BasicDecBlk",
        "decoder_attention": attention if f"{inside}conv1.weight" in shapes else "none",
        "lateral": "BasicLatBlk" if "decoder.lateral_block4.conv.weight" in shapes else "none",
        "inward": {0: "none", 3: "image"}.get(inward, "patches"),
        "outward": sum(f"decoder.gdt_convs_{i}.0.weight" in shapes for i in STAGES),
        "multi_stage": "decoder.conv_ms_spvn_4.weight" in shapes,
        "refine": refine if any(key.startswith("refiner.") for key in shapes) else "none",
        "classes": shapes.get("cls_head.0.weight", (0,))[0],
        "batch_norm": f"{BLOCK}1.bn_in.weight" in shapes,
    }


def _widths(shapes: Shapes) -> dict[str, Any]:
    inter = {shapes[f"{BLOCK}{i}.conv_in.weight"][0] for i in STAGES}
    ends = {
        "aspp_channels": "global_avg_pool.1.weight",
        "inward_channels": "decoder.ipt_blk5.conv1.weight",
        "gradient_channels": "decoder.gdt_convs_4.0.weight",
    }
    seen = {
        name: next((shape[0] for key, shape in shapes.items() if key.endswith(end)), None)
        for name, end in ends.items()
    }
    found: dict[str, Any] = {name: width for name, width in seen.items() if width is not None}
    return {"inter_channels": inter.pop() if len(inter) == 1 else "adap", **found}
