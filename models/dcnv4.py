"""Deformable convolution of the fourth kind in plain PyTorch (DCNv4: Xiong et al., CVPR 2024)."""

import torch
from torch import Tensor, nn

from models.deform import deform_conv2d

GROUP = 16  # channels that share offsets: the least that the published kernel takes


class DCNv4Conv2d(nn.Module):
    r"""Depthwise aggregation at learned places, between two 1 x 1 convolutions.

    y_g(p) = sum_k m_gk(p) v_g(p + p_k + d_gk(p)) for each group g of channels, v = value(x),
    result = output(y); v is read bilinearly and 0 outside the image. Offsets d and modulation m
    are a linear map of x at p. The modulation is not bounded: neither softmax nor sigmoid. Offsets
    start at zero and modulation at 1 / K, so that y is at first the mean of the window; published
    it starts at zero, but the ReLU that follows in BiRefNet has no gradient there.

    Left out: the memory layout and half-precision arithmetic of the published CUDA kernel, and
    its options (depthwise convolution before the offsets, scale of the centre, kernel without the
    centre, stride and dilation). An output of other channels than the input is added.

    Args:
        in_channels: a multiple of `group_channels`.
        out_channels: of the result.
        kernel_size: side of the window of K places.
        padding: zeros assumed around the image, kernel_size // 2 at most.
        group_channels: channels that share offsets and modulation.

    Raises:
        ValueError: channels that do not divide into groups, or a padding that is not half of an
            odd kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int,
        group_channels: int = GROUP,
    ) -> None:
        super().__init__()
        if in_channels % group_channels:
            raise ValueError(
                f"in_channels is {in_channels}, expected a multiple of {group_channels}: give "
                "another width, or group_channels that divide it"
            )
        if kernel_size != 2 * padding + 1:
            raise ValueError(
                f"kernel_size {kernel_size} with padding {padding}, expected an odd kernel and "
                f"padding={kernel_size // 2}: each place predicts its own offsets"
            )
        self.padding = padding
        self.groups, self.taps = in_channels // group_channels, kernel_size * kernel_size
        self.value_proj = XavierConv2d(in_channels, in_channels, 1)
        self.offset_mask = Places(in_channels, self.groups, self.taps)
        self.output_proj = XavierConv2d(in_channels, out_channels, 1)
        each = torch.eye(group_channels)[:, :, None, None]  # a tap adds a channel to itself
        self.register_buffer(
            "gather", each.repeat(1, 1, kernel_size, kernel_size), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, H, W)."""
        groups = (len(x) * self.groups, -1, *x.shape[-2:])  # like images of their own
        value = self.value_proj(x).reshape(groups)
        moved = self.offset_mask(x).reshape(groups)
        offset, modulation = moved.split((2 * self.taps, self.taps), dim=1)
        gather = self.get_buffer("gather").to(value.dtype)
        y = deform_conv2d(value, offset, modulation, gather, None, self.padding)
        out: Tensor = self.output_proj(y.reshape(len(x), -1, *x.shape[-2:]))
        return out


class Places(nn.Conv2d):
    """1 x 1: for each group the offsets (2 K) and the modulation (K) of its taps."""

    def __init__(self, in_channels: int, groups: int, taps: int) -> None:
        self.taps = taps
        super().__init__(in_channels, groups * 3 * taps, 1)

    def reset_parameters(self) -> None:
        """Offsets of nothing and modulation of 1 / K, whatever the image."""
        nn.init.zeros_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        with torch.no_grad():
            self.bias.view(-1, 3 * self.taps)[:, 2 * self.taps :] = 1 / self.taps


class XavierConv2d(nn.Conv2d):
    """A convolution that starts by Xavier's rule with a bias of zero, as published."""

    def reset_parameters(self) -> None:
        """Draw the weight and fill the bias with zeros."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
