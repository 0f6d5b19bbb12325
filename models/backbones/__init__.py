"""Encoders: four feature maps of an image, from well-kept libraries.

The input is ImageNet-normalised for all; a backbone trained with another normalisation converts.
transformers is imported only where one of its backbones is built.
"""

from models.backbones.base import Backbone, Pretrained
from models.backbones.sizes import SIZES

__all__ = ["Backbone", "Pretrained", "build", "names"]


def names() -> list[str]:
    """The backbones with a name; besides these, `build` takes any backbone of transformers."""
    return ["efficientnet_lite0", "vgg16", "vgg16bn", *SIZES]


def build(name: str, pretrained: Pretrained = False, drop_path: float | None = None) -> Backbone:
    """A backbone: see `Backbone` for what it offers.

    Not possible are timm's own models (those of the type "timm_backbone", and folders and names
    on the hub in timm's format), encoders of one size of image, and those of other strides.

    Args:
        name: one of `names()`; a model type of transformers that has a backbone ("convnextv2", in
            its default size); or a name on the hub or a folder that holds a config.json.
        pretrained: False; True: from the hub, or from the folder that `name` is; or the path of a
            folder of transformers, or of a state dict (.safetensors, .pth) in the names of
            transformers, of torchvision or of the original release.
        drop_path: rate of stochastic depth at the last block, from 0 to below 1. None: 0.2 for
            Swin, 0.1 for PVTv2, that of its configuration for any other.

    Raises:
        ValueError: an unknown name (the nearest is given); an encoder without four usable maps;
            a library that is not installed; a backbone without stochastic depth; weights that
            are nowhere, broken or do not fit.
    """
    if drop_path is not None and not 0 <= drop_path < 1:
        raise ValueError(f"drop_path is {drop_path!r}, expected a rate from 0 to below 1, or None")
    if name == "efficientnet_lite0":
        from models.backbones.efficientnet import EfficientNetLite0

        return EfficientNetLite0(pretrained, drop_path)
    if name in ("vgg16", "vgg16bn"):
        from models.backbones.vgg import VGG

        return VGG(name, pretrained, drop_path)
    from models.backbones.hub import HubBackbone

    try:
        return HubBackbone(name, pretrained, drop_path)
    except ImportError as error:
        lacking = f"{name!r} needs a library that is not installed: {str(error).strip()}"
        raise ValueError(lacking) from error
