"""Modulated deformable convolution in plain PyTorch (Zhu et al., CVPR 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Samples kept at once: a chunk's taps stay in the cache, which makes it 2 to 3 times faster.
CHUNK = 1 << 20


def deform_conv2d(
    x: Tensor, offset: Tensor, modulator: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    r"""Convolution whose taps are read at learned places and weighted: stride 1, dilation 1.

    y(p) = sum_k w_k m_k(p) x(p + p_k + d_k(p)), x read bilinearly and 0 outside the image.

    Args:
        x: (B, C, H, W).
        offset: (B, 2K, H', W'), d_k as (dy, dx) pairs, in pixels.
        modulator: (B, K, H', W'), m_k.
        weight: (O, C, k, k), K = k k.
        bias: (O,) or None.
        padding: zeros assumed around the image; H' = H + 2 padding - k + 1.

    Returns:
        (B, O, H', W').
    """
    batch = max(1, CHUNK // (x.shape[1] * modulator[0].numel()))
    if batch < len(x):
        parts = zip(x.split(batch), offset.split(batch), modulator.split(batch), strict=True)
        return torch.cat([_deform(*part, weight, bias, padding) for part in parts])
    return _deform(x, offset, modulator, weight, bias, padding)


def _deform(
    x: Tensor, offset: Tensor, modulator: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    b, c, h, w = x.shape
    k = weight.shape[-1]
    taps, (oh, ow) = k * k, modulator.shape[-2:]
    # Places in pixels, (B, K, 2, H', W'), order (y, x); float32 at least, as bfloat16 cannot
    # tell neighbouring pixels apart beyond 256.
    wide = torch.promote_types(x.dtype, torch.float32)
    reach = torch.arange(k, device=x.device, dtype=wide) - padding
    rows = torch.arange(oh, device=x.device, dtype=wide).view(1, oh, 1) + reach.view(k, 1, 1)
    cols = torch.arange(ow, device=x.device, dtype=wide).view(1, 1, ow) + reach.view(k, 1, 1)
    place = offset.view(b, taps, 2, oh, ow).to(wide)
    y = place[:, :, 0] + rows.repeat_interleave(k, 0)
    x_ = place[:, :, 1] + cols.repeat(k, 1, 1)
    # grid_sample's own coordinates: -1 and 1 are the outer edges of the image.
    grid = torch.stack(((2 * x_ + 1) / w - 1, (2 * y + 1) / h - 1), dim=-1)
    read = F.grid_sample(
        x.to(wide), grid.view(b, taps * oh, ow, 2), padding_mode="zeros", align_corners=False
    )
    read = read.view(b, c, taps, oh * ow) * modulator.to(wide).view(b, 1, taps, oh * ow)
    flat = weight.reshape(weight.shape[0], c * taps)
    out = torch.matmul(flat, read.view(b, c * taps, oh * ow).to(flat.dtype))
    out = out if bias is None else out + bias.view(-1, 1).to(out.dtype)
    return out.view(b, -1, oh, ow)


class ZeroConv2d(nn.Conv2d):
    """A convolution that starts at zero: offsets of nothing, modulation of one half."""

    def reset_parameters(self) -> None:
        """Fill weight and bias with zeros."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class DeformableConv2d(nn.Module):
    """Deformable convolution that predicts its own offsets and modulation (2 sigmoid)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, padding: int
    ) -> None:
        super().__init__()
        taps = kernel_size * kernel_size
        self.padding = padding
        self.offset_conv = ZeroConv2d(in_channels, 2 * taps, kernel_size, padding=padding)
        self.modulator_conv = ZeroConv2d(in_channels, taps, kernel_size, padding=padding)
        self.regular_conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=padding, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, H, W)."""
        weight = torch.cat((self.offset_conv.weight, self.modulator_conv.weight))
        bias = torch.cat((self.offset_conv.bias, self.modulator_conv.bias))  # type: ignore[arg-type]
        both = F.conv2d(x, weight, bias, padding=self.padding)  # one pass over x for the two
        offset, modulator = both[:, : 2 * len(weight) // 3], both[:, 2 * len(weight) // 3 :]
        return deform_conv2d(
            x, offset, 2 * modulator.sigmoid(), self.regular_conv.weight, None, self.padding
        )
