"""Backbones: sizes, numbers, stages, stochastic depth."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models import BiRefNet, backbones
from models.initialise import initialise

# the official code's lateral channels, coarse to fine
CHANNELS = {
    "efficientnet_lite0": (320, 112, 40, 24),
    "vgg16": (512, 512, 256, 128),
    "vgg16bn": (512, 512, 256, 128),
    "resnet18": (512, 256, 128, 64),
    "resnet50": (2048, 1024, 512, 256),
    "swin_v1_t": (768, 384, 192, 96),
    "swin_v1_s": (768, 384, 192, 96),
    "swin_v1_b": (1024, 512, 256, 128),
    "swin_v1_l": (1536, 768, 384, 192),
    "pvt_v2_b0": (256, 160, 64, 32),
    "pvt_v2_b1": (512, 320, 128, 64),
    "pvt_v2_b2": (512, 320, 128, 64),
    "pvt_v2_b5": (512, 320, 128, 64),
    "dino_v3_s": (384,) * 4,
    "dino_v3_s_plus": (384,) * 4,
    "dino_v3_b": (768,) * 4,
    "dino_v3_l": (1024,) * 4,
    "dino_v3_h_plus": (1280,) * 4,
    "dino_v3_7b": (4096,) * 4,
}
# millions of parameters without classifier: torchvision's, Swin's, PVT's and timm's own counts
MILLIONS = {
    "vgg16": 14.71,
    "resnet50": 23.51,
    "swin_v1_t": 27.52,
    "swin_v1_l": 195.0,
    "pvt_v2_b2": 24.85,
    "dino_v3_s": 21.59,
    "dino_v3_s_plus": 28.68,
    "dino_v3_7b": 6716.0,
}
SMALL = ["efficientnet_lite0", "vgg16bn", "resnet18", "swin_v1_t", "pvt_v2_b0", "dino_v3_s"]


@pytest.fixture(scope="module")
def built() -> Callable[[str], backbones.Backbone]:
    """Copies of backbones that are built once, in float64."""
    made: dict[str, backbones.Backbone] = {}

    def get(name: str) -> backbones.Backbone:
        if name not in made:
            torch.manual_seed(0)
            made[name] = backbones.build(name).double()
        return copy.deepcopy(made[name])

    return get


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).double()


def meta(name: str) -> backbones.Backbone:
    with torch.device("meta"):
        return backbones.build(name)


def test_channels_are_stated_for_every_backbone() -> None:
    assert list(CHANNELS) == backbones.names()


@pytest.mark.parametrize("name", CHANNELS)
def test_backbones_have_the_official_channels_and_five_stages(name: str) -> None:
    bb = meta(name)
    assert bb.channels == CHANNELS[name]
    assert bb.plain == name.startswith("dino")
    stages = bb.stages()
    grouped = [id(p) for stage in stages for module in stage for p in module.parameters()]
    assert [bool(stage) for stage in stages] == [True] * 5
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in bb.parameters()}
    if name in MILLIONS:
        count = sum(p.numel() for p in bb.parameters()) / 1e6
        assert count == pytest.approx(MILLIONS[name], rel=2e-3)


@pytest.mark.parametrize("name", SMALL)
def test_maps_come_fine_to_coarse_at_any_multiple_of_sixteen(name, built) -> None:
    bb = built(name).eval()
    with torch.no_grad():
        maps = bb(noise(1, 3, 80, 112))
    coarse = (2, 3) if name == "vgg16bn" else (3, 4)  # max pools leave out what is odd
    sizes = [(5, 7)] * 4 if bb.plain else [(20, 28), (10, 14), (5, 7), coarse]
    assert [tuple(m.shape) for m in maps] == [
        (1, channels, *size) for channels, size in zip(bb.channels[::-1], sizes, strict=True)
    ]
    assert all(bool(m.isfinite().all()) for m in maps)


@pytest.mark.parametrize("name", SMALL)
def test_a_map_is_made_by_the_stages_up_to_its_own(name, built) -> None:
    """Freezing the first stages cannot change which maps have a gradient."""
    bb = built(name).eval()
    stages = bb.stages()
    for module in (m for stage in stages[:3] for m in stage):
        module.requires_grad_(False)
    maps = bb(noise(1, 3, 64, 64))
    assert [m.requires_grad for m in maps] == [False, False, True, True]
    maps[2].sum().backward()
    learn = [any(p.grad is not None for m in s for p in m.parameters()) for s in stages]
    assert learn[:4] == [False, False, False, True]
    last = {id(p) for m in stages[4] for p in m.parameters() if p.grad is not None}
    down = {id(p) for m in stages[3] for p in m.parameters() if p.grad is None}
    assert not last
    assert len(down) <= 3  # Swin's merging of patches belongs to the stage before it


def test_vgg_runs_through_modules_that_were_put_in_later(built) -> None:
    """Such as those of convert_sync_batchnorm."""
    bb = built("vgg16bn").eval()
    called: list[nn.Module] = []
    bb.features[1] = copy.deepcopy(bb.features[1])
    bb.features[1].register_forward_hook(lambda module, *_: called.append(module))
    bb(noise(1, 3, 32, 32))
    assert called == [bb.features[1]]


def test_initial_values_of_vgg_are_those_of_torchvision() -> None:
    """Normal, of variance 2 over fan out, without bias; also where they are drawn by a seed."""
    model = BiRefNet("vgg16bn", inter_channels=8, aspp_channels=8, inward_channels=8)
    for _ in range(2):
        for module in model.bb.modules():
            if isinstance(module, nn.Conv2d):
                spread = (2 / (9 * module.out_channels)) ** 0.5
                values = module.weight.detach() / spread
                assert float(values.std()) == pytest.approx(1, rel=0.1)
                assert float(values.abs().max()) > 2.5  # not uniform
                assert not module.bias.any()
        initialise(model, seed=1)


def test_the_official_parts_of_vgg_end_after_these_layers() -> None:
    for name, ends in (("vgg16", [5, 10, 17, 24, 31]), ("vgg16bn", [7, 14, 24, 34, 44])):
        lengths = [len(stage) for stage in meta(name).stages()]
        assert [sum(lengths[: i + 1]) for i in range(5)] == ends


def test_swin_and_dino_attend_without_storing_scores() -> None:
    for name in ("swin_v1_t", "dino_v3_s"):
        assert meta(name).net.config._attn_implementation == "sdpa"


def test_fused_attention_gives_the_numbers_of_the_library(built) -> None:
    from transformers.models.pvt_v2.modeling_pvt_v2 import PvtV2SelfAttention

    for stage in built("pvt_v2_b0").net.encoder.layers:
        attention = stage.blocks[0].attention
        x = noise(2, 8 * 16, attention.hidden_size)
        (expected,) = PvtV2SelfAttention.forward(attention, x, 8, 16)
        (found,) = attention(x, 8, 16)
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_norms_of_pvt_have_the_eps_of_the_release() -> None:
    norms = {k: m.eps for k, m in meta("pvt_v2_b0").named_modules() if isinstance(m, nn.LayerNorm)}
    outside = ("patch_embedding.layer_norm", "attention.layer_norm")
    assert {m for k, m in norms.items() if k.endswith(outside)} == {1e-5}
    assert {m for k, m in norms.items() if not k.endswith(outside)} == {1e-6}


def test_dino_gives_what_its_layers_give(built) -> None:
    """Without the last norm, and without augmented positions in training."""
    bb = built("dino_v3_s").train()
    seen: list[Tensor] = []
    for i in (3, 5, 7, 11):
        bb.net.model.layer[i].register_forward_hook(lambda *call: seen.append(call[2]))
    x = noise(2, 3, 32, 48)
    maps = bb(x)
    for tokens, found in zip(seen, maps, strict=True):
        patches = tokens[:, 5:]  # after one class token and four registers
        assert torch.equal(found, patches.transpose(1, 2).unflatten(2, (2, 3)))
    assert all(map(torch.equal, maps, bb.eval()(x)))


@pytest.mark.parametrize(("name", "rate"), [("swin_v1_t", 0.2), ("pvt_v2_b0", 0.1)])
def test_stochastic_depth_rises_to_the_stated_rate(name: str, rate: float) -> None:
    def rates(drop_path: float | None) -> list[float]:
        with torch.device("meta"):
            modules = backbones.build(name, drop_path=drop_path).modules()
            return [m.drop_prob for m in modules if type(m).__name__.endswith("DropPath")]

    for given, expected in ((None, rate), (0.4, 0.4)):
        found = rates(given)
        assert found == sorted(found)
        assert found[-1] == pytest.approx(expected)
    assert rates(0.0) == []


def test_stochastic_depth_passes_over_both_branches_of_a_swin_block(built) -> None:
    block = built("swin_v1_t").net.swin.encoder.layers[3].blocks[1]
    block.drop_path.drop_prob = 1 - 1e-12
    x = noise(3, 4, 768)
    assert torch.equal(block.train()(x, (2, 2), always_partition=True)[0], x)
    assert not torch.allclose(block.eval()(x, (2, 2), always_partition=True)[0], x)


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "efficientnet_lite0"])
def test_no_stochastic_depth_where_there_is_none(name: str) -> None:
    backbones.build(name, drop_path=0.0)
    with pytest.raises(ValueError, match="expected 0"):
        backbones.build(name, drop_path=0.1)
    with pytest.raises(ValueError, match="from 0 to below 1"):
        backbones.build(name, drop_path=1.0)
