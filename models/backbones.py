"""Encoders: four feature maps at strides 4, 8, 16 and 32, from well-kept libraries.

The input is ImageNet-normalised for all; a backbone trained with another normalisation converts.
transformers is imported only where one of its backbones is built.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.efficientnet import EfficientNetLite0
from models.names import unknown

Pretrained = bool | str
UNUSED = "swin.layernorm."  # of the last map, which has another norm of its own
Entry = tuple[str, str, dict[str, Any]]  # class, name on the hub, settings


class HubBackbone(nn.Module):
    """A backbone of transformers; weights from the hub, from a folder or from a file."""

    def __init__(
        self, kind: str, hub: str, pretrained: Pretrained, settings: dict[str, Any]
    ) -> None:
        super().__init__()
        import transformers

        self.kind = kind
        config_class = getattr(transformers, f"{kind}Config")
        model_class = getattr(transformers, f"{kind}Backbone")
        config = config_class(**settings, out_features=[f"stage{i}" for i in (1, 2, 3, 4)])
        if pretrained is True or (isinstance(pretrained, str) and Path(pretrained).is_dir()):
            source = hub if pretrained is True else pretrained
            try:
                self.net = model_class.from_pretrained(source, config=config)
            except OSError as error:
                raise ValueError(
                    f"no weights for {kind} at {source!r}: with a network, pretrained=True loads "
                    f"{hub!r} from the hub; without one, give pretrained='path' to its folder or "
                    "to a state dict (.safetensors, .pth)"
                ) from error
        else:
            self.net = model_class(config)
            if pretrained:
                _load(self.net, str(pretrained))
        if kind == "Swin":
            self.net.swin.layernorm = nn.Identity()
        self.channels = tuple(reversed(self.net.channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        return list(self.net(x).feature_maps)

    def stages(self) -> list[list[nn.Module]]:
        """Stem and the stages at strides 4, 8, 16 and 32."""
        if self.kind == "Swin":
            norms = self.net.hidden_states_norms.values()
            layers = zip(self.net.swin.encoder.layers, norms, strict=True)
            return [[self.net.swin.embeddings], *(list(pair) for pair in layers)]
        if self.kind == "ResNet":
            return [[self.net.embedder], *([stage] for stage in self.net.encoder.stages)]
        first, *rest = self.net.encoder.layers
        return [[first.patch_embedding], [first.blocks, first.layer_norm], *([z] for z in rest)]


Backbone = EfficientNetLite0 | HubBackbone


def _load(net: nn.Module, file: str) -> None:
    """Load a backbone of transformers from a state dict in a file."""
    state = {k: v for k, v in _state_dict(file).items() if not k.startswith(UNUSED)}
    unfit = net.load_state_dict(state, strict=False)
    missing = [k for k in unfit.missing_keys if not k.startswith(UNUSED)]
    if missing or unfit.unexpected_keys:
        raise ValueError(
            f"{file!r} does not fit {type(net).__name__}: missing {missing[:3]}, unexpected "
            f"{unfit.unexpected_keys[:3]}; expected the keys of transformers"
        )


def _state_dict(file: str) -> dict[str, Tensor]:
    if not Path(file).is_file():
        raise ValueError(f"no weights at {file!r}: expected a folder or a .safetensors/.pth file")
    if file.endswith(".safetensors"):
        return load_file(file)
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _swin(size: str, width: int, depth: int, heads: int, window: int) -> Entry:
    return (
        "Swin",
        f"microsoft/swin-{size}-patch4-window{window}-{224 if window == 7 else 384}",
        {
            "embed_dim": width,
            "depths": [2, 2, depth, 2],
            "num_heads": [heads, 2 * heads, 4 * heads, 8 * heads],
            "window_size": window,
            "drop_path_rate": 0.2,
        },
    )


def _pvt(name: str, widths: list[int], depths: list[int], ratios: list[int]) -> Entry:
    settings = {
        "hidden_sizes": widths,
        "depths": depths,
        "mlp_ratios": ratios,
        "num_attention_heads": [1, 2, 5, 8],
        "drop_path_rate": 0.1,
    }
    return "PvtV2", f"OpenGVLab/pvt_v2_{name}", settings


def _resnet(name: str, layer: str, widths: list[int], depths: list[int]) -> Entry:
    return (
        "ResNet",
        f"microsoft/resnet-{name}",
        {"layer_type": layer, "hidden_sizes": widths, "depths": depths},
    )


WIDE = [64, 128, 320, 512]
HUB: dict[str, Entry] = {
    "swin_v1_t": _swin("tiny", 96, 6, 3, 7),
    "swin_v1_s": _swin("small", 96, 18, 3, 7),
    "swin_v1_b": _swin("base", 128, 18, 4, 12),
    "swin_v1_l": _swin("large", 192, 18, 6, 12),
    "pvt_v2_b0": _pvt("b0", [32, 64, 160, 256], [2, 2, 2, 2], [8, 8, 4, 4]),
    "pvt_v2_b1": _pvt("b1", WIDE, [2, 2, 2, 2], [8, 8, 4, 4]),
    "pvt_v2_b2": _pvt("b2", WIDE, [3, 4, 6, 3], [8, 8, 4, 4]),
    "pvt_v2_b5": _pvt("b5", WIDE, [3, 6, 40, 3], [4, 4, 4, 4]),
    "resnet18": _resnet("18", "basic", [64, 128, 256, 512], [2, 2, 2, 2]),
    "resnet50": _resnet("50", "bottleneck", [256, 512, 1024, 2048], [3, 4, 6, 3]),
}


def names() -> list[str]:
    """The backbones there are."""
    return ["efficientnet_lite0", *HUB]


def build(name: str, pretrained: Pretrained = False) -> Backbone:
    """A backbone with `channels` (coarse to fine); its forward gives four maps, fine to coarse.

    Its `stages()` are five groups of modules: the stem, then those of the maps, fine to coarse.

    Raises:
        ValueError: unknown name (the nearest is given); weights that are nowhere to be found.
    """
    if name == "efficientnet_lite0":
        return EfficientNetLite0(pretrained)
    if name not in HUB:
        raise unknown("backbone", name, names())
    kind, hub, settings = HUB[name]
    return HubBackbone(kind, hub, pretrained, settings)
