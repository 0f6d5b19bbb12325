"""Backbones of transformers that have no name here: by type, by folder, or why not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models import backbones
from models.backbones import weights

TINY = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small ConvNeXt V2 as transformers saves it, with its classifier."""
    from transformers import ConvNextV2Config, ConvNextV2ForImageClassification

    ConvNextV2ForImageClassification(ConvNextV2Config(**TINY)).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize(
    ("kind", "channels"),
    [
        ("convnextv2", (768, 384, 192, 96)),
        ("swinv2", (768, 384, 192, 96)),
        ("hgnet_v2", (2048, 1024, 512, 128)),
        ("pp_lcnet", (512, 256, 128, 64)),
        ("dinov2", (768,) * 4),
        ("vitdet", (768,) * 4),
    ],
)
def test_other_types_of_transformers_are_backbones_too(kind: str, channels) -> None:
    with torch.device("meta"):
        bb = backbones.build(kind)
        maps = bb.eval()(torch.empty(1, 3, 64, 96))
    assert bb.channels == channels
    assert bb.plain == (len(set(channels)) == 1)
    strides = (16,) * 4 if bb.plain else (4, 8, 16, 32)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 96 // s) for c, s in zip(channels[::-1], strides, strict=True)
    ]
    grouped = [id(p) for stage in bb.stages() for m in stage for p in m.parameters()]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in bb.parameters()}
    assert all(bb.stages())


def test_plain_backbones_give_the_maps_at_quarters_of_their_depth() -> None:
    with torch.device("meta"):
        net = backbones.build("dinov2").net
    assert net.out_features == ["stage3", "stage6", "stage9", "stage12"]


def test_a_folder_is_a_backbone_with_and_without_its_weights(folder: Path) -> None:
    bb, other = backbones.build(str(folder), True), backbones.build(str(folder))
    assert bb.channels == other.channels == (32, 24, 16, 8)
    key = "embeddings.patch_embeddings.weight"
    assert torch.equal(
        bb.net.state_dict()[key], load_file(folder / "model.safetensors")["convnextv2." + key]
    )
    assert not torch.equal(bb.net.state_dict()[key], other.net.state_dict()[key])
    bb.checkpoint(True)
    sum(m.square().mean() for m in bb(torch.randn(2, 3, 64, 80))).backward()
    assert [k for k, p in bb.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin_v1_tt", "did you mean 'swin_v1_t'.*a model type of transformers .*convnextv2"),
        ("vit", "of type 'vit', which has no backbone"),
        ("timm_backbone", "has no backbone in transformers"),
        ("dinat", "'dinat' needs a library that is not installed: .*natten"),
        ("focalnet", r"maps at strides 8 x 8, 16 x 16, 32 x 32.*expected 4, 8, 16 and 32"),
        ("hiera", "does not take images of 64 x 96 px"),
        ("nobody/nothing", "no weights at 'nobody/nothing'"),
    ],
)
def test_encoders_that_cannot_serve_say_why(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbones.build(name)


def test_a_folder_of_timm_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "pretrained_cfg": {}}')
    with pytest.raises(ValueError, match=r"needs a library that is not installed: .*timm"):
        backbones.build(str(tmp_path))


def test_the_types_that_an_error_lists_can_be_built() -> None:
    with pytest.raises(ValueError, match="expected one of") as error:
        backbones.build("vit")
    listed = str(error.value).split("expected one of ")[1].split(", ")
    with torch.device("meta"):
        assert all(len(backbones.build(kind).channels) == 4 for kind in listed)
    assert len(listed) > 15


def test_a_type_has_no_weights_of_its_own() -> None:
    with pytest.raises(ValueError, match="'convnextv2' is a type, without weights"):
        backbones.build("convnextv2", True)
