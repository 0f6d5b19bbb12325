"""The named backbones from transformers: class, name on the hub, settings, maps taken.

Swin (Liu et al., ICCV 2021), PVTv2 (Wang et al., CVMJ 2022), ResNet (He et al., CVPR 2016) and
DINOv3 (Siméoni et al., 2025), in the sizes that the official BiRefNet code lists.
"""

from typing import Any, NamedTuple

PYRAMID = ("stage1", "stage2", "stage3", "stage4")


class Size(NamedTuple):
    """A backbone of transformers."""

    kind: str  # of its classes: <kind>Config and <kind>Backbone
    hub: str
    settings: dict[str, Any]
    maps: tuple[str, ...] = PYRAMID
    plain: bool = False


def _swin(size: str, width: int, depth: int, heads: int, window: int) -> Size:
    hub = f"microsoft/swin-{size}-patch4-window{window}-{224 if window == 7 else 384}"
    settings = {
        "embed_dim": width,
        "depths": [2, 2, depth, 2],
        "num_heads": [heads, 2 * heads, 4 * heads, 8 * heads],
        "window_size": window,
        "drop_path_rate": 0.2,
    }
    return Size("Swin", hub, settings)


def _pvt(name: str, widths: list[int], depths: list[int], ratios: list[int]) -> Size:
    settings = {
        "hidden_sizes": widths,
        "depths": depths,
        "mlp_ratios": ratios,
        "num_attention_heads": [1, 2, 5, 8],
        "drop_path_rate": 0.1,
    }
    return Size("PvtV2", f"OpenGVLab/pvt_v2_{name}", settings)


def _resnet(name: str, layer: str, widths: list[int], depths: list[int]) -> Size:
    settings = {"layer_type": layer, "hidden_sizes": widths, "depths": depths}
    return Size("ResNet", f"microsoft/resnet-{name}", settings)


def _dino(hub: str, width: int, inner: int, heads: int, maps: tuple[int, ...]) -> Size:
    """DINOv3; `maps` count from 1, the last is the depth. Gated where `hub` has a plus, and 7B."""
    settings = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": maps[-1],
        "num_attention_heads": heads,
        "use_gated_mlp": "plus" in hub or hub == "7b16",
        "hidden_act": "silu" if "plus" in hub or hub == "7b16" else "gelu",
        "query_bias": hub != "7b16",
        "value_bias": hub != "7b16",
        "num_register_tokens": 4,
        "pos_embed_rescale": None,  # an augmentation of pretraining
        "apply_layernorm": False,
    }
    name = f"facebook/dinov3-vit{hub}-pretrain-lvd1689m"
    return Size("DINOv3ViT", name, settings, tuple(f"stage{i}" for i in maps), plain=True)


WIDE = [64, 128, 320, 512]
SIZES = {
    "resnet18": _resnet("18", "basic", [64, 128, 256, 512], [2, 2, 2, 2]),
    "resnet50": _resnet("50", "bottleneck", [256, 512, 1024, 2048], [3, 4, 6, 3]),
    "swin_v1_t": _swin("tiny", 96, 6, 3, 7),
    "swin_v1_s": _swin("small", 96, 18, 3, 7),
    "swin_v1_b": _swin("base", 128, 18, 4, 12),
    "swin_v1_l": _swin("large", 192, 18, 6, 12),
    "pvt_v2_b0": _pvt("b0", [32, 64, 160, 256], [2, 2, 2, 2], [8, 8, 4, 4]),
    "pvt_v2_b1": _pvt("b1", WIDE, [2, 2, 2, 2], [8, 8, 4, 4]),
    "pvt_v2_b2": _pvt("b2", WIDE, [3, 4, 6, 3], [8, 8, 4, 4]),
    "pvt_v2_b5": _pvt("b5", WIDE, [3, 6, 40, 3], [4, 4, 4, 4]),
    "dino_v3_s": _dino("s16", 384, 1536, 6, (4, 6, 8, 12)),
    "dino_v3_s_plus": _dino("s16plus", 384, 1536, 6, (4, 6, 8, 12)),
    "dino_v3_b": _dino("b16", 768, 3072, 12, (4, 6, 8, 12)),
    "dino_v3_l": _dino("l16", 1024, 4096, 16, (6, 12, 18, 24)),
    "dino_v3_h_plus": _dino("h16plus", 1280, 5120, 20, (8, 16, 24, 32)),
    "dino_v3_7b": _dino("7b16", 4096, 8192, 32, (10, 20, 30, 40)),
}
