"""DBNet in training: gradients, freezing, half precision, compilation."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.small import noise
from tests.models.text import BODIES, lite, loss


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
