"""Backbones of transformers, named or any other."""

import json
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.auto.modeling_auto import (
    CONFIG_MAPPING_NAMES,
    MODEL_FOR_BACKBONE_MAPPING,
    MODEL_FOR_BACKBONE_MAPPING_NAMES,
)

from models.backbones import names, weights
from models.backbones.base import Backbone, Pretrained, without_drop_path
from models.backbones.originals import restore
from models.backbones.sizes import SIZES, Size
from models.checkpointing import recompute
from models.names import unknown

PATCH = 16
STRIDES = (4, 8, 16, 32)
# need another library, a fixed size of the image, or have other strides
UNUSABLE = (
    *("dinat", "focalnet", "hiera", "lw_detr_vit", "pp_lcnet_v4", "rf_detr_dinov2"),
    *("timm_backbone", "tipsv2", "vitpose_backbone"),
)
TYPES = ", ".join(name for name in MODEL_FOR_BACKBONE_MAPPING_NAMES if name not in UNUSABLE)


class HubBackbone(Backbone):
    """A backbone of transformers; weights from the hub, from a folder or from a file.

    A plain one with patches of another size than 16 px gets the image resized, so that its maps
    have a sixteenth of the image's size all the same.
    """

    net: Any

    def __init__(
        self, name: str, pretrained: Pretrained = False, drop_path: float | None = None
    ) -> None:
        super().__init__()
        size = SIZES.get(name)
        config = _configuration(name, size)
        if hasattr(config, "drop_path_rate") and drop_path is not None:
            config.drop_path_rate = drop_path
        elif not hasattr(config, "drop_path_rate"):
            without_drop_path(name, drop_path)
        maps, self.plain, channels = (
            (size.maps, size.plain, None) if size else _usable(name, config)
        )
        _take(config, maps)
        self.depth = sum(stage != "stem" for stage in config.stage_names)
        self.patch = _patch(config) if self.plain else PATCH
        kind = MODEL_FOR_BACKBONE_MAPPING[type(config)]
        if pretrained:
            source = _source(name, size) if pretrained is True else str(pretrained)
            self.net = _loaded(name, kind, config, source)
        else:
            self.net = kind(config)
        restore(self.net, bool(pretrained))
        self.channels = channels or tuple(reversed(self.net.channels))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        if self.patch != PATCH:
            height, width = (side // PATCH * self.patch for side in image.shape[-2:])
            image = F.interpolate(image, (height, width), mode="bilinear", align_corners=False)
        return list(self.net(image).feature_maps)

    def stages(self) -> list[list[nn.Module]]:
        """The stem, then what makes each map, fine to coarse."""
        layers = _layers(self.net, self.depth)
        before, after = _around(self.net, layers)
        ends = [self.net.stage_names.index(name) for name in self.net.out_features]
        ends = [end - len(self.net.stage_names) + self.depth + 1 for end in ends]
        starts = (0, *ends[:-1])
        groups = [list(layers[i:j]) for i, j in zip(starts, ends, strict=True)]
        if not before:  # as in PVTv2, where every stage embeds patches of its own
            first = list(groups[0].pop(0).children())
            before, groups[0] = first[:1], [*first[1:], *groups[0]]
        for module in after:
            norms = module.values() if isinstance(module, nn.ModuleDict) else ()
            if len(norms) == len(groups):  # a norm for each map
                for group, norm in zip(groups, norms, strict=True):
                    group.append(norm)
            else:
                groups[-1].append(module)
        return [before, *groups]

    def checkpoint(self, on: bool) -> None:
        """Compute each block again for the backward pass, or keep its maps."""
        for stage in _layers(self.net, self.depth):
            lists = list(_lists(stage))
            recompute([block for part in lists for block in part] or [stage], on)


def _configuration(name: str, size: Size | None) -> Any:
    """What transformers builds a backbone from."""
    if size:
        return getattr(transformers, f"{size.kind}Config")(**size.settings)
    if _elsewhere(name):
        local = Path(name).is_dir() or not weights.reachable()
        try:
            config = transformers.AutoConfig.from_pretrained(name, local_files_only=local)
        except (OSError, ValueError) as error:
            raise weights.nowhere(name, name) from error
    elif name in CONFIG_MAPPING_NAMES:
        config = transformers.AutoConfig.for_model(name)
    else:
        hint = f"; or a model type of transformers ({TYPES}), a hub name, or a folder"
        raise ValueError(str(unknown("backbone", name, names())) + hint)
    named = getattr(config, "stage_names", None)
    if not named or type(config) not in MODEL_FOR_BACKBONE_MAPPING:
        raise ValueError(
            f"{name!r} is of type {config.model_type!r}, which has no backbone in transformers; "
            f"expected one of {TYPES}"
        )
    # Some defaults are tuples where lists are needed, which reading a file cures.
    return type(config).from_dict(json.loads(config.to_json_string(use_diff=False)))


def _elsewhere(name: str) -> bool:
    """Whether a name is of a folder or a repository on the hub."""
    return "/" in name or (Path(name) / "config.json").is_file()


def _source(name: str, size: Size | None) -> str:
    """Where the library's weights are."""
    if not size and not _elsewhere(name):
        raise ValueError(
            f"{name!r} is a type, without weights of its own: give a name on the hub, "
            "'organisation/name', or pretrained='path'"
        )
    return size.hub if size else name


def _usable(name: str, config: Any) -> tuple[tuple[str, ...], bool, tuple[int, ...]]:
    """Four stages to take maps from, whether all have one stride, and their channels."""
    stages = [stage for stage in config.stage_names if stage != "stem"]
    _take(config, stages)
    patch = _patch(config)
    try:
        with torch.device("meta"), torch.no_grad():
            net = MODEL_FOR_BACKBONE_MAPPING[type(config)](config).eval()
            maps = net(torch.empty(1, 3, 4 * patch, 6 * patch)).feature_maps
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{name!r} does not take images of {4 * patch} x {6 * patch} px, so hardly any size"
        ) from error
    sizes = [tuple(m.shape[-2:]) for m in maps]
    plain = len(sizes) > 3 and set(sizes) == {(4, 6)}
    if plain:
        taken = [len(stages) * i // 4 - 1 for i in (1, 2, 3, 4)]
    else:
        last = {size: i for i, size in enumerate(sizes)}
        wanted = [(-(-4 * patch // stride), -(-6 * patch // stride)) for stride in STRIDES]
        taken = [last.get(size, -1) for size in wanted]
    if -1 in taken:
        strides = [f"{4 * patch / high:g} x {6 * patch / wide:g}" for high, wide in sizes]
        raise ValueError(
            f"{name!r} has maps at strides {', '.join(strides)}; expected 4, 8, 16 and 32, or "
            "four and more of one stride"
        )
    # as they come: some configurations state other channels
    channels = tuple(maps[i].shape[1] for i in reversed(taken))
    return tuple(stages[i] for i in taken), plain, channels


def _patch(config: Any) -> int:
    """The side of a plain backbone's patches."""
    size = getattr(config, "patch_size", PATCH)
    return size if isinstance(size, int) and size > 7 else PATCH


def _take(config: Any, maps: tuple[str, ...] | list[str]) -> None:
    config.set_output_features_output_indices(out_features=list(maps), out_indices=None)


def _loaded(name: str, kind: Any, config: Any, source: str) -> Any:
    """A net with weights; those missing or left over are an error."""
    given: dict[str, Any] = {"config": config, "output_loading_info": True}
    given["dtype"] = torch.get_default_dtype()  # rather than the file's
    given["ignore_mismatched_sizes"] = True  # they are told below
    if Path(source).is_file() or Path(source).suffix in weights.SUFFIXES:
        state = weights.ours(name, source)
        given["state_dict"] = {key.removeprefix("net."): v for key, v in state.items()}
    else:
        given["local_files_only"] = Path(source).is_dir() or not weights.reachable()
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it lists what `check` looks at
    try:
        net, found = kind.from_pretrained(None if "state_dict" in given else source, **given)
    except OSError as error:
        raise weights.nowhere(source, SIZES[name].hub if name in SIZES else name) from error
    except (SafetensorError, UnpicklingError) as error:
        raise weights.broken(source, type(error).__name__) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    left = [*found["unexpected_keys"], *(key for key, *_ in found["mismatched_keys"])]
    missing = set(found["missing_keys"]).difference(left)
    weights.check(net, source, sorted(missing), sorted(left))
    net.train()
    return net


def _lists(module: nn.Module) -> Iterator[Any]:
    """The outermost lists of modules inside a module."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential):
            yield child
        else:
            yield from _lists(child)


def _layers(net: nn.Module, depth: int) -> Any:
    """The list of a net's stages."""
    for found in _lists(net):
        if len(found) == depth:
            return found
    raise ValueError(f"{type(net).__name__} has no list of {depth} stages: its names are others")


def _around(module: nn.Module, layers: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules before and after the list of stages."""
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    passed = False
    for child in module.children():
        if child is layers:
            passed = True
        elif any(part is layers for part in child.modules()):
            before, after = (
                mine + inner
                for mine, inner in zip((before, after), _around(child, layers), strict=True)
            )
            passed = True
        else:
            (after if passed else before).append(child)
    return before, after
