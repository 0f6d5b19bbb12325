"""Parts of the model one by one: folded forms, frozen stages, determinism, half precision."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import models
from models import BiRefNet
from models.backbones.efficientnet import EfficientNetLite0
from models.blocks import ASPPDeformable, BasicDecBlk, SimpleConvs, Widths
from tests.models.small import noise


@pytest.mark.parametrize("size", [(64, 64), (70, 101), (65, 67)])
def test_folding_batch_norms_changes_nothing_but_rounding(size: tuple[int, int]) -> None:
    bb = EfficientNetLite0(pretrained=True).eval().double()
    x = noise(2, 3, *size).double()
    plain = bb(x)
    with torch.no_grad():
        folded = bb(x)
    for a, b in zip(plain, folded, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_folding_the_last_convolution_into_its_input_changes_nothing() -> None:
    block = SimpleConvs(3, 5, 4).double()
    x, weight = noise(2, 3, 8, 9).double(), noise(1, 5, 1, 1).double()
    plain = nn.functional.conv2d(block(x), weight)
    assert torch.allclose(block.folded(x, weight), plain, atol=1e-12)


def test_deformable_attention_is_its_branches_and_the_pooled_image_joined() -> None:
    """Retyped: concatenate, 1 x 1 convolution, norm, ReLU."""
    part = ASPPDeformable(6, Widths(inter=6, aspp=4, dropout=0.0), 6).double()
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.2)
    x = noise(2, 6, 5, 7).double()
    branches = [branch(x) for branch in (part.aspp1, *part.aspp_deforms)]
    pooled = part.global_avg_pool(x).expand(-1, -1, 5, 7)
    expected = part.bn1(part.conv1(torch.cat((*branches, pooled), dim=1))).relu()
    assert torch.allclose(part(x), expected, atol=1e-9)


def test_a_decoder_block_without_attention_is_two_convolutions() -> None:
    block = BasicDecBlk(5, 3, Widths(inter=4, batch_norm=False), "none").double()
    x = noise(1, 5, 6, 6).double()
    assert torch.allclose(block(x), block.conv_out(block.conv_in(x).relu()))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "pvt_v2_b0", "resnet18", "swin_v1_t"])
@pytest.mark.parametrize("stages", [1, 3])
def test_frozen_stages_keep_everything_and_the_others_learn(name: str, stages: int) -> None:
    widths = {"inter_channels": 8, "aspp_channels": 8, "inward_channels": 8}
    model = BiRefNet(name, freeze_backbone=stages, **widths)
    models.initialise(model, 0)
    model.eval().train()
    groups = [[p for m in stage for p in m.parameters()] for stage in model.bb.stages()]
    before = {k: v.clone() for k, v in model.bb.state_dict().items()}
    model(noise(2, 3, 64, 64)).logits.square().sum().backward()
    assert all(p.grad is None for group in groups[:stages] for p in group)
    assert all(any(p.grad is not None for p in group) for group in groups[stages:])
    names = {id(v): k for k, v in model.bb.state_dict(keep_vars=True).items()}
    for module in (m for stage in model.bb.stages()[:stages] for m in stage):
        for tensor in (*module.parameters(), *module.buffers()):
            key = names.get(id(tensor))
            assert key is None or torch.equal(tensor, before[key])
        assert not any(m.training for m in module.modules())


def test_a_stage_can_be_thawed_and_frozen_again() -> None:
    model = BiRefNet.preset("lite", freeze_backbone=True).train()
    assert not any(p.requires_grad for p in model.bb.parameters())
    model.freeze(4)
    last = [p for m in model.bb.stages()[4] for p in m.parameters()]
    assert all(p.requires_grad for p in last)
    assert sum(p.requires_grad for p in model.bb.parameters()) == len(last)
    model.freeze(0)
    assert all(p.requires_grad for p in model.bb.parameters())
    assert model.bb.training


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "pvt_v2_b0", "swin_v1_t"])
def test_two_steps_from_one_seed_are_bitwise_equal(backbone: str) -> None:
    """Dropout and stochastic depth are on; they follow torch's seed."""
    results = []
    for _ in range(2):
        model = BiRefNet(backbone, inter_channels=8, aspp_channels=8, inward_channels=8)
        models.initialise(model, 4)
        torch.manual_seed(1)
        out = model(noise(2, 3, 64, 64))
        sum(z.square().mean() for z in (*out.levels, *out.gradient_logits)).backward()
        results.append([p.grad for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_bfloat16_autocast_trains_on_a_cpu() -> None:
    model = BiRefNet.preset("lite", freeze_backbone=True)
    models.initialise(model, 0)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(noise(2, 3, 64, 64))
    out.logits.float().square().mean().backward()
    grads = [p.grad for p in model.decoder.decoder_block1.parameters()]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in grads)


def test_lite_needs_neither_transformers_nor_torchvision_nor_timm() -> None:
    code = (
        "import sys, models; models.BiRefNet.preset('lite');"
        "print([m for m in ('transformers', 'torchvision', 'timm') if m in sys.modules])"
    )
    root = Path(models.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
