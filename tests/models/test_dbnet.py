"""DBNet's parts: both bodies, every backbone, the threshold branch, initial values, bad input."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import losses
import models
from models import BiRefNet, DBNet, backbones
from models.dbnet import PRESETS
from models.decoder import Decoder
from tests.models.small import SMALL, noise
from tests.models.text import BODIES, NARROW, lite

LIGHT = ("efficientnet_lite0", "vgg16bn", "resnet18", "pvt_v2_b0")


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("name", LIGHT)
def test_every_body_takes_every_light_backbone_at_an_odd_size(name: str, body: str) -> None:
    model = DBNet(name, body=body, **NARROW[body]).eval()
    with torch.no_grad():
        out = model(noise(1, 3, 70, 101), threshold=True)
    assert out.logits.shape == out.threshold.shape == (1, 1, 70, 101)
    assert bool(out.logits.isfinite().all())
    assert 0 <= float(out.threshold.min()) <= float(out.threshold.max()) <= 1


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("name", ["swin_v1_t", "dino_v3_s"])
def test_transformers_with_maps_of_several_strides_or_one_serve_too(name: str, body: str) -> None:
    with torch.device("meta"):
        out = DBNet(name, body=body, **NARROW[body]).eval()(torch.empty(1, 3, 70, 101))
    assert out.logits.shape == (1, 1, 70, 101)


def convolution(taken: int, given: int, kernel: int) -> int:
    return taken * given * kernel**2


def test_the_published_architecture_has_its_number_of_parameters() -> None:
    """Counted by hand as in MhLiao/DB: no bias but those of transposed convolutions."""
    with torch.device("meta"):
        model = DBNet()
        resnet = backbones.build("resnet50")
    laterals = sum(convolution(c, 256, 1) for c in (2048, 1024, 512, 256))
    pyramid = laterals + 4 * convolution(256, 64, 3)
    norms = 2 * 2 * 64
    branch = convolution(256, 64, 3) + convolution(64, 64, 2) + 64 + convolution(64, 1, 2) + 1
    counted = [sum(p.numel() for p in part.parameters()) for part in (model.decoder, model.head)]
    assert counted == [pyramid, 2 * (branch + norms)] == [1_572_864, 328_834]
    assert sum(p.numel() for p in model.parameters()) == sum(counted) + sum(
        p.numel() for p in resnet.parameters()
    )


def test_the_pyramid_is_the_published_sum_of_maps() -> None:
    model = DBNet("resnet18", channels=8).double()
    maps = [
        noise(1, c, 2 * 2**i, 3 * 2**i, seed=i).double() for i, c in enumerate((512, 256, 128, 64))
    ]
    found = model.decoder(torch.empty(1, 3, 64, 96), maps)
    up = nn.Upsample(scale_factor=2, mode="nearest")
    sums = [model.decoder.laterals[0](maps[0])]
    for lateral, m in zip(model.decoder.laterals[1:], maps[1:], strict=True):
        sums.append(up(sums[-1]) + lateral(m))
    expected = [
        nn.Upsample(scale_factor=2 ** (3 - i), mode="nearest")(out(x)) if i < 3 else out(x)
        for i, (out, x) in enumerate(zip(model.decoder.outs, sums, strict=True))
    ]
    assert torch.allclose(found, torch.cat(expected, dim=1), rtol=1e-12)


def calls(model: DBNet) -> list[str]:
    """Names of the head's branches, as they run from now on."""
    seen: list[str] = []
    for name, branch in model.head.named_children():
        branch.register_forward_hook(lambda *_, name=name: seen.append(name))
    return seen


def test_the_threshold_branch_runs_in_training_alone() -> None:
    model, image = lite(), noise(2, 3, 64, 64)
    called = calls(model)
    assert model(image).threshold is not None
    assert called == ["probability", "threshold"]
    called.clear()
    assert model.eval()(image).threshold is None
    assert called == ["probability"]


@pytest.mark.parametrize("training", [True, False])
def test_the_threshold_branch_runs_where_it_is_asked_for(training: bool) -> None:
    model, image = lite().train(training), noise(2, 3, 64, 64)
    called = calls(model)
    assert model(image, threshold=True).threshold is not None
    assert model(image, threshold=False).threshold is None
    assert called == ["probability", "threshold", "probability"]


def test_a_head_without_its_threshold_branch_predicts_the_same() -> None:
    model, image = lite().eval(), noise(1, 3, 64, 64)
    before = model(image).logits
    model.head.threshold = None
    assert torch.equal(model(image).logits, before)
    assert [key for key in model.state_dict() if "threshold" in key] == []
    with pytest.raises(ValueError, match="head has no threshold branch"):
        model(image, threshold=True)


@pytest.mark.parametrize("k", [1.0, 50.0, 500.0])
def test_the_binary_map_is_the_sigmoid_of_the_scaled_difference(k: float) -> None:
    out = lite()(noise(2, 3, 64, 64))
    expected = 1 / (1 + torch.exp(-k * (out.logits.double().sigmoid() - out.threshold.double())))
    assert torch.allclose(out.binary(k).double(), expected, atol=1e-4)
    assert torch.equal(out.binary(k), losses.step(out.logits.sigmoid(), out.threshold, k=k))


def test_without_a_threshold_map_there_is_no_binary_map() -> None:
    with pytest.raises(ValueError, match="call the model with threshold=True"):
        lite().eval()(noise(1, 3, 64, 64)).binary()


def test_border_pixels_that_pad_an_image_are_cut_off_again() -> None:
    model, image = lite().eval(), noise(1, 3, 64, 96)
    whole, cut = model(image).logits, model(image[..., :90]).logits
    assert cut.shape[-1] == 90
    edge = image[..., 89:90].expand(-1, -1, -1, 6)
    assert torch.allclose(cut, model(torch.cat((image[..., :90], edge), -1)).logits[..., :90])
    assert not torch.equal(whole[..., :90], cut)


def test_birefnets_decoder_gives_the_map_that_its_own_logits_are_made_of() -> None:
    birefnet = BiRefNet.preset("lite", **SMALL, outward=False, multi_stage=False).eval()
    models.initialise(birefnet, 0)
    model = lite("birefnet").eval()
    own, theirs = model.state_dict(), birefnet.state_dict()
    assert {k for k in theirs if k not in own} == {
        *(f"decoder.conv_out1.0.{kind}" for kind in ("weight", "bias")),
        *(
            f"decoder.ipt_blk1.{part}.{kind}"
            for part in ("conv1", "conv_out")
            for kind in ("weight", "bias")
        ),
    }
    assert all(k.startswith("head.") for k in own if k not in theirs)
    assert all(torch.equal(own[k], theirs[k]) for k in own if k in theirs)
    seen: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    birefnet.decoder.decoder_block1.register_forward_hook(lambda *args: seen.append(args[2]))
    image = noise(1, 3, 64, 64)
    model(image), birefnet(image)
    assert torch.equal(*seen)


def test_a_parameter_starts_at_a_value_of_seed_and_name_alone() -> None:
    one, two = lite(), lite(backbone="resnet18", pretrained=False)
    assert all(torch.equal(v, two.head.state_dict()[k]) for k, v in one.head.state_dict().items())
    models.initialise(two, 1)
    drawn = [k for k, p in one.head.named_parameters() if p.ndim == 4]
    assert all(not torch.equal(one.head.state_dict()[k], two.head.state_dict()[k]) for k in drawn)
    assert len(drawn) == 6


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (noise(2, 3, 63, 64), "H and W from 64"),
        (noise(2, 1, 64, 64), r"expected \(B, 3, H, W\)"),
        (noise(2, 3, 64, 64).double(), "expected a tensor"),
        (noise(2, 3, 64, 64).fill_(torch.nan), "NaN or infinite pixels"),
    ],
)
def test_bad_images_are_refused(image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lite()(image)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"body": "fpm"}, "unknown body 'fpm'; did you mean 'fpn'"),
        ({"chanels": 8}, "did you mean 'channels'"),
        ({"channels": 30}, "channels is 30, expected a multiple of 4 from 4"),
        ({"inward": "image"}, "inward is a switch of body='birefnet'"),
        ({"body": "birefnet", "outward": 3}, "outward is 3, expected False"),
        ({"body": "birefnet", "refine": "RefUNet"}, "expected 'none'"),
        ({"body": "birefnet", "inward": "imag"}, "did you mean 'image'"),
        ({"freeze_backbone": 7}, "freeze_backbone is 7"),
    ],
    ids=str,
)
def test_wrong_switches_are_told(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DBNet("resnet18", **switches)


def test_an_unknown_preset_is_told() -> None:
    with pytest.raises(ValueError, match="did you mean 'lite'"):
        DBNet.preset("light")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_birefnets_widths_with_its_body(name: str) -> None:
    with torch.device("meta"):
        model = DBNet.preset(name, body="birefnet", pretrained=False)
        birefnet = BiRefNet.preset(name, backbone=model.switches.backbone, pretrained=False)
    assert isinstance(model.decoder, Decoder)
    shapes = {k: v.shape for k, v in birefnet.decoder.state_dict().items()}
    assert all(shapes[k] == v.shape for k, v in model.decoder.state_dict().items())
