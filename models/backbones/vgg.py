"""VGG-16 (Simonyan & Zisserman, ICLR 2015), with torchvision's names of the parameters."""

from torch import Tensor, nn

from models.backbones import weights
from models.backbones.base import Backbone, Pretrained, without_drop_path
from models.checkpointing import recompute

LAYERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HUB = {"vgg16": "timm/vgg16.tv_in1k", "vgg16bn": "timm/vgg16_bn.tv_in1k"}


class VGG(Backbone):
    """The convolutions of VGG-16; each map comes after a max pool, as in the official code."""

    channels = (512, 512, 256, 128)

    def __init__(self, name: str, pretrained: Pretrained, drop_path: float | None) -> None:
        super().__init__()
        without_drop_path(name, drop_path)
        layers: list[nn.Module] = []
        ends, taken = [], 3
        for block in LAYERS:
            for width in block:
                layers.append(nn.Conv2d(taken, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if name == "vgg16bn" else []
                layers.append(nn.ReLU(inplace=True))
                taken = width
            layers.append(nn.MaxPool2d(2))
            ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        starts = (0, *ends[:-1])
        # plain slices: as modules of their own they would be registered twice
        self.parts = [nn.Sequential(*layers[i:j]) for i, j in zip(starts, ends, strict=True)]
        if pretrained:
            file = weights.download(HUB[name]) if pretrained is True else str(pretrained)
            weights.fit(self, weights.ours(name, file), file)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        maps = [image]
        for part in self.parts:
            maps.append(part(maps[-1]))
        return maps[2:]

    def stages(self) -> list[list[nn.Module]]:
        """The layers at full size, then those of the maps."""
        return [list(part) for part in self.parts]

    def checkpoint(self, on: bool) -> None:
        """Compute each of the five parts again for the backward pass, or keep its maps."""
        recompute(self.parts, on)
