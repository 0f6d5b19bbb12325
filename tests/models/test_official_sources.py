"""Official checkpoints: where they come from, and which are refused."""

from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from models import BiRefNet, export_official, load_official
from tests.models.small import SMALL

PVT: dict[str, Any] = {"backbone": "pvt_v2_b0", **SMALL}


@cache
def small() -> dict[str, Tensor]:
    """A small checkpoint in official names."""
    return export_official(BiRefNet(**PVT))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off(prefix: str) -> None:
    model = load_official({prefix + k: v for k, v in small().items()})
    assert all(v.equal(small()[k]) for k, v in export_official(model).items())


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_both_kinds_of_files_are_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith("pth"):
        torch.save(small(), file)
    else:
        save_file(small(), file)
    for source in (file, str(file), *([tmp_path] if name == "model.safetensors" else [])):
        assert all(v.equal(small()[k]) for k, v in export_official(load_official(source)).items())


def test_a_loaded_model_is_in_evaluation_mode_and_takes_switches_of_training() -> None:
    model = load_official(small(), freeze_backbone=2, dropout=0.25)
    assert not model.training
    assert (model.frozen, model.switches.dropout) == (2, 0.25)


def test_all_weights_that_do_not_fit_are_named() -> None:
    state = {**small(), "stem_layer.conv1.weight": torch.zeros(1)}
    del state["decoder.conv_out1.0.bias"]
    state["decoder.gdt_convs_3.0.bias"] = torch.zeros(5)
    lost = [key for key in state if ".aspp_deforms.2." in key]
    with pytest.raises(ValueError, match=rf"^{3 + len(lost)} weights do not fit") as error:
        load_official({key: value for key, value in state.items() if key not in lost})
    assert sorted(str(error.value).splitlines()[1:]) == sorted(
        [
            *(f"missing {key}" for key in ["decoder.conv_out1.0.bias", *lost]),
            "unexpected stem_layer.conv1.weight",
            "decoder.gdt_convs_3.0.bias is (5,), expected (4,)",
        ]
    )


def test_a_switch_that_contradicts_the_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unexpected decoder.gdt_convs_4.0.weight"):
        load_official(small(), outward=False)


def test_single_scale_and_added_scales_must_be_told_apart_by_the_caller() -> None:
    state = export_official(BiRefNet(**PVT, multi_scale_input="add"))
    with pytest.raises(ValueError, match=r"multi_scale_input='none'"):
        load_official(state)


def test_of_another_backbone_the_default_scales_must_be_told_too() -> None:
    given = {"backbone": "convnextv2"}
    model = BiRefNet(**{**PVT, **given})
    state = export_official(model)
    with pytest.raises(ValueError, match=r"widths are unknown.*multi_scale_input='cat'"):
        load_official(state, **given)
    again = load_official(state, **given, multi_scale_input="cat").state_dict()
    assert all(v.equal(again[k]) for k, v in model.state_dict().items())


def test_an_unknown_switch_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'classes'"):
        load_official(small(), clases=3)


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="no weights of a BiRefNet"):
        load_official({"conv1.weight": torch.zeros(1)})


def test_an_unknown_backbone_is_refused_with_the_known() -> None:
    state = {k: v for k, v in small().items() if not k.startswith("bb.block3")}
    with pytest.raises(ValueError, match=r"bb\.patch_embed1.* none of .*swin_v1_l"):
        load_official(state)


def test_a_checkpoint_of_a_whole_training_state_is_refused() -> None:
    with pytest.raises(ValueError, match="dict, int among the values"):
        load_official({"epoch": 3, "model": small()})  # type: ignore[dict-item]


def test_two_state_dicts_in_one_are_refused() -> None:
    with pytest.raises(ValueError, match="two state dicts"):
        load_official({**small(), **{f"module.{k}": v for k, v in small().items()}})


@pytest.mark.parametrize("source", [None, 3, torch.nn.Linear(1, 1)], ids=str)
def test_a_source_of_another_kind_is_refused(source: Any) -> None:
    message = rf"{type(source).__name__}, expected a file.*model.state_dict\(\)"
    with pytest.raises(ValueError, match=message):
        load_official(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ZhengPeng7/BiRefNet", "ZhengPeng7/BiRefNet/resolve/main/model.safetensors"),
        ("{}/empty", "no file '.*/empty/model.safetensors': expected a state dict"),
        ("{}/other", "no file or folder, expected .safetensors"),
        ("other", "no file or folder, expected .safetensors"),
        ("{}/other.pth", "no file '.*/other.pth': expected a state dict"),
    ],
)
def test_a_source_that_is_not_there_says_what_is_needed(
    source: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    def offline(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("models.official.reachable", lambda: False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(ValueError, match=message) as error:
        load_official(source.format(tmp_path))
    assert ("https://" in str(error.value)) == (source == "ZhengPeng7/BiRefNet")


def test_a_name_on_the_hub_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_file(small(), tmp_path / "model.safetensors")

    def download(repo: str, file: str, **_: Any) -> str:
        assert repo == "ZhengPeng7/BiRefNet"
        return str(tmp_path / file)

    monkeypatch.setattr("models.official.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert load_official("ZhengPeng7/BiRefNet").switches.backbone == "pvt_v2_b0"
