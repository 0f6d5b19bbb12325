"""The deformable convolution as ONNX writes it: a node of the graph instead of an operator."""

import torch
from torch import Tensor


def deform_convs2d_exportable(
    x: Tensor, offset: Tensor, modulator: Tensor, weight: Tensor, padding: int, stride: int = 1
) -> Tensor:
    """A node DeformConv (ONNX, from opset 19 on) of the graph that is being exported.

    Args:
        x, offset, modulator, weight, padding, stride: as of `models.deform.deform_conv2d`.

    Returns:
        (B, O, H', W') without numbers in it: while exporting none are computed.
    """
    out: Tensor = torch.onnx.ops.symbolic(
        "DeformConv",
        (x, weight, offset, None, modulator),  # None: no bias
        {"kernel_shape": list(weight.shape[-2:]), "pads": [padding] * 4, "strides": [stride] * 2},
        dtype=x.dtype,
        shape=(len(x), len(weight), *offset.shape[-2:]),
        version=19,
    )
    return out
