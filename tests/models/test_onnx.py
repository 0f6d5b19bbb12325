"""The evaluation graph as ONNX: run by onnxruntime, it gives the model's logits."""

import json
from pathlib import Path
from typing import Any

import onnx as onnx_library
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import models
from models import BiRefNet, onnx
from models.__main__ import main
from models.dcnv4 import DCNv4Conv2d
from models.deform import Read, deform_convs2d
from tests.models.small import SMALL, noise

SIZE = (64, 96)


def lite(**switches: Any) -> BiRefNet:
    """With offsets that are not zero."""
    model = BiRefNet.preset("lite", **{**SMALL, "pretrained": False, **switches})
    models.initialise(model, 0)
    for name, p in model.named_parameters():
        if "offset_conv" in name or "modulator_conv" in name:
            nn.init.normal_(p, std=0.2, generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="module")
def model() -> BiRefNet:
    """In training mode but for its encoder, and exported only once: that takes seconds."""
    model = lite()
    model.bb.eval()
    return model


@pytest.fixture(scope="module")
def exported(model: BiRefNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx.export(model, tmp_path_factory.mktemp("onnx") / "lite.onnx", SIZE, batch=2)


def test_onnxruntime_gives_the_models_logits_for_other_images_too(exported: Path) -> None:
    image = noise(2, 3, *SIZE, seed=1)
    with torch.no_grad():
        expected = lite().eval()(image).logits
    torch.testing.assert_close(onnx.run(exported, image=image), expected, rtol=1e-4, atol=1e-5)


def test_the_graph_has_only_standard_operators_and_fixed_sizes(exported: Path) -> None:
    graph = onnx_library.load(exported)
    onnx_library.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} == {""}
    assert [f.domain for f in graph.functions] == []
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("DeformConv") == 4 * 5  # four branches in each of five blocks
    (image,), (logits,) = graph.graph.input, graph.graph.output
    sizes = [[d.dim_value for d in z.type.tensor_type.shape.dim] for z in (image, logits)]
    assert (image.name, logits.name) == ("image", "logits")
    assert sizes == [[2, 3, *SIZE], [2, 1, *SIZE]]


@pytest.mark.usefixtures("exported")
def test_the_model_is_left_as_it_was(model: BiRefNet) -> None:
    assert model.training
    assert not any(module.training for module in model.bb.modules())
    before = lite().state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def check(module: nn.Module, folder: Path, **inputs: Tensor) -> None:
    """Export a part alone and compare."""
    with torch.no_grad(), onnx.quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=onnx.OPSET,
            input_names=list(inputs),
        )
        expected = module(*inputs.values())
    program.save(folder / "part.onnx")
    found = onnx.run(folder / "part.onnx", **inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_deformable_convolution_is_exported_exactly(
    tmp_path: Path, kernel: int, stride: int
) -> None:
    class Deform(nn.Module):
        def forward(self, *args: Tensor) -> Tensor:
            return deform_convs2d(args[0], [Read(*args[1:], kernel // 2)], stride)[0]

    taps, out = kernel**2, (8 // stride, 12 // stride)
    check(
        Deform(),
        tmp_path,
        x=noise(2, 5, 8, 12),
        offset=5 * noise(2, 2 * taps, *out),  # far outside the image too
        modulator=noise(2, taps, *out, seed=1),
        weight=noise(6, 5, kernel, kernel),
    )


def test_the_fourth_kind_of_deformable_convolution_is_exported_too(tmp_path: Path) -> None:
    conv = DCNv4Conv2d(32, 8, 3, 1)
    nn.init.normal_(conv.offset_mask.weight, generator=torch.Generator().manual_seed(0))
    check(conv, tmp_path, x=noise(2, 32, 8, 12))


def test_a_graph_that_differs_is_refused_and_kept(exported: Path) -> None:
    image = noise(2, 3, *SIZE, seed=2)
    right = onnx.run(exported, image=image)
    onnx.compare(exported, image, right)
    wrong = right + 2e-4 * right.abs().max()
    with pytest.raises(ValueError, match=r"differs from the model by up to .*do not use the file"):
        onnx.compare(exported, image, wrong)
    assert exported.exists()


def test_logits_that_are_not_numbers_are_refused(exported: Path) -> None:
    image = noise(2, 3, *SIZE)
    with pytest.raises(ValueError, match="differs from the model"):
        onnx.compare(exported, image, torch.full((2, 1, *SIZE), torch.nan))


def test_missing_packages_are_named_with_the_way_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ModuleNotFoundError, match=r"onnxscript: pip install -e '\.\[onnx\]'"):
        onnx.export(lite(), tmp_path / "none.onnx", SIZE)


def test_half_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bfloat16; export model\.float\(\)"):
        onnx.export(lite().bfloat16(), tmp_path / "half.onnx", SIZE)


def test_a_size_that_the_model_refuses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="H and W from 64"):
        onnx.export(lite(), tmp_path / "small.onnx", (32, 64))


def test_a_path_that_cannot_be_written_is_refused_before_the_export(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file"):
        onnx.export(lite(), tmp_path, SIZE)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        onnx.export(lite(), tmp_path / "nowhere" / "lite.onnx", SIZE)


def test_the_command_line_exports_a_saved_model(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = lite(backbone="pvt_v2_b0", decoder_attention="ASPP").eval()
    model.save_pretrained(tmp_path / "model")
    file = str(tmp_path / "model.onnx")
    main(["--onnx", file, "--checkpoint", str(tmp_path / "model"), "--size", "64"])
    assert capsys.readouterr().out.splitlines()[-1] == file
    image = noise(1, 3, 64, 64, seed=1)
    with torch.no_grad():
        expected = model(image).logits
    torch.testing.assert_close(onnx.run(file, image=image), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of the graphs that would have been written."""
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(onnx, "export", lambda _model, path, size: seen.append(size) or path)
    return seen


@pytest.mark.parametrize("outward", [True, 3])
def test_a_saved_preset_has_its_size(
    tmp_path: Path, sides: list[tuple[int, int]], outward: bool | int
) -> None:
    model = BiRefNet.preset("lite", pretrained=False, freeze_backbone=True, outward=outward)
    model.save_pretrained(tmp_path / "model")
    main(["--onnx", str(tmp_path / "m.onnx"), "--checkpoint", str(tmp_path / "model")])
    assert sides == [(128, 128)]


@pytest.mark.parametrize("config", [None, {"architectures": ["BiRefNet"], "bb_pretrained": False}])
def test_the_command_line_takes_the_folder_of_an_official_repository(
    tmp_path: Path, sides: list[tuple[int, int]], config: dict[str, Any] | None
) -> None:
    weights = models.export_official(BiRefNet("pvt_v2_b0", **SMALL))
    save_file(weights, tmp_path / "model.safetensors")
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    file = str(tmp_path / "m.onnx")
    main(["--onnx", file, "--checkpoint", str(tmp_path), "--size", "64"])
    assert sides == [(64, 64)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "the model is none of the presets, whose sizes are known: give --size"),
        (["--preset", "lite"], "leave --preset out"),
        (["--switch", "pretrained=true"], "which has all weights"),
    ],
    ids=str,
)
def test_what_a_saved_model_does_not_need_or_lacks_is_told(
    tmp_path: Path,
    sides: list[tuple[int, int]],
    capsys: pytest.CaptureFixture,
    options: list[str],
    told: str,
) -> None:
    lite().save_pretrained(tmp_path / "model")
    saved = ["--onnx", str(tmp_path / "m.onnx"), "--checkpoint", str(tmp_path / "model")]
    with pytest.raises(SystemExit):
        main([*saved, *options])
    assert told in capsys.readouterr().err
    assert sides == []


@pytest.mark.parametrize(
    ("pretrained", "told"),
    [("false", "all weights are random"), ("true", "all weights but the encoder's are random")],
)
def test_a_model_without_checkpoint_is_said_to_be_random(
    tmp_path: Path,
    sides: list[tuple[int, int]],
    capsys: pytest.CaptureFixture,
    pretrained: str,
    told: str,
) -> None:
    options = ["--preset", "lite", "--switch", f"pretrained={pretrained}"]
    main(["--onnx", str(tmp_path / "m.onnx"), *options])
    assert told in capsys.readouterr().err
    assert sides == [(128, 128)]
