"""The decoder's building blocks, as the official BiRefNet has them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.dcnv4 import DCNv4Conv2d
from models.deform import DeformableConv2d, deform_convs2d

Attention = Literal["ASPPDeformable", "ASPP", "none"]
BlockKind = Literal["BasicDecBlk", "ResBlk"]
Deformable = Literal["DCNv2", "DCNv4"]
DILATIONS = (6, 12, 18)
DEFORMABLE_KERNELS = (1, 3, 7)


@dataclass(frozen=True)
class Widths:
    """Channels inside the decoder, with the official numbers, and what goes with them."""

    inter: int | Literal["adap"] = 64  # inside a decoder block; "adap": a quarter of its input
    aspp: int = 256  # each branch of the attention
    inward: int = 64  # inside the inward reference's convolutions
    gradient: int = 16  # the outward reference's features
    dropout: float = 0.5
    batch_norm: bool = True  # without it a batch of one image can be trained on
    deformable: Deformable = "DCNv2"

    def inside(self, in_channels: int) -> int:
        """Channels inside a decoder block that takes `in_channels`."""
        return in_channels // 4 if self.inter == "adap" else self.inter


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear to (H, W), corners aligned, as everywhere in the official code."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def norm(channels: int, widths: Widths) -> nn.Module:
    """Batch norm, or nothing."""
    return nn.BatchNorm2d(channels) if widths.batch_norm else nn.Identity()


class Branch(nn.Module):
    """One branch of the attention: a convolution, plain or deformable, norm and ReLU."""

    def __init__(self, conv: nn.Module, widths: Widths) -> None:
        super().__init__()
        self.atrous_conv = conv
        self.bn = norm(widths.aspp, widths)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, aspp, H, W)."""
        return self.finish(self.atrous_conv(x))

    def finish(self, x: Tensor) -> Tensor:
        """What follows the convolution."""
        return F.relu(self.bn(x))


class Aspp(nn.Module):
    """Parallel branches and global pooling, joined by a 1 x 1 convolution."""

    def __init__(self, channels: int, widths: Widths, out_channels: int) -> None:
        super().__init__()
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, widths.aspp, 1, bias=False),
            norm(widths.aspp, widths),
            nn.ReLU(),
        )
        self.bn1 = norm(out_channels, widths)
        self.dropout = nn.Dropout(widths.dropout)

    def join(self, branches: list[Tensor], x: Tensor, conv: nn.Conv2d) -> Tensor:
        """The branches and the pooled image, joined by a 1 x 1 convolution.

        The pooled image is one value per channel, so its share is added after the product
        instead of being spread over all pixels before it.
        """
        local = torch.cat(branches, dim=1)
        here, pooled = conv.weight.split((local.shape[1], conv.in_channels - local.shape[1]), 1)
        joined = F.conv2d(local, here) + F.conv2d(self.global_avg_pool(x), pooled)
        out: Tensor = self.dropout(F.relu(self.bn1(joined)))
        return out


class ASPP(Aspp):
    """Atrous spatial pyramid pooling: dilations 1, 6, 12 and 18."""

    def __init__(self, channels: int, widths: Widths, out_channels: int) -> None:
        super().__init__(channels, widths, out_channels)
        self.aspp1 = Branch(nn.Conv2d(channels, widths.aspp, 1, bias=False), widths)
        self.aspp2, self.aspp3, self.aspp4 = (
            Branch(nn.Conv2d(channels, widths.aspp, 3, padding=d, dilation=d, bias=False), widths)
            for d in DILATIONS
        )
        self.conv1 = nn.Conv2d(5 * widths.aspp, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        branches = [branch(x) for branch in (self.aspp1, self.aspp2, self.aspp3, self.aspp4)]
        return self.join(branches, x, self.conv1)


class ASPPDeformable(Aspp):
    """The same with deformable convolutions: 1 x 1, and 1 x 1, 3 x 3 and 7 x 7 beside it."""

    def __init__(self, channels: int, widths: Widths, out_channels: int) -> None:
        super().__init__(channels, widths, out_channels)
        conv = DEFORMABLE[widths.deformable]
        self.aspp1 = Branch(conv(channels, widths.aspp, 1, 0), widths)
        self.aspp_deforms = nn.ModuleList(
            Branch(conv(channels, widths.aspp, k, k // 2), widths) for k in DEFORMABLE_KERNELS
        )
        branches = 2 + len(DEFORMABLE_KERNELS)
        self.conv1 = nn.Conv2d(branches * widths.aspp, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        branches: list[Branch] = [self.aspp1, *self.aspp_deforms]
        convs = [b.atrous_conv for b in branches]
        if all(isinstance(c, DeformableConv2d) for c in convs):  # sampled together
            reads = deform_convs2d(x, [c.predict(x) for c in convs])  # type: ignore[operator]
            outs = [b.finish(z) for b, z in zip(branches, reads, strict=True)]
        else:
            outs = [b(x) for b in branches]
        return self.join(outs, x, self.conv1)


DEFORMABLE: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "DCNv2": DeformableConv2d,
    "DCNv4": DCNv4Conv2d,
}
ATTENTION: dict[str, Callable[[int, Widths, int], nn.Module]] = {
    "ASPPDeformable": ASPPDeformable,
    "ASPP": ASPP,
    "none": lambda *_: nn.Identity(),
}


class BasicDecBlk(nn.Module):
    """3 x 3 convolution, attention, 3 x 3 convolution."""

    def __init__(
        self, in_channels: int, out_channels: int, widths: Widths, attention: Attention
    ) -> None:
        super().__init__()
        inside = widths.inside(in_channels)
        self.conv_in = nn.Conv2d(in_channels, inside, 3, padding=1)
        self.bn_in = norm(inside, widths)
        self.dec_att = ATTENTION[attention](inside, widths, inside)
        self.conv_out = nn.Conv2d(inside, out_channels, 3, padding=1)
        self.bn_out = norm(out_channels, widths)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H, W)."""
        x = self.dec_att(F.relu(self.bn_in(self.conv_in(x))))
        out: Tensor = self.bn_out(self.conv_out(x))
        return out


class ResBlk(BasicDecBlk):
    """The same with a 1 x 1 convolution around it."""

    def __init__(
        self, in_channels: int, out_channels: int, widths: Widths, attention: Attention
    ) -> None:
        super().__init__(in_channels, out_channels, widths, attention)
        self.conv_resi = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H, W)."""
        out: Tensor = super().forward(x) + self.conv_resi(x)
        return out


class BasicLatBlk(nn.Module):
    """A 1 x 1 convolution from the encoder to the decoder."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H, W)."""
        out: Tensor = self.conv(x)
        return out


class SimpleConvs(nn.Module):
    """Two 3 x 3 convolutions with nothing between: what the inward reference goes through."""

    def __init__(self, in_channels: int, out_channels: int, inter_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, inter_channels, 3, padding=1)
        self.conv_out = nn.Conv2d(inter_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H, W)."""
        out: Tensor = self.conv_out(self.conv1(x))
        return out

    def folded(self, x: Tensor, weight: Tensor) -> Tensor:
        """The result passed through a 1 x 1 convolution (1, out, 1, 1), in one step with it."""
        last = self.conv_out
        kernel = torch.einsum("o,oihw->ihw", weight.flatten(), last.weight)[None]
        bias = (weight.flatten() @ last.bias).view(1)  # type: ignore[operator]
        return F.conv2d(self.conv1(x), kernel, bias, padding=1)


BLOCKS: dict[str, type[BasicDecBlk]] = {"BasicDecBlk": BasicDecBlk, "ResBlk": ResBlk}


def squeeze_module(
    kind: str, in_channels: int, out_channels: int, widths: Widths, attention: Attention
) -> nn.Sequential:
    """What the coarsest map passes before the decoder; `kind` as in the official configuration.

    Raises:
        ValueError: no module, but channels to fuse.
    """
    if kind == "none":
        if in_channels != out_channels:
            raise ValueError("squeeze='none' needs context=0: nothing else fuses the finer maps")
        return nn.Sequential()
    name, count = kind.split("_x")
    blocks: list[nn.Module] = []
    for i in range(int(count)):
        taken = in_channels if i == 0 else out_channels
        if name in BLOCKS:
            blocks.append(BLOCKS[name](taken, out_channels, widths, attention))
        else:
            blocks.append(ATTENTION[name](taken, widths, out_channels))
    return nn.Sequential(*blocks)
