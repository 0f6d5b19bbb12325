"""Names, knobs and sums: what is unknown or out of range is refused, the nearest offered."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import losses
from losses import schedules

Z = torch.linspace(-3, 3, 32).view(2, 1, 4, 4)
T = (Z > 1).float()


@pytest.fixture
def own() -> Iterator[str]:
    @losses.register("own", cite="me2026", knobs={"power": losses.number(1, 4)})
    def own(logits: Tensor, target: Tensor, *, mask=None, power: float = 2.0, reduction="mean"):
        b = losses.prepare(logits, target, mask)
        gap = (losses.probability(b.logits) - b.target).abs() ** power
        return losses.reduce(losses.image_mean(gap, b.mask), reduction)

    yield "own"
    losses.unregister("own")


def test_one_decorator_makes_a_loss_usable_by_name_and_holds_it_to_the_laws(own: str) -> None:
    assert own in losses.names()
    assert own in losses.names("logits")
    assert losses.spec(own).knobs["power"].default == 2.0
    same = losses.build("own")(Z, T)
    torch.testing.assert_close(same, losses.mse(Z, T))
    assert losses.laws.check(losses.build("own"), cases=5) == []


def test_a_name_is_taken_once(own: str) -> None:
    with pytest.raises(ValueError, match="registered already"):
        losses.register(own)(losses.bce)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown loss 'structur'; did you mean 'structure'"):
        losses.build("structur")
    with pytest.raises(ValueError, match=r"no knob 'gama'; did you mean 'gamma'"):
        losses.build("structure", gama=1.0)
    with pytest.raises(ValueError, match="did you mean 'laplacian'"):
        losses.build("gradient_supervision", map="laplacien")
    with pytest.raises(ValueError, match="kind='maps' is unknown"):
        losses.names("maps")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "knobs", "words"),
    [
        ("hybrid", {"lam": 1.5}, r"expected float in \[0, 1\]"),
        ("hybrid", {"lam": "half"}, r"'half': expected float"),
        ("hybrid", {"lam": float("nan")}, r"nan: expected float"),
        ("structure", {"window": 1.5}, r"int in \[1, 1023\] or 'relative'"),
        ("gradient_supervision", {"detach_target": 1}, "expected True or False"),
        ("dice", {"smooth": -1.0}, r"\[0, 1e\+06\]"),
    ],
)
def test_knobs_out_of_range_are_refused_when_built(
    name: str, knobs: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        losses.build(name, **knobs)


def test_an_even_window_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        losses.build("structure", window=30)(Z, T)


def test_a_schedule_drives_a_knob() -> None:
    loss = losses.build("hybrid", lam={"schedule": "linear", "start": 1.0, "end": 0.0})
    torch.testing.assert_close(loss(Z, T, progress=0.0), losses.bce(Z, T))
    torch.testing.assert_close(loss(Z, T, progress=1.0), losses.mae(Z, T))
    with pytest.raises(ValueError, match="pass progress="):
        loss(Z, T)


def test_a_schedule_out_of_the_knobs_range_is_refused_when_built() -> None:
    with pytest.raises(ValueError, match="takes the value"):
        losses.build("hybrid", lam=schedules.linear(0.0, 2.0))
    with pytest.raises(ValueError, match="cannot be scheduled"):
        losses.build("dice", denominator=schedules.constant(1.0))


def test_a_sum_is_the_sum_of_its_weighted_components() -> None:
    loss = losses.weighted_sum({"bce": 2.0, "soft": losses.Term("dice", 0.5, {"smooth": 0.0})})
    parts = loss.components(Z, T)
    assert list(parts) == ["bce", "soft"]
    torch.testing.assert_close(parts["bce"], 2 * losses.bce(Z, T))
    torch.testing.assert_close(parts["soft"], 0.5 * losses.dice(Z, T, smooth=0.0))
    torch.testing.assert_close(loss(Z, T), parts["bce"] + parts["soft"])


def test_the_weights_of_a_sum_may_be_scheduled() -> None:
    fade = {"schedule": "cosine", "start": 1.0, "end": 0.0}
    loss = losses.weighted_sum({"bce": losses.Term("bce", fade), "mae": 1.0})
    torch.testing.assert_close(loss(Z, T, progress=1.0), losses.mae(Z, T))
    with pytest.raises(ValueError, match="weight of 'bce' is scheduled"):
        loss(Z, T)


def test_sums_of_nothing_of_two_kinds_or_of_negative_weight_are_refused() -> None:
    for terms in ({}, {"bce": 1.0, "birefnet_pixel": 1.0}):
        with pytest.raises(ValueError, match="expected one kind"):
            losses.weighted_sum(terms)
    with pytest.raises(ValueError, match="expected a number >= 0"):
        losses.weighted_sum({"bce": -1.0})


def test_components_of_the_composites_sum_to_their_value() -> None:
    pixel = losses.build("birefnet_pixel", mae=3.0, mse=1.0, structure=1.0, threshold=1.0)
    parts = pixel.components([Z[..., :2, :2], Z], T)
    assert list(parts) == ["bce", "iou", "ssim", "mae", "mse", "structure", "threshold"]
    torch.testing.assert_close(sum(parts.values()), pixel([Z[..., :2, :2], Z], T))
    gradient = losses.build("gradient_supervision")
    args = ([Z] * 3, [Z] * 3, T.repeat(1, 3, 1, 1), T)
    stages = gradient.components(*args)
    assert list(stages) == ["stage1", "stage2", "stage3"]
    torch.testing.assert_close(sum(stages.values()), gradient(*args))


def test_a_composite_with_all_weights_zero_is_zero_with_a_grad_fn() -> None:
    z = Z.clone().requires_grad_()
    value = losses.build("birefnet_pixel", bce=0.0, iou=0.0, ssim=0.0)([z], T)
    value.backward()
    assert value.item() == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_every_loss_is_documented_and_cited_knobs_have_ranges() -> None:
    for name in losses.names():
        spec = losses.spec(name)
        assert spec.fn.__doc__
        assert all(knob.kind != "any" for knob in spec.knobs.values()), name
