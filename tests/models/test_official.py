"""Official checkpoints: the same numbers from the same weights, told switches, refused misfits."""

import copy
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from models import BiRefNet
from models.blocks import resize
from models.inferred import infer
from models.official import export_official, load_official
from models.switches import Switches
from tests.models.make_official import CASES, draw, image, thin

NUMBERS = Path(__file__).parent / "official"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
LOOSE = {"dino_v3_s": 1e-6}  # rotary embeddings are made in float32 in both libraries
DERIVED = "relative_position_index"
State = dict[str, Tensor]
SMALL: dict[str, Any] = {
    "backbone": "pvt_v2_b0",
    "inter_channels": 8,
    "aspp_channels": 8,
    "inward_channels": 8,
    "gradient_channels": 4,
}


class Official(NamedTuple):
    """A case: official weights, the model they make, what the official code makes of them."""

    name: str
    shapes: dict[str, tuple[int, ...]]
    state: State
    numbers: dict[str, np.ndarray]
    model: BiRefNet


def untold(name: str) -> dict[str, Any]:
    """The switches that no shape tells."""
    switches = CASES[name].switches
    return {k: v for k, v in switches.items() if k in ("multi_scale_input", "refine_scale")}


@pytest.fixture(scope="module", params=CASES)
def official(request: pytest.FixtureRequest) -> Official:
    with np.load(NUMBERS / f"{request.param}.npz") as file:
        numbers = dict(file)
    keys = (key.split(" ", 1) for key in numbers.pop("keys"))
    shapes = {name: tuple(json.loads(shape)) for name, shape in keys}
    del numbers["about"]
    state = {k: draw(k, shape) for k, shape in shapes.items() if not k.endswith(DERIVED)}
    model = load_official(state, dropout=0.0, drop_path=0.0, **untold(request.param))
    return Official(request.param, shapes, state, numbers, model)


@pytest.fixture(scope="module", params=TOLERANCE, ids=str)
def errors(official: Official, request: pytest.FixtureRequest) -> dict[str, float]:
    """For each output its largest deviation from the official one over what was allowed."""
    model, x = copy.deepcopy(official.model).to(request.param), image().to(request.param)
    with torch.no_grad():
        found = {"evaluation": model.eval()(x).logits}
        out = model.train()(x)
    found |= {f"level_{i}": z for i, z in enumerate(out.levels)}
    found |= {f"gradient_{i}": z for i, z in enumerate(out.gradient_logits)}
    for i, level in enumerate(out.levels[: len(out.gradient_logits)]):
        found[f"label_{i}"] = out.gradient_map * resize(level, x.shape[-2:])
    found |= {} if out.class_logits is None else {"classes": out.class_logits}
    assert found.keys() == official.numbers.keys()
    allowed = max(TOLERANCE[request.param], LOOSE.get(official.name, 0))
    thinned = {k: thin(z).numpy() for k, z in found.items()}
    return {k: deviation(thinned[k], v) / allowed for k, v in official.numbers.items()}


def deviation(seen: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(seen - expected).max() / np.abs(expected).max())


def worst(errors: dict[str, float], kind: str) -> float:
    return max([error for name, error in errors.items() if name.startswith(kind)], default=0)


def test_evaluation_agrees_with_the_official_code(errors: dict[str, float]) -> None:
    assert worst(errors, "evaluation") < 1


def test_every_training_level_agrees_with_the_official_code(errors: dict[str, float]) -> None:
    assert worst(errors, "level") < 1


def test_every_gradient_logit_agrees_with_the_official_code(errors: dict[str, float]) -> None:
    assert worst(errors, "gradient") < 1


def test_the_gradient_map_makes_the_official_labels(errors: dict[str, float]) -> None:
    assert worst(errors, "label") < 1


def test_class_logits_agree_with_the_official_code(errors: dict[str, float]) -> None:
    assert worst(errors, "classes") < 1


def test_the_weights_tell_the_switches(official: Official) -> None:
    case = CASES[official.name]
    given = asdict(Switches(case.bb, **{"outward": 3, **case.switches}))
    seen = infer(official.state)
    assert seen == {name: given[name] for name in seen}
    assert (given.keys() - seen.keys()).isdisjoint(case.switches.keys() - untold(official.name))


def test_an_export_is_the_official_checkpoint_bit_by_bit(official: Official) -> None:
    exported = export_official(official.model)
    assert {k: tuple(v.shape) for k, v in exported.items()} == official.shapes
    assert [k for k, v in official.state.items() if not v.equal(exported[k])] == []


@pytest.mark.parametrize(
    "switches",
    [
        {"backbone": "efficientnet_lite0"},
        {"backbone": "resnet18"},
        {"outward": 4},
        {"outward": 1},
        {"lateral": "none"},
        {"deformable": "DCNv4", "inter_channels": 16, "aspp_channels": 16},
        {"refine": "RefUNet"},
        {"refine": "Refiner"},
        {"squeeze": "ASPP_x3", "decoder_attention": "none"},
        {"batch_norm": False, "context": 2, "inward": "none", "multi_scale_input": "add"},
    ],
    ids=str,
)
def test_an_exported_model_loads_again(switches: dict[str, Any]) -> None:
    model = BiRefNet(**{**SMALL, **switches})
    told = {k: v for k, v in switches.items() if k == "multi_scale_input"}
    again = load_official(export_official(model), **told)
    state = model.state_dict()
    assert state.keys() == again.state_dict().keys()
    assert [k for k, v in again.state_dict().items() if not v.equal(state[k])] == []


@cache
def small() -> State:
    """A small checkpoint in official names."""
    return export_official(BiRefNet(**SMALL))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off(prefix: str) -> None:
    model = load_official({prefix + k: v for k, v in small().items()})
    assert all(v.equal(small()[k]) for k, v in export_official(model).items())


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_both_kinds_of_files_are_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith("pth"):
        torch.save(small(), file)
    else:
        save_file(small(), file)
    for source in (file, str(file)):
        assert all(v.equal(small()[k]) for k, v in export_official(load_official(source)).items())


def test_a_loaded_model_is_in_evaluation_mode_and_takes_switches_of_training() -> None:
    model = load_official(small(), freeze_backbone=2, dropout=0.25)
    assert not model.training
    assert (model.frozen, model.switches.dropout) == (2, 0.25)


def test_all_weights_that_do_not_fit_are_named() -> None:
    state = {**small(), "stem_layer.conv1.weight": torch.zeros(1)}
    del state["decoder.conv_out1.0.bias"]
    state["decoder.gdt_convs_3.0.bias"] = torch.zeros(5)
    with pytest.raises(ValueError, match=r"3 weights do not fit") as error:
        load_official(state)
    text = str(error.value)
    assert "missing decoder.conv_out1.0.bias" in text
    assert "unexpected stem_layer.conv1.weight" in text
    assert "decoder.gdt_convs_3.0.bias is (5,), expected (4,)" in text


def test_of_many_weights_that_do_not_fit_the_first_are_named() -> None:
    with pytest.raises(ValueError, match=r"^50 weights .*; and 30 more"):
        load_official({k: v for k, v in small().items() if ".aspp_deforms.2." not in k})


def test_a_switch_that_contradicts_the_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unexpected decoder.gdt_convs_4.0.weight"):
        load_official(small(), outward=False)


def test_single_scale_and_added_scales_must_be_told_apart_by_the_caller() -> None:
    state = export_official(BiRefNet(**SMALL, multi_scale_input="add"))
    with pytest.raises(ValueError, match=r"multi_scale_input='none'"):
        load_official(state)


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


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_a_broken_file_is_a_clear_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="is the download complete"):
        load_official(tmp_path / name)


def test_a_file_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match=r"no file 'nowhere.pth'"):
        load_official("nowhere.pth")


def test_without_a_network_the_error_says_what_to_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("models.official.reachable", lambda: False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(ValueError, match=r"ZhengPeng7/BiRefNet/resolve/main/model.safetensors"):
        load_official("ZhengPeng7/BiRefNet")


def test_a_name_on_the_hub_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_file(small(), tmp_path / "model.safetensors")

    def download(repo: str, file: str, **_: Any) -> str:
        assert repo == "ZhengPeng7/BiRefNet"
        return str(tmp_path / file)

    monkeypatch.setattr("models.official.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert load_official("ZhengPeng7/BiRefNet").switches.backbone == "pvt_v2_b0"
