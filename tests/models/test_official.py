"""Official checkpoints: the same numbers from the same weights, told switches, exports."""

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from models import BiRefNet
from models.blocks import resize
from models.inferred import infer
from models.official import export_official, load_official
from models.switches import Switches
from tests.models.make_official import CASES, Case, draw, image, thin
from tests.models.small import SMALL

NUMBERS = Path(__file__).parent / "official"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
LOOSE = {"dino_v3_s": 1e-6}  # rotary embeddings are made in float32 in both libraries
IN_FLOAT32_TOO = ("resnet50", "vgg16bn", "pvt_v2_b0", "swin_v1_t", "residual", "refine_unet")
DERIVED = "relative_position_index"
State = dict[str, Tensor]
Errors = dict[torch.dtype, dict[str, float]]
PVT: dict[str, Any] = {"backbone": "pvt_v2_b0", **SMALL}


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


@pytest.fixture(scope="module")
def errors(official: Official) -> Errors:
    """For each output its largest deviation from the official one over the largest of these."""
    return {
        dtype: {
            name: float(np.abs(seen - official.numbers[name]).max())
            / float(np.abs(official.numbers[name]).max())
            for name, seen in outputs(official.model, dtype).items()
        }
        for dtype in TOLERANCE
        if dtype == torch.float64 or official.name in IN_FLOAT32_TOO
    }


def outputs(model: BiRefNet, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """What the numbers were made of."""
    model, x = copy.deepcopy(model).to(dtype), image().to(dtype)
    with torch.no_grad():
        found = {"evaluation": model.eval()(x).logits}
        out = model.train()(x)
    found |= {f"level_{i}": z for i, z in enumerate(out.levels)}
    found |= {f"gradient_{i}": z for i, z in enumerate(out.gradient_logits)}
    for i, level in enumerate(out.levels[: len(out.gradient_logits)]):
        found[f"label_{i}"] = out.gradient_map * resize(level, x.shape[-2:])
    found |= {} if out.class_logits is None else {"classes": out.class_logits}
    return {name: thin(z).numpy() for name, z in found.items()}


def expected(case: Case) -> list[str]:
    """The outputs that the official code has with a case's settings."""
    levels = 4 if case.switches.get("multi_stage", True) else 1
    levels += {"RefUNet": 1, "Refiner": 4}.get(case.switches.get("refine", ""), 0)
    stages = range(case.switches.get("outward", 3))
    return [
        "evaluation",
        *(f"level_{i}" for i in range(levels)),
        *(f"gradient_{i}" for i in stages),
        *(f"label_{i}" for i in stages),
        *(["classes"] if "classes" in case.switches else []),
    ]


def test_a_case_has_the_outputs_of_its_settings(official: Official, errors: Errors) -> None:
    assert sorted(official.numbers) == sorted(expected(CASES[official.name]))
    assert all(found.keys() == official.numbers.keys() for found in errors.values())


def test_every_output_is_the_official_one(official: Official, errors: Errors) -> None:
    """Evaluation, every training level, gradient logits and labels, class logits."""
    for dtype, found in errors.items():
        allowed = max(TOLERANCE[dtype], LOOSE.get(official.name, 0))
        assert {name: error for name, error in found.items() if not error < allowed} == {}


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
    model = BiRefNet(**{**PVT, **switches})
    told = {k: v for k, v in switches.items() if k == "multi_scale_input"}
    again = load_official(export_official(model), **told)
    state = model.state_dict()
    assert state.keys() == again.state_dict().keys()
    assert [k for k, v in again.state_dict().items() if not v.equal(state[k])] == []
