"""A model saved, loaded and pushed by the hub's ways, without a network."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import models
from models import BiRefNet, backbones
from tests.models.small import SMALL

OFFICIAL = {  # what the config.json of an official repository has
    "architectures": ["BiRefNet"],
    "auto_map": {"AutoConfig": "BiRefNet_config.BiRefNetConfig"},
    "bb_pretrained": False,
}
IMAGE = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def lite(**switches: Any) -> BiRefNet:
    model = BiRefNet.preset("lite", **{**SMALL, "pretrained": False, **switches})
    models.initialise(model, 0)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    lite(outward=4, classes=3).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def mend(folder: Path, change: dict[str, Tensor], drop: tuple[str, ...] = ()) -> None:
    """Change some of the saved weights."""
    weights = load_file(folder / "model.safetensors") | change
    for key in drop:
        del weights[key]
    save_file(weights, folder / "model.safetensors")


def test_a_saved_model_comes_back_with_equal_switches_and_outputs(saved: Path) -> None:
    before, after = lite(outward=4, classes=3), BiRefNet.from_pretrained(saved)
    assert after.switches == before.switches
    assert not after.training
    with torch.no_grad():
        for a, b in zip(before(IMAGE), after(IMAGE), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_model_that_came_back_is_saved_with_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    BiRefNet.from_pretrained(saved).save_pretrained(tmp_path / "again")
    for file in ("config.json", "model.safetensors"):
        assert (saved / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_channels_last_weights_are_saved_too(tmp_path: Path) -> None:
    model = lite().to(memory_format=torch.channels_last)
    model.save_pretrained(tmp_path)
    again = BiRefNet.from_pretrained(tmp_path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_an_encoder_that_was_pretrained_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lite(pretrained=True)
    model.save_pretrained(tmp_path)
    asked: list[Any] = []
    build = backbones.build

    def spy(
        name: str, pretrained: bool | str = False, drop_path: float | None = None
    ) -> nn.Module:
        asked.append(pretrained)
        return build(name, pretrained, drop_path)

    monkeypatch.setattr(backbones, "build", spy)
    again = BiRefNet.from_pretrained(tmp_path)
    assert asked == [False]
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_switches_can_be_set_when_a_model_comes_back(saved: Path) -> None:
    model = BiRefNet.from_pretrained(saved, freeze_backbone=True, dropout=0.0)
    assert (model.frozen, model.switches.dropout, model.switches.outward) == (5, 0.0, 4)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"outwards": 3}, "unknown switch of BiRefNet 'outwards'; did you mean 'outward'"),
        ({"batch_norm": "no"}, "batch_norm is 'no', expected True or False"),
    ],
)
def test_a_wrong_switch_of_ones_own_is_not_blamed_on_the_folder(
    saved: Path, switches: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        BiRefNet.from_pretrained(saved, **switches)


def test_keywords_of_the_hub_and_switches_that_need_the_saved_ones_pass(tmp_path: Path) -> None:
    lite(outward=False, multi_stage=False).save_pretrained(tmp_path)
    again = BiRefNet.from_pretrained(tmp_path, local_files_only=True, multi_stage=False)
    assert not again.switches.multi_stage


def test_a_path_of_weights_is_used_and_saved(tmp_path: Path) -> None:
    encoder = lite(backbone="resnet18").bb.state_dict()
    save_file(encoder, tmp_path / "encoder.safetensors")
    model = lite(backbone="resnet18", pretrained=tmp_path / "encoder.safetensors")
    model.save_pretrained(tmp_path / "model")
    again = BiRefNet.from_pretrained(tmp_path / "model")
    for key, value in encoder.items():
        assert torch.equal(again.bb.state_dict()[key], value), key
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    assert saved["pretrained"] == str(tmp_path / "encoder.safetensors")


@pytest.mark.parametrize(
    ("change", "drop"),
    [
        ({}, ("decoder.conv_out1.0.weight",)),
        ({"decoder.extra": torch.zeros(1)}, ()),
        ({"decoder.conv_out1.0.bias": torch.zeros(2)}, ()),
    ],
    ids=["missing", "extra", "another shape"],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    saved: Path, change: dict[str, Tensor], drop: tuple[str, ...]
) -> None:
    mend(saved, change, drop)
    with pytest.raises(ValueError, match=r"decoder\.(conv_out1|extra)"):
        BiRefNet.from_pretrained(saved)


def test_an_official_folder_is_refused_with_the_way_to_load_it(saved: Path) -> None:
    (saved / "config.json").write_text(json.dumps(OFFICIAL))
    with pytest.raises(ValueError, match=r"architectures.*models\.load_official"):
        BiRefNet.from_pretrained(saved)


def test_official_weights_are_refused_with_the_way_to_load_them(saved: Path) -> None:
    mend(saved, {"bb.patch_embed.proj.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"bb\.patch_embed.*models\.load_official"):
        BiRefNet.from_pretrained(saved)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(saved: Path, file: str) -> None:
    (saved / file).unlink()
    with pytest.raises(ValueError, match="is not what save_pretrained or push_to_hub") as caught:
        BiRefNet.from_pretrained(saved)
    assert file in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_is_neither_a_folder_nor_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not what save_pretrained or push_to_hub"):
        BiRefNet.from_pretrained(tmp_path / "nothing")


def test_a_push_uploads_switches_weights_and_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Repository:
        repo_id = "someone/lite"

    def upload(self: HfApi, *, folder_path: Path, repo_id: str, **_: Any) -> str:  # noqa: ARG001
        seen["repo_id"] = repo_id
        seen["config"] = json.loads((folder_path / "config.json").read_text())
        seen["weights"] = load_file(folder_path / "model.safetensors")
        seen["card"] = (folder_path / "README.md").read_text()
        return f"https://hub/{repo_id}"

    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: Repository())
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    model = lite(outward=4)
    assert model.push_to_hub("lite") == "https://hub/someone/lite"
    assert seen["repo_id"] == "someone/lite"
    assert seen["config"]["outward"] == 4
    assert "library_name: seglossary" in seen["card"]
    assert set(seen["weights"]) == set(model.state_dict())
