"""Names of backbones' weights: there and back, and those of the original releases."""

import pytest
import torch

from models import backbones
from models.keys import to_ours, to_theirs


def test_the_index_of_positions_is_swin_s() -> None:
    exported = to_theirs(
        "swin_v1_t",
        to_ours(
            "swin_v1_t", {"layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(9, 1)}
        ),
    )
    index = exported["layers.0.blocks.0.attn.relative_position_index"]
    assert index.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


@pytest.mark.parametrize(
    "backbone", [name for name in backbones.names() if name != "efficientnet_lite0"]
)
def test_every_backbone_s_names_lead_there_and_back(backbone: str) -> None:
    with torch.device("meta"):
        state = backbones.build(backbone).state_dict()
    theirs = to_theirs(backbone, state)
    assert [k for k in theirs if k in state] == []
    back = to_ours(backbone, theirs)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in state.items()}
    assert to_ours(backbone, state).keys() == state.keys()


@pytest.mark.parametrize(
    ("backbone", "name", "official_name"),
    [
        ("resnet50", "conv1.weight", "conv1.0.weight"),
        ("resnet50", "bn1.running_var", "conv1.1.running_var"),
        ("resnet50", "layer1.2.bn3.bias", "conv1.4.2.bn3.bias"),
        ("resnet18", "layer4.0.downsample.0.weight", "conv4.0.downsample.0.weight"),
        ("vgg16", "features.28.bias", "conv4.28.bias"),
        ("vgg16bn", "features.14.weight", "conv2.14.weight"),
        ("dino_v3_s", "blocks.3.gamma_2", "model.blocks.3.gamma_2"),
    ],
)
def test_names_of_the_releases_mean_the_official_ones(
    backbone: str, name: str, official_name: str
) -> None:
    value = torch.arange(3.0)
    (ours,) = to_ours(backbone, {name: value})
    assert [*to_ours(backbone, {official_name: value})] == [ours]
    assert [*to_theirs(backbone, {ours: value})] == [official_name]


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("swin_v1_t", "head.weight"),
        ("swin_v1_t", "norm.bias"),
        ("swin_v1_t", "layers.0.blocks.1.attn_mask"),
        ("resnet50", "fc.weight"),
        ("vgg16", "classifier.0.weight"),
    ],
)
def test_heads_and_derived_buffers_of_the_releases_are_left_out(backbone: str, name: str) -> None:
    assert to_ours(backbone, {name: torch.zeros(1)}) == {}


def test_unknown_names_stay_to_be_reported() -> None:
    state = {"layers.0.extra": torch.zeros(1)}
    assert to_ours("swin_v1_t", state) == to_theirs("swin_v1_t", state) == state


def test_a_tensor_that_cannot_be_split_stays_to_be_reported() -> None:
    state = {"block1.0.attn.kv.weight": torch.zeros(3, 2)}
    assert to_ours("pvt_v2_b0", state) == state
