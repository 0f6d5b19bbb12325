"""Names of the backbones' weights: those of the original releases and those used here.

The official BiRefNet keeps the names of the releases (Swin-Transformer, PVT, timm's DINOv3), but
numbers ResNet and VGG by its own cuts; torchvision's names are understood as well. A rule is a
pair of names, # a number, each standing for everything that begins with it; several names at the
right are the parts of one tensor at the left, joined along its first dimension.
"""

import re
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

Rule = tuple[str, tuple[str, ...]]
DROPPED = re.compile(
    r".*\.(relative_position_index|attn_mask)|(model\.)?(norm|fc_norm|head|fc|classifier)\..*"
)  # made anew, or of the classifier that came with the weights
VGG_ENDS = {"vgg16": (10, 17, 24, 31), "vgg16bn": (14, 24, 34, 44)}  # the official cuts
TABLE = "relative_position_bias_table"


def to_ours(backbone: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A backbone's weights from a release's or the official names to those inside `bb` here.

    Args:
        backbone: a name of `models.backbones.names()`; of others nothing is known to rename.
        state: without the prefix `bb.`. What has these names already passes unchanged; unknown
            names stay, so that loading reports them; heads and derived buffers are left out.
    """
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        for theirs, ours in rules(backbone):
            match = _pattern(theirs).fullmatch(key)
            if match and (len(ours) == 1 or (value.ndim and len(value) % len(ours) == 0)):
                parts = value.chunk(len(ours)) if len(ours) > 1 else (value,)
                out |= {_fill(o, match): part for o, part in zip(ours, parts, strict=True)}
                break
        else:
            if not DROPPED.fullmatch(key):
                out[key] = value
    return out


def to_theirs(backbone: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back, to the names inside the official `bb`; Swin's index of positions is added.

    Args:
        backbone: as in `to_ours`.
        state: names inside `bb` here; unknown ones stay.
    """
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        name, parts = _joined(backbone, key)
        if any(part not in state for part in parts):
            out[key] = value
        elif name not in out:
            out[name] = torch.cat([state[p] for p in parts]) if len(parts) > 1 else value
        if name.endswith(TABLE):
            out[name.replace(TABLE, "relative_position_index")] = _position_index(value)
    return out


def _joined(backbone: str, key: str) -> tuple[str, list[str]]:
    """The official name of one of ours, and ours that are joined in it."""
    for theirs, ours in rules(backbone):
        for name in ours:
            if match := _pattern(name).fullmatch(key):
                return _fill(theirs, match), [_fill(o, match) for o in ours]
    return key, [key]


@cache
def rules(backbone: str) -> tuple[Rule, ...]:
    """What is renamed; official names come before others that mean the same."""
    family = backbone.split("_")[0]
    if family == "swin":
        return tuple(_swin())
    if family == "pvt":
        return tuple(_pvt())
    if family == "dino":
        gated = backbone in ("dino_v3_s_plus", "dino_v3_h_plus", "dino_v3_7b")
        return tuple(_dino("model.", gated) + _dino("", gated))
    if family in ("resnet18", "resnet50"):
        return tuple(_resnet())
    return tuple(_vgg(VGG_ENDS[backbone])) if backbone in VGG_ENDS else ()


def _swin() -> list[Rule]:
    block, here = "layers.#.blocks.#.", "net.swin.encoder.layers.#.blocks.#."
    inside = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.o_proj",
        f"attn.{TABLE}": f"attention.relative_position_bias.{TABLE}",
        "mlp": "mlp",
    }
    return [
        ("patch_embed.proj", ("net.swin.embeddings.patch_embeddings.projection",)),
        ("patch_embed.norm", ("net.swin.embeddings.norm",)),
        (f"{block}attn.qkv", tuple(f"{here}attention.{x}_proj" for x in "qkv")),
        *((block + a, (here + b,)) for a, b in inside.items()),
        ("layers.#.downsample", ("net.swin.encoder.layers.#.downsample",)),
        *((f"norm{i}", (f"net.hidden_states_norms.stage{i + 1}",)) for i in range(4)),
    ]


def _pvt() -> list[Rule]:
    out: list[Rule] = []
    inside = {
        "norm1": "layer_norm_1",
        "norm2": "layer_norm_2",
        "attn.q": "attention.query",
        "attn.proj": "attention.proj",
        "attn.sr": "attention.spatial_reduction",
        "attn.norm": "attention.layer_norm",
        "mlp.fc1": "mlp.dense1",
        "mlp.fc2": "mlp.dense2",
        "mlp.dwconv": "mlp.dwconv",
    }
    for i in range(4):
        here = f"net.encoder.layers.{i}."
        block, blocks = f"block{i + 1}.#.", f"{here}blocks.#."
        out += [
            (f"patch_embed{i + 1}.proj", (f"{here}patch_embedding.proj",)),
            (f"patch_embed{i + 1}.norm", (f"{here}patch_embedding.layer_norm",)),
            (f"norm{i + 1}", (f"{here}layer_norm",)),
            (f"{block}attn.kv", (f"{blocks}attention.key", f"{blocks}attention.value")),
            *((block + a, (blocks + b,)) for a, b in inside.items()),
        ]
    return out


def _dino(prefix: str, gated: bool) -> list[Rule]:
    block, here = f"{prefix}blocks.#.", "net.model.layer.#."
    inside = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attn.proj": "attention.o_proj",
        "gamma_1": "layer_scale1.lambda1",
        "gamma_2": "layer_scale2.lambda1",
        "mlp.fc2": "mlp.down_proj",
    }
    inside |= {"mlp.fc1_g": "mlp.gate_proj"} if gated else {}
    inside |= {"mlp.fc1_x" if gated else "mlp.fc1": "mlp.up_proj"}
    return [
        (f"{prefix}cls_token", ("net.embeddings.cls_token",)),
        (f"{prefix}reg_token", ("net.embeddings.register_tokens",)),
        (f"{prefix}patch_embed.proj", ("net.embeddings.patch_embeddings",)),
        (f"{block}attn.qkv", tuple(f"{here}attention.{x}_proj" for x in "qkv")),
        *((block + a, (here + b,)) for a, b in inside.items()),
    ]


def _resnet() -> list[Rule]:
    stem = "net.embedder.embedder."
    out: list[Rule] = [
        ("conv1.0", (f"{stem}convolution",)),
        ("conv1.1", (f"{stem}normalization",)),
    ]
    inside = {
        "downsample.0": "shortcut.convolution",
        "downsample.1": "shortcut.normalization",
        **{f"conv{i + 1}": f"layer.{i}.convolution" for i in range(3)},
        **{f"bn{i + 1}": f"layer.{i}.normalization" for i in range(3)},
    }
    official = ("conv1.4", "conv2", "conv3", "conv4")
    for names in (official, ("layer1", "layer2", "layer3", "layer4")):
        for i, name in enumerate(names):
            here = f"net.encoder.stages.{i}.layers.#."
            out += [(f"{name}.#.{a}", (here + b,)) for a, b in inside.items()]
    return [
        *out,
        ("conv1.weight", (f"{stem}convolution.weight",)),
        ("bn1", (f"{stem}normalization",)),
    ]


def _vgg(ends: tuple[int, ...]) -> list[Rule]:
    starts = (0, *ends)
    return [
        (f"conv{stage + 1}.{i}", (f"features.{i}",))
        for stage, end in enumerate(ends)
        for i in range(starts[stage], end)
    ]


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\#", r"(\d+)") + r"(|\..*)")


def _fill(name: str, match: re.Match[str]) -> str:
    """The matched numbers, and what comes after, put into another name."""
    *numbers, rest = match.groups()
    for number in numbers:
        name = name.replace("#", number, 1)
    return name + rest


def _position_index(table: Tensor) -> Tensor:
    """For each pair of a window's pixels the row of its table of relative positions."""
    side = (round(len(table) ** 0.5) + 1) // 2
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    y, x = (z.flatten()[:, None] - z.flatten() + side - 1 for z in (y, x))
    index: Tensor = y * (2 * side - 1) + x
    return index
