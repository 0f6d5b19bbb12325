"""Gradient checkpointing: less is kept, and nothing else changes."""

import copy

import pytest
import torch
from torch import Tensor, nn

from models import backbones
from models.checkpointing import checkpointed

NAMES = ["efficientnet_lite0", "vgg16bn", "resnet18", "swin_v1_t", "pvt_v2_b0", "dino_v3_s"]


def noise(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).double()


def pair(name: str) -> tuple[backbones.Backbone, backbones.Backbone]:
    """A backbone that keeps its maps, and its copy that computes them again."""
    torch.manual_seed(0)
    plain = backbones.build(name).double()
    recomputed = copy.deepcopy(plain)
    recomputed.checkpoint(True)
    return plain, recomputed


def step(bb: backbones.Backbone) -> tuple[list[Tensor], int, dict[str, Tensor]]:
    """Gradients of a training step, the bytes kept for it, and the state after it."""
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    torch.manual_seed(1)  # stochastic depth
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = sum(m.square().mean() for m in bb.train()(noise(2, 3, 64, 64)))
        total = sum(kept.values()) - sum(p.numel() * 8 for p in bb.parameters())
    loss.backward()
    return [p.grad for p in bb.parameters()], total, bb.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_what_is_kept_and_nothing_else(name: str) -> None:
    plain, recomputed = pair(name)
    (grads, kept, state), (again, less, after) = step(plain), step(recomputed)
    assert all(torch.equal(a, b) for a, b in zip(grads, again, strict=True))
    assert all(torch.equal(state[key], after[key]) for key in state)
    assert list(state) == list(after)
    assert less < 0.7 * kept
    recomputed.checkpoint(False)
    assert step(recomputed)[1] == pytest.approx(kept, rel=0.01)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norms_count_a_checkpointed_batch_once(momentum: float | None) -> None:
    def parts() -> nn.Sequential:
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4, momentum=momentum)
        return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Dropout(), nn.Conv2d(4, 2, 1)).double()

    one, two, x = parts(), parts(), noise(2, 3, 8, 8)
    for _ in range(2):
        torch.manual_seed(0)
        one(x).square().sum().backward()
        torch.manual_seed(0)
        checkpointed(two, x).square().sum().backward()
    assert all(torch.equal(v, two.state_dict()[k]) for k, v in one.state_dict().items())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
    assert two[1].momentum == momentum
    with torch.no_grad():
        assert not checkpointed(two.eval(), x).requires_grad


def test_a_compiled_checkpointed_step_is_one_graph_with_the_same_state() -> None:
    plain, compiled = pair("resnet18")
    for call in (plain, torch.compile(compiled, backend="aot_eager", fullgraph=True)):
        sum(m.square().mean() for m in call(noise(2, 3, 64, 64))).backward()
    state = compiled.state_dict()
    assert all(torch.allclose(v, state[k], atol=1e-12) for k, v in plain.state_dict().items())
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-10)


def test_a_copy_computes_its_own_maps_again() -> None:
    bb = pair("resnet18")[1].eval()
    copied = copy.deepcopy(bb)
    with torch.no_grad():
        for p in copied.parameters():
            p.zero_()
    x = noise(1, 3, 64, 64)
    assert float(bb(x)[3].detach().abs().sum()) > 0
    assert float(copied(x)[3].detach().abs().sum()) == 0
