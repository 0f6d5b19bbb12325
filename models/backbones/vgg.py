"""VGG-16 (Simonyan & Zisserman, ICLR 2015), with torchvision's names of the parameters."""

from typing import Any

from torch import Tensor, nn

from models.backbones import weights
from models.backbones.base import Backbone, Pretrained, without_drop_path
from models.checkpointing import checkpointed

LAYERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HUB = {"vgg16": "timm/vgg16.tv_in1k", "vgg16bn": "timm/vgg16_bn.tv_in1k"}


class VGG(Backbone):
    """The convolutions of VGG-16; each map comes after a max pool, as in the official code."""

    channels = (512, 512, 256, 128)

    def __init__(self, name: str, pretrained: Pretrained, drop_path: float | None) -> None:
        super().__init__()
        without_drop_path(name, drop_path)
        layers: list[nn.Module] = []
        taken = 3
        self.ends: list[int] = []  # of the layers at each size
        for block in LAYERS:
            for width in block:
                layers.append(Convolution(taken, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if name == "vgg16bn" else []
                layers.append(nn.ReLU(inplace=True))
                taken = width
            layers.append(nn.MaxPool2d(2))
            self.ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.again = False
        if pretrained:
            file = weights.download(HUB[name]) if pretrained is True else str(pretrained)
            weights.fit(self, weights.ours(name, file), file)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        maps = [image]
        for part in self._parts():
            maps.append(checkpointed(part, maps[-1]) if self.again else part(maps[-1]))
        return maps[2:]

    def stages(self) -> list[list[nn.Module]]:
        """The layers at full size, then those of the maps."""
        return [list(part) for part in self._parts()]

    def checkpoint(self, on: bool) -> None:
        """Compute each of the five parts again for the backward pass, or keep its maps."""
        self.again = on

    def _parts(self) -> list[Any]:
        """Cut anew at each call: kept, they would not see modules that are replaced."""
        starts = (0, *self.ends[:-1])
        return [self.features[i:j] for i, j in zip(starts, self.ends, strict=True)]


class Convolution(nn.Conv2d):
    """With torchvision's initial values: normal after He et al. (ICCV 2015, fan out), no bias."""

    def reset_parameters(self) -> None:
        """Draw them anew."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        assert self.bias is not None
        nn.init.zeros_(self.bias)
