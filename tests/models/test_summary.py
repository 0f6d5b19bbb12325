"""What a model costs: counts held against formulas written out by hand."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from models import BiRefNet, DBNet, summary
from models.__main__ import NAMES, main, switch
from models.birefnet import PRESETS
from models.summary import Cost, cost, kept, multiply_adds

# of the official code with its own defaults, counted there; published as 220 M
OFFICIAL_PARAMETERS, OFFICIAL_ENCODER = 220_176_498, 195_201_204


def meta(*size: int) -> torch.Tensor:
    return torch.empty(size, device="meta")


def test_a_convolution_costs_what_its_formula_says() -> None:
    conv = nn.Conv2d(3, 8, 5, padding=2, stride=2, device="meta")
    assert multiply_adds(conv, meta(1, 3, 32, 48)) == 8 * 3 * 5 * 5 * 16 * 24


def test_a_matrix_product_costs_what_its_formula_says() -> None:
    assert multiply_adds(nn.Linear(20, 30, device="meta"), meta(7, 20)) == 7 * 20 * 30


def test_deformable_convolutions_cost_what_plain_ones_of_their_shape_cost() -> None:
    from models.deform import DeformableConv2d

    plain = nn.Conv2d(16, 8, 7, padding=3, bias=False, device="meta")
    predictors = nn.Conv2d(16, 3 * 49, 7, padding=3, device="meta")
    with torch.device("meta"):
        deformable = DeformableConv2d(16, 8, 7, 3)
    image = meta(1, 16, 12, 12)
    parts = multiply_adds(plain, image) + multiply_adds(predictors, image)
    assert multiply_adds(deformable, image) == parts


def test_each_storage_is_kept_once_and_weights_are_not() -> None:
    """Conv keeps its input, ReLU its output, which is the next convolution's input."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)
    ).to("meta")
    pixels = 2 * 16 * 16
    assert kept(net, meta(2, 3, 16, 16)) == 4 * pixels * (3 + 8)


def test_a_frozen_module_keeps_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).to("meta").requires_grad_(False)
    assert kept(net, meta(2, 3, 16, 16)) == 0


def test_meta_tensors_keep_as_much_as_real_ones() -> None:
    switches: dict[str, Any] = {**PRESETS["lite"], "pretrained": False}
    real = BiRefNet(**switches)
    noise = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert cost(64, switches).kept == kept(real, noise) - kept(real, noise[:2])


@cache
def frozen(preset: str) -> Cost:
    """At the preset's own size, with a frozen encoder."""
    return cost(summary.SIZES[preset], {**PRESETS[preset], "freeze_backbone": True})


def test_the_official_preset_has_as_many_parameters_as_the_official_code() -> None:
    found = frozen("official")
    assert (found.parameters, found.encoder) == (OFFICIAL_PARAMETERS, OFFICIAL_ENCODER)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_counted_at_its_own_size(preset: str) -> None:
    found = frozen(preset)
    with torch.device("meta"):
        model = BiRefNet.preset(preset, pretrained=False)
    assert found.size == summary.SIZES[preset]
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.trained == found.parameters - found.encoder
    assert found.weights == 4 * found.parameters + sum(z.nbytes for z in model.buffers())


def test_checkpointing_and_smaller_images_keep_less() -> None:
    switches: dict[str, Any] = {**PRESETS["lite"], "pretrained": False}
    small, large = cost(64, switches), cost(128, switches)
    assert large.kept_checkpointed < large.kept / 3
    assert 3.5 < large.kept / small.kept <= 4  # borders count more in a small image
    assert large.parameters == small.parameters


def test_the_table_has_a_row_per_preset_in_aligned_columns(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "cost", lambda *_: frozen("official"))
    main(["--summary"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["model", "size", "parameters"]
    assert [row.split()[:5] for row in rows] == [
        [name, "1024", "px", "220.18", "M"] for name in NAMES
    ]
    assert len({len(line) for line in (head, *rows)}) == 1


@pytest.mark.parametrize("error", [OSError, ImportError, TypeError])
def test_an_error_of_the_library_is_told_without_a_traceback(
    error: type[Exception], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error("what went wrong")

    monkeypatch.setattr(summary, "cost", fail)
    with pytest.raises(SystemExit):
        main([])
    assert "error: what went wrong" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["false", "False", "FALSE"])
def test_a_truth_value_is_read_in_any_case(text: str) -> None:
    assert switch(f"batch_norm={text}") == ("batch_norm", False)


def test_every_preset_has_a_size() -> None:
    assert summary.SIZES.keys() == set(NAMES)


@pytest.mark.parametrize("body", ["fpn", "birefnet"])
def test_a_detector_is_counted_with_its_body(body: str, capsys: pytest.CaptureFixture) -> None:
    main(["--preset", "dbnet_lite", "--switch", f"body={body}", "--size", "64"])
    with torch.device("meta"):
        model = DBNet.preset("lite", pretrained=False, body=body)
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:2] == ["dbnet_lite,", f"body={body}"]
    assert row[4] == f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}"


def test_a_row_of_ones_own_tells_its_switches(capsys: pytest.CaptureFixture) -> None:
    options = "--backbone resnet18 --switch inward=image --switch outward=4 --size 64 --markdown"
    main(options.split())
    _, rule, row = capsys.readouterr().out.splitlines()
    assert rule.startswith("|-|-:|")
    assert row.startswith("| official, inward=image, outward=4, backbone=resnet18 | 64 px |")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "light"], "did you mean 'lite'?"),
        (["--preset", "dbnet_lite", "--switch", "inward=image"], "is a switch of body='birefnet'"),
        (["--preset", "dbnet_lite", "--onnx", "x.onnx"], "dbnet_lite is a DBNet"),
        (["--switch", "outwards=2"], "did you mean 'outward'?"),
        (["--switch", "outward"], "expected key=value"),
        (["--preset", "lite", "--size", "32"], "H and W from 64"),
        (["--checkpoint", "model"], "--checkpoint is for --onnx"),
        (["--onnx", "x.onnx", "--markdown"], "--markdown is for the table"),
        (["--size", "0"], "'0': expected a number of pixels"),
        (["--size", "-64"], "'-64': expected a number of pixels"),
        (["--switch", "pretrained=nope.pth"], "--switch pretrained is for --onnx"),
        (["--switch", "batch_norm=no"], "batch_norm is 'no', expected True or False"),
        (["--switch", "neck_channels=5"], "expected four numbers"),
    ],
)
def test_a_wrong_option_is_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert told in capsys.readouterr().err
