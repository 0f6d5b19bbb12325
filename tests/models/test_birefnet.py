"""BiRefNet: every switch, every backbone, odd sizes, freezing, initial values, bad input."""

import pytest
import torch

import losses
import models
from models import BiRefNet, backbones
from models.decoder import patches
from tests.models.small import SMALL, noise

LIGHT = ("efficientnet_lite0", "vgg16", "vgg16bn", "resnet18", "resnet50", "pvt_v2_b0")
LIGHT += ("swin_v1_t", "dino_v3_s")
SWITCHES = [
    {},
    {"multi_scale_input": "add"},
    {"multi_scale_input": "none", "context": 0},
    {"context": 1},
    {"squeeze": "ResBlk_x4"},
    {"squeeze": "ASPP_x3"},
    {"squeeze": "ASPPDeformable_x3", "context": 2},
    {"squeeze": "none", "context": 0},
    {"decoder_block": "ResBlk"},
    {"decoder_attention": "ASPP"},
    {"decoder_attention": "none"},
    {"inward": "image"},
    {"inward": "none"},
    {"outward": False},
    {"outward": False, "multi_stage": False},
    {"classes": 5},
    {"lateral": "none"},
    {"outward": 1},
    {"outward": 4},
    {"inward": "image", "outward": 4},
    {"inter_channels": "adap"},
    {"deformable": "DCNv4", "inter_channels": 16},
    {"batch_norm": False},
    {"checkpoint": True},
]


def lite(**switches: object) -> BiRefNet:
    model = BiRefNet.preset("lite", **{**SMALL, **switches})
    models.initialise(model, 0)
    return model


def kinds(model: BiRefNet) -> dict[str, tuple[str, object]]:
    """Every module outside the backbone by name: its class, and the kernel of a convolution."""
    return {
        name: (type(m).__name__, getattr(m, "kernel_size", None))
        for name, m in model.named_modules()
        if not name.startswith("bb")
    }


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_every_switch_gives_its_shapes_and_a_gradient_to_every_parameter(switches) -> None:
    model = lite(**switches)
    out = model(noise(2, 3, 64, 96))
    stages = 3 if switches.get("multi_stage", True) else 0
    assert [z.shape[-2:] for z in out.levels] == [*[(2, 3), (4, 6), (8, 12)][:stages], (64, 96)]
    assert out.logits is out.levels[-1]
    outward = switches.get("outward", True)
    assert len(out.gradient_logits) == (3 if outward is True else int(outward))
    assert (out.gradient_map is None) == (not outward)
    assert (None if out.class_logits is None else out.class_logits.shape[1]) == switches.get(
        "classes"
    )
    terms = [*out.levels, *out.gradient_logits]
    terms += [] if out.class_logits is None else [out.class_logits]
    sum(term.square().sum() for term in terms).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_lite_has_the_official_kinds_of_modules_and_kernels() -> None:
    lite, official = BiRefNet.preset("lite"), BiRefNet.preset("official", backbone="resnet18")
    assert kinds(lite) == kinds(official)
    assert (lite.switches.multi_scale_input, lite.switches.context) == ("cat", 3)
    assert lite.switches.multi_scale_input == official.switches.multi_scale_input


def test_the_official_preset_is_the_default_and_has_the_official_widths() -> None:
    with torch.device("meta"):
        model = BiRefNet()
        preset = BiRefNet.preset("official")
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in preset.state_dict().items()
    }
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    # channels of the official code: lateral [3072, 1536, 768, 384] after "cat", 64 and 256 inside
    assert shapes["squeeze_module.0.conv_in.weight"] == (64, 3072 + 384 + 768 + 1536, 3, 3)
    assert shapes["decoder.decoder_block4.conv_in.weight"] == (64, 3072 + 384, 3, 3)
    assert shapes["decoder.decoder_block3.conv_in.weight"] == (64, 1536 + 384, 3, 3)
    assert shapes["decoder.decoder_block1.conv_out.weight"] == (192, 64, 3, 3)
    assert shapes["decoder.ipt_blk5.conv1.weight"] == (64, 3 * 2**10, 3, 3)
    assert shapes["decoder.conv_out1.0.weight"] == (1, 192 + 48, 1, 1)
    attention = "decoder.decoder_block2.dec_att."
    assert shapes[attention + "aspp_deforms.2.atrous_conv.offset_conv.weight"] == (98, 64, 7, 7)
    assert shapes[attention + "conv1.weight"] == (64, 256 * 5, 1, 1)
    assert shapes["decoder.gdt_convs_3.0.weight"] == (16, 768, 3, 3)


@pytest.mark.parametrize("name", LIGHT)
def test_every_light_backbone_works_at_an_odd_size(name: str) -> None:
    model = BiRefNet(name, **SMALL, neck_channels=(32, 24, 16, 8)).eval()
    models.initialise(model, 0)
    with torch.no_grad():
        out = model(noise(1, 3, 70, 101))
    assert out.logits.shape == (1, 1, 70, 101)
    assert bool(out.logits.isfinite().all())


@pytest.mark.parametrize("name", sorted(set(backbones.names()) - set(LIGHT)))
def test_every_heavy_backbone_has_the_shapes_of_an_odd_size(name: str) -> None:
    with torch.device("meta"):
        out = BiRefNet(name, **SMALL).eval()(torch.empty(1, 3, 70, 101))
    assert [z.shape[-2:] for z in out.levels] == [(70, 101)] * 4


def test_evaluation_and_training_give_the_same_kind_of_output() -> None:
    model = lite(dropout=0.0, batch_norm=False, freeze_backbone=True)
    one, two = model.train()(noise(1, 3, 64, 64)), model.eval()(noise(1, 3, 64, 64))
    for a, b in zip(
        one.levels + one.gradient_logits, two.levels + two.gradient_logits, strict=True
    ):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    model = lite(freeze_backbone=True).train()
    before = {k: v.clone() for k, v in model.bb.state_dict().items()}
    out = model(noise(2, 3, 64, 64))
    out.logits.sum().backward()
    assert all(p.grad is None for p in model.bb.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.bb.state_dict().items())
    assert not model.bb.training


def test_an_image_has_its_whole_gradient_through_a_frozen_encoder_too() -> None:
    grads = []
    for frozen in (False, True):
        image = noise(1, 3, 64, 64).requires_grad_()
        lite(freeze_backbone=frozen).eval()(image).logits.square().sum().backward()
        grads.append(image.grad)
    assert torch.equal(*grads)


def test_initial_values_depend_on_seed_and_name_alone() -> None:
    torch.manual_seed(0)
    one = lite()
    torch.manual_seed(99)
    two = lite(classes=3).state_dict()
    shared = [k for k in one.state_dict() if k in two]
    assert len(shared) == len(one.state_dict())
    assert all(torch.equal(one.state_dict()[k], two[k]) for k in shared)
    other = BiRefNet.preset("lite", **SMALL)
    models.initialise(other, 1)
    key = "decoder.decoder_block3.conv_in.weight"
    assert not torch.equal(one.state_dict()[key], other.state_dict()[key])


def test_initialising_leaves_pretrained_weights_and_the_global_stream_alone() -> None:
    model = BiRefNet.preset("lite", **SMALL)
    before = {k: v.clone() for k, v in model.bb.state_dict().items()}
    state = torch.get_rng_state()
    models.initialise(model, 3)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.bb.state_dict().items())


@pytest.mark.parametrize("name", ["pvt_v2_b0", "swin_v1_t", "resnet18"])
def test_backbones_without_pretraining_start_from_the_seed(name: str) -> None:
    weights = []
    for seed, drawn in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(drawn)
        model = BiRefNet(name, **SMALL)
        models.initialise(model, seed)
        weights.append(torch.cat([p.flatten() for p in model.bb.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_patches_are_tiles_in_reading_order() -> None:
    x = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    tiles = patches(x, (2, 3))
    assert tiles.shape == (1, 8, 2, 3)
    assert torch.equal(tiles[0, 0], x[0, 0, :2, :3])
    assert torch.equal(tiles[0, 1], x[0, 0, :2, 3:])
    assert torch.equal(tiles[0, 2], x[0, 0, 2:, :3])
    assert torch.equal(tiles[0, 4], x[0, 1, :2, :3])


def test_the_pretrained_encoder_tells_pictures_apart_without_a_network() -> None:
    bb = backbones.build("efficientnet_lite0", pretrained=True).eval()
    maps = bb(noise(2, 3, 64, 64))
    assert [m.shape[1] for m in maps] == [24, 40, 112, 320]
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2]
    assert float((maps[-1][0] - maps[-1][1]).detach().abs().mean()) > 0.01


def test_the_gradient_map_is_the_laplacian_that_the_labels_are_made_of() -> None:
    x = noise(2, 3, 70, 64)
    found = lite(freeze_backbone=True).eval()(x).gradient_map
    assert torch.allclose(found, losses.gradient_map(x), atol=1e-6)
