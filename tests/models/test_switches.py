"""What a BiRefNet refuses, and how it says so: switches, images, single images, frozen stages."""

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

import models
from models import BiRefNet
from models.switches import Switches
from tests.models.small import SMALL, noise

WRONG: dict[str, Iterable[object]] = {
    "backbone": (None, 5, ""),
    "pretrained": (None, 1, "", ("weights.pth",)),
    "bb_pretrained": ("", 0),
    "freeze_backbone": (6, -1, 2.0, "all"),
    "multi_scale_input": ("cta", None, 1),
    "context": (4, -1, True, "3", 1.0),
    "squeeze": ("ASPP", ("none",)),
    "outward": (5, -1, 3.0, "3", None),
    "multi_stage": ("false", 0, None),
    "refine": ("refunet", None),
    "refine_iterations": (0, True, 1.5),
    "refine_scale": (0, 4.0),
    "classes": (-1, True, "5"),
    "inter_channels": ("adapt", 0, True, 8.5),
    "aspp_channels": (0, True, "8"),
    "inward_channels": (0, None),
    "gradient_channels": (0, 4.0),
    "neck_channels": (5, None, (8, 8), ("a",) * 4, (8.5,) * 4, (True,) * 4, (8, 8, 8, 0), "8888"),
    "dropout": ("0.5", 1.0, -0.1, None, True, float("nan")),
    "drop_path": ("0.1", 1.0, False),
    "batch_norm": ("no", 1, None),
    "checkpoint": ("no", 0, None),
}


def lite(**switches: Any) -> BiRefNet:
    model = BiRefNet.preset("lite", **{**SMALL, "pretrained": False, **switches})
    models.initialise(model, 0)
    return model


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_named_with_what_is_expected(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{name} (is )?.*(expected|known:) ") as error:
        Switches(**{name: value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"backbone": "swin_v1_tt"}, "did you mean 'swin_v1_t'"),
        ({"multi_scale_input": "cta"}, "did you mean 'cat'"),
        ({"decoder_attention": "ASP"}, "did you mean 'ASPP'"),
        ({"inward": "patch"}, "did you mean 'patches'"),
        ({"outwards": True}, "did you mean 'outward'"),
        ({"refine": "refunet"}, "did you mean 'RefUNet'"),
        ({"deformable": "DCNv3"}, "did you mean 'DCNv"),
        ({"multi_stage": False}, "outward needs multi_stage=True"),
        ({"squeeze": "none"}, "needs context=0"),
    ],
)
def test_an_unknown_or_impossible_switch_is_named(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BiRefNet.preset("lite", **switches)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'lite'"):
        BiRefNet.preset("lit")


def test_paths_and_lists_are_kept_as_they_are_saved() -> None:
    switches = Switches(pretrained=Path("a/b.pth"), neck_channels=[8, 6, 4, 2])
    assert (switches.pretrained, switches.neck_channels) == (str(Path("a/b.pth")), (8, 6, 4, 2))


@pytest.mark.parametrize(("stages", "frozen"), [(True, 5), (False, 0), (1, 1), (5, 5), (0, 0)])
def test_true_is_all_stages_and_false_none(stages: bool | int, frozen: int) -> None:
    model = lite()
    model.freeze(stages)
    assert model.frozen == frozen == lite(freeze_backbone=stages).frozen


@pytest.mark.parametrize("stages", [6, -1, None, "all", 2.0])
def test_another_number_of_stages_is_refused(stages: object) -> None:
    with pytest.raises(ValueError, match="expected True, False or 0 to 5"):
        lite().freeze(stages)


def test_an_encoder_thawed_by_its_parameters_has_gradients() -> None:
    model = lite(freeze_backbone=True)
    model.bb.requires_grad_(True)
    model(noise(2, 3, 64, 64)).logits.sum().backward()
    assert all(p.grad is not None for p in model.bb.parameters())


@pytest.mark.parametrize(
    ("switches", "cure"),
    [
        ({}, "with batch_norm=False and freeze_backbone=True, or more images"),
        ({"freeze_backbone": True}, "with batch_norm=False, or more images"),
        ({"batch_norm": False}, "with freeze_backbone=True, or more images"),
        ({"batch_norm": False, "backbone": "resnet18"}, "with freeze_backbone=True, or more"),
        ({"backbone": "pvt_v2_b0"}, "with batch_norm=False, or more images"),
    ],
    ids=str,
)
def test_a_single_image_is_refused_with_what_helps(switches: dict[str, Any], cure: str) -> None:
    model = lite(**switches)
    with pytest.raises(ValueError, match=cure):
        model(noise(1, 3, 64, 64))
    model.eval()(noise(1, 3, 64, 64))


def test_a_second_encoder_needs_more_images() -> None:
    switches = {"refine": "Refiner", "refine_scale": 1, "batch_norm": False}
    with pytest.raises(ValueError, match="train with more images"):
        lite(**switches, freeze_backbone=True)(noise(1, 3, 64, 64))


@pytest.mark.parametrize("backbone", ["pvt_v2_b0", "efficientnet_lite0"])
def test_a_single_image_trains_where_no_batch_norm_does(backbone: str) -> None:
    frozen = backbone == "efficientnet_lite0"
    model = lite(backbone=backbone, batch_norm=False, freeze_backbone=frozen)
    model(noise(1, 3, 64, 64)).logits.sum().backward()


@pytest.mark.parametrize(
    "bad",
    [
        noise(2, 3, 64, 64).byte(),
        noise(2, 3, 64, 64).long(),
        noise(2, 3, 64, 64) > 0,
        noise(2, 3, 64, 64).double(),
        noise(2, 3, 64, 64).half(),
        noise(2, 3, 64, 64).cfloat(),
        np.zeros((2, 3, 64, 64), np.float32),
        [[0.0]],
        None,
    ],
    ids=lambda bad: str(getattr(bad, "dtype", bad)),
)
def test_what_is_no_image_is_refused_with_the_way_to_make_one(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"image is .*torch\.float32 .*divide pixels .* by 255"):
        lite()(bad)


@pytest.mark.parametrize("size", [(2, 1, 64, 64), (3, 64, 64), (1, 3, 64, 63), (0, 3, 64, 64)])
def test_images_of_the_wrong_shape_are_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"expected \(B, 3, H, W\) with B from 1, H and W from 64"
    ):
        lite()(noise(*size))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_takes_any_precision_up_to_single(dtype: torch.dtype) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = lite().eval()(noise(1, 3, 64, 64).to(dtype))
    assert bool(out.logits.isfinite().all())


def test_autocast_does_not_take_double_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="but float64"):
        lite()(noise(2, 3, 64, 64).double())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_takes_images_of_its_own_dtype(dtype: torch.dtype) -> None:
    out = lite().to(dtype).eval()(noise(1, 3, 64, 64).to(dtype))
    assert out.logits.dtype == dtype


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_image_with_a_pixel_that_is_no_number_is_named(bad: float) -> None:
    x = noise(3, 3, 64, 64)
    x[1, 0, 5, 7] = bad
    with pytest.raises(ValueError, match=r"NaN or infinite pixels \(number \[1\] of the batch"):
        lite()(x)


@pytest.mark.parametrize("training", [True, False])
def test_pixels_on_a_gpu_are_looked_at_in_evaluation_alone(training: bool) -> None:
    """A fake tensor has no values: to ask for one is an error, as it is a wait on a GPU."""
    waits = nullcontext() if training else pytest.raises(DataDependentOutputException)
    model = lite().train(training)
    with FakeTensorMode(allow_non_fake_inputs=True), waits:
        model.check(torch.empty(2, 3, 64, 64, device="cuda"))


def test_single_images_under_compilation_are_checked_without_a_break() -> None:
    torch._dynamo.reset()
    model = lite(batch_norm=False, freeze_backbone=True)
    found = torch._dynamo.explain(model)(noise(1, 3, 64, 64))
    assert found.graph_break_count == 0, found.break_reasons
