"""DBNet: both bodies, every backbone, the threshold branch, freezing, precision, bad input."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
import models
from models import BiRefNet, DBNet, DBOutput, backbones
from models.dbnet import PRESETS
from models.decoder import Decoder
from tests.models.small import SMALL, noise

BODIES = ("fpn", "birefnet")
LIGHT = ("efficientnet_lite0", "vgg16bn", "resnet18", "pvt_v2_b0")
NARROW: dict[str, dict[str, Any]] = {
    "fpn": {"channels": 16},
    "birefnet": {"channels": 16, **SMALL},
}


def lite(body: str = "fpn", **switches: Any) -> DBNet:
    model = DBNet.preset("lite", body=body, **{**NARROW[body], **switches})
    models.initialise(model, 0)
    return model


def loss(out: DBOutput, **knobs: Any) -> Tensor:
    """That of a box of text in each image."""
    text, border = torch.zeros_like(out.logits), torch.zeros_like(out.logits)
    text[..., 20:40, 16:48] = 1
    border[..., 14:46, 10:54] = 1
    maps = (out.logits, out.threshold, text, 0.3 + 0.4 * border, border)
    return losses.build("db", **knobs)(*maps)


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


@pytest.mark.parametrize("body", BODIES)
def test_training_gives_a_gradient_to_every_parameter(body: str) -> None:
    model = lite(body)
    loss(model(noise(2, 3, 64, 96))).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize(
    "switches", [{"body": "birefnet", "inward": "none"}, {"batch_norm": False}], ids=str
)
def test_other_switches_give_a_gradient_to_every_parameter_too(switches: dict[str, Any]) -> None:
    model = lite(**switches)
    loss(model(noise(2, 3, 64, 64))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("body", BODIES)
def test_checkpointing_changes_no_gradient(body: str) -> None:
    found = []
    for checkpoint in (False, True):
        model = lite(body, checkpoint=checkpoint, freeze_backbone=True).double()
        torch.manual_seed(0)
        loss(model(noise(2, 3, 64, 64).double())).backward()
        found.append([p.grad for p in model.parameters() if p.requires_grad])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


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


@pytest.mark.parametrize("body", BODIES)
def test_a_frozen_backbone_keeps_weights_and_statistics(body: str) -> None:
    model = lite(body, freeze_backbone=True).train()
    before = {k: v.clone() for k, v in model.bb.state_dict().items()}
    loss(model(noise(2, 3, 64, 64))).backward()
    assert all(p.grad is None for p in model.bb.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.bb.state_dict().items())
    assert not model.bb.training
    assert model.head.training


def test_stages_are_frozen_from_the_image_on() -> None:
    model = lite(freeze_backbone=3)
    assert [
        all(p.requires_grad for m in stage for p in m.parameters()) for stage in model.bb.stages()
    ] == ([False] * 3 + [True] * 2)
    assert [all(m.training for m in stage) for stage in model.bb.stages()] == [False] * 3 + [
        True
    ] * 2


@pytest.mark.parametrize("body", BODIES)
def test_the_same_seed_gives_the_same_weights_and_gradients(body: str) -> None:
    found = []
    for drawn in (1, 2):
        torch.manual_seed(drawn)
        model = lite(body)
        torch.manual_seed(0)
        loss(model(noise(2, 3, 64, 64))).backward()
        found.append([*model.state_dict().values(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_parameter_starts_at_a_value_of_seed_and_name_alone() -> None:
    one, two = lite(), lite(backbone="resnet18", pretrained=False)
    assert all(torch.equal(v, two.head.state_dict()[k]) for k, v in one.head.state_dict().items())
    models.initialise(two, 1)
    drawn = [k for k, p in one.head.named_parameters() if p.ndim == 4]
    assert all(not torch.equal(one.head.state_dict()[k], two.head.state_dict()[k]) for k in drawn)
    assert len(drawn) == 6


def test_convolutions_start_with_the_published_spread() -> None:
    model = DBNet("resnet18")
    models.initialise(model, 0)
    for conv in (m for part in (model.decoder, model.head) for m in part.modules()):
        if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
            fan = conv.weight[0].numel()  # what torch takes for a transposed one too
            assert float(conv.weight.detach().std()) == pytest.approx((2 / fan) ** 0.5, rel=0.1)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("body", BODIES)
def test_half_precision_trains_without_nan(body: str, precision: torch.dtype) -> None:
    # oneDNN 3.12 corrupts the heap in the backward pass of a convolution to 8 channels at 2 x 2 px
    widths = {} if body == "fpn" else {"inward_channels": 16}
    model = lite(body, freeze_backbone=True, **widths)
    image, optimizer = (
        noise(2, 3, 64, 64),
        torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3),
    )
    values = []
    for _ in range(4):
        with torch.autocast("cpu", precision):
            out = model(image)
        assert out.threshold.dtype is torch.float32
        value = loss(out)
        optimizer.zero_grad()
        value.backward()
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.requires_grad)
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < values[0]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1e3], ids=str)
def test_extreme_logits_have_finite_gradients(scale: float, precision: torch.dtype) -> None:
    model = lite(freeze_backbone=True)
    with torch.no_grad():
        for branch in model.head.children():
            branch[-1].weight.mul_(scale)
    with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
        out = model(noise(2, 3, 64, 64))
    assert (float(out.logits.detach().abs().max()) > 500) == (scale > 1)
    loss(out, k=500.0).backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(bool(g.isfinite().all()) for g in grads)


class Pooled(nn.Module):
    """An encoder that takes no time to compile: means of the image at every stride."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps with the channels of efficientnet_lite0, fine to coarse."""
        strides = zip((24, 40, 112, 320), (4, 8, 16, 32), strict=True)
        return [F.avg_pool2d(image, s).repeat(1, c, 1, 1)[:, :c] for c, s in strides]


def test_the_compiled_training_forward_is_one_graph_with_the_eager_gradients() -> None:
    """BiRefNet's decoder is compiled in `test_compile`."""
    torch._dynamo.reset()
    model = lite(freeze_backbone=True).double()
    model.bb = Pooled()
    image, found = noise(2, 3, 70, 64).double(), []
    for call in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        model.zero_grad()
        value = loss(call(image))
        value.backward()
        found.append([value.detach(), *(p.grad for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9)


def test_one_image_trains_where_there_are_no_batch_statistics() -> None:
    with pytest.raises(ValueError, match="train with batch_norm=False and freeze_backbone=True"):
        lite()(noise(1, 3, 64, 64))
    out = lite(batch_norm=False, freeze_backbone=True)(noise(1, 3, 64, 64))
    assert out.threshold is not None


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
