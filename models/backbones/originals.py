"""Where transformers departs from the original releases, as the official code uses them.

All keep the names of the parameters. Initial values stay those of transformers: for Swin other
ones than in the official code, which leaves PyTorch's; it matters to training from scratch alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.pvt_v2.modeling_pvt_v2 import PvtV2SelfAttention
from transformers.models.swin.modeling_swin import SwinMLP


def restore(net: Any, loaded: bool) -> None:
    """Bring a backbone of transformers in line with its original release, in place.

    Args:
        net: Swin, PVTv2 and DINOv3 change; any other stays as it is.
        loaded: whether it has pretrained weights.
    """
    kind = type(net).__name__
    if kind == "SwinBackbone":
        _swin(net)
    elif kind == "PvtV2Backbone" and not net.config.linear_attention:
        _pvt(net)
    elif kind == "DINOv3ViTBackbone" and not net.config.apply_layernorm:
        _dino(net, loaded)


def _swin(net: Any) -> None:
    net.swin.layernorm = nn.Identity()  # of the last map, which has another norm of its own
    for stage in net.swin.encoder.layers:
        for layer in stage.blocks:  # stochastic depth there is on the attention alone
            layer.mlp.__class__ = DroppedMLP
            layer.mlp.drop_path = layer.drop_path


def _pvt(net: Any) -> None:
    for stage in net.encoder.layers:
        stage.patch_embedding.layer_norm.eps = 1e-5
        for block in stage.blocks:
            block.attention.__class__ = FusedAttention
            if block.attention.spatial_reduction_ratio > 1:
                block.attention.layer_norm.eps = 1e-5


def _dino(net: Any, loaded: bool) -> None:
    net.norm = nn.Identity()  # the maps are taken without it
    embeddings = net.embeddings
    mask = torch.zeros_like(embeddings.mask_token)
    del embeddings.mask_token  # for pretraining alone
    embeddings.register_buffer("mask_token", mask, persistent=False)
    for layer in net.model.layer:
        for linear in (layer.attention.q_proj, layer.attention.v_proj):
            if linear.bias is not None and not (loaded and linear.bias.any()):
                linear.bias = None  # zero: the official code has none
            linear.register_load_state_dict_pre_hook(_take_bias)


def _take_bias(linear: Any, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Have a bias again where the weights to load have one: of some releases it is not zero."""
    if linear.bias is None and f"{prefix}bias" in state:
        weight = linear.weight
        linear.bias = nn.Parameter(weight.new_zeros(len(weight)), weight.requires_grad)


class DroppedMLP(SwinMLP):  # type: ignore[misc]
    """Swin's MLP with stochastic depth, on whole images."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, tokens, channels) to the same."""
        out: Tensor = self.drop_path(super().forward(hidden_states))
        return out


class FusedAttention(PvtV2SelfAttention):  # type: ignore[misc]
    """PVTv2's attention, its scores never stored: 65536 x 1024 a head at 1024 px."""

    def forward(
        self, hidden_states: Tensor, height: int, width: int, output_attentions: bool = False
    ) -> tuple[Tensor]:
        """(B, tokens, channels) to the same; the weights cannot be had."""
        if output_attentions:
            raise ValueError("fused attention has no weights to give: output_attentions=False")
        x = hidden_states
        query = self.transpose_for_scores(self.query(x))
        if self.spatial_reduction_ratio > 1:
            image = x.transpose(1, 2).unflatten(2, (height, width))
            x = self.layer_norm(self.spatial_reduction(image).flatten(2).transpose(1, 2))
        key, value = (self.transpose_for_scores(part(x)) for part in (self.key, self.value))
        dropout = self.attn_drop.p if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        out = out.transpose(1, 2).flatten(2)
        return (self.proj_drop(self.proj(out)),)
