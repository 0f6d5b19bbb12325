"""Names, knobs and declarations: what is out of range is refused, the nearest offered."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

import losses
from losses import schedules
from losses.laws.__main__ import main

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


def test_an_even_window_is_refused_when_built() -> None:
    with pytest.raises(ValueError, match=r"30: expected odd int in \[1, 1023\] or 'relative'"):
        losses.build("structure", window=30)
    losses.build("structure", window="relative")
    assert losses.build("patch_iou", window=30).knobs["window"] == 30


def test_numpys_numbers_are_knobs_and_kept_as_pythons_own() -> None:
    loss = losses.build("structure", window=np.int64(15), gamma=np.float32(2.5))
    assert [type(loss.knobs[key]) for key in ("window", "gamma")] == [int, float]
    torch.testing.assert_close(loss(Z, T), losses.structure(Z, T, window=15, gamma=2.5))
    same = losses.structure(Z, T, window=np.int64(15), gamma=np.float64(2.5))
    torch.testing.assert_close(loss(Z, T), same)


@pytest.mark.parametrize("value", [True, np.bool_(True), np.float32("nan"), torch.tensor(0.5)])
def test_bools_nan_and_tensors_are_no_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="expected float"):
        losses.build("hybrid", lam=value)


def test_a_map_that_a_loss_does_not_take_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"loss 'bce' takes no weight.*'structure', 'unet_bce'"):
        losses.build("bce")(Z, T, weight=T)
    for call in (losses.build("structure"), losses.build("structure").components):
        with pytest.raises(ValueError, match="loss 'structure' takes no region"):
            call(Z, T, region=T)


@pytest.mark.parametrize("progress", ["0.5", torch.tensor(0.5), True])
@pytest.mark.parametrize("name", ["bce", "progressive", "gradient_supervision"])
def test_progress_is_a_number(name: str, progress: object) -> None:
    loss = losses.build(name)
    inputs = (Z, T) if loss.kind == "logits" else ([Z], [Z], T.repeat(1, 3, 1, 1), T)
    for call in (loss, loss.components, losses.weighted_sum({name: 1.0})):
        with pytest.raises(ValueError, match=r"progress=.* expected a number in \[0, 1\]"):
            call(*inputs, progress=progress)


def test_a_decorator_without_parentheses_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"write @register\(\)"):

        @losses.register
        def bare(logits: Tensor, target: Tensor, *, mask=None, reduction="mean"): ...

    with pytest.raises(ValueError, match=r"write @register_sum\(\)"):
        losses.register_sum(losses.mae)
    with pytest.raises(ValueError, match="name=3 of a loss: expected a string"):
        losses.register(3)  # type: ignore[arg-type]


def without_mask(logits: Tensor, target: Tensor, *, reduction="mean"): ...


def without_both(logits: Tensor, target: Tensor): ...


def with_a_positional_knob(
    logits: Tensor, target: Tensor, gamma=2.0, *, mask=None, reduction="mean"
): ...


def with_a_positional_mask(logits: Tensor, target: Tensor, mask=None, *, reduction="mean"): ...


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (without_mask, r"no keyword-only mask: write def loss\(logits, target, \*, mask=None"),
        (without_both, "no keyword-only mask and reduction"),
        (with_a_positional_knob, "argument 'gamma' .* put it after the star"),
        (with_a_positional_mask, "argument 'mask' .* put it after the star"),
    ],
)
def test_a_signature_that_is_none_of_a_loss_is_refused_with_the_fix(
    fn: Callable[..., Tensor], words: str
) -> None:
    for decorator in (losses.register(), losses.register_sum()):
        with pytest.raises(ValueError, match=words):
            decorator(fn)
    assert fn.__name__ not in losses.names()


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"breaks": {17: "why"}}, r"breaks law 17, which there is not: .*\[1, 2, .* 15, 16\]"),
        ({"breaks": {"10": "why"}}, "breaks law '10'"),
        ({"claims": ("convx",)}, r"claims 'convx': .*did you mean 'convex'"),
        ({"claims": "convex"}, r"claims='convex' .*\['convex'\]\?"),
    ],
)
def test_unknown_laws_and_claims_are_refused(declared: dict[str, object], words: str) -> None:
    def fn(logits: Tensor, target: Tensor, *, mask=None, reduction="mean"): ...

    with pytest.raises(ValueError, match=words):
        losses.register("refused", **declared)(fn)
    assert "refused" not in losses.names()


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


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.piecewise([(0, 1), (0.51, 1), (0.53, -5), (0.55, 1), (1, 1)]),
        schedules.steps([1, -5, 1], [0.51, 0.53]),
        {"schedule": "steps", "values": [1, -5, 1], "at": [0.51, 0.53]},
    ],
)
def test_a_schedule_is_checked_at_its_knots_and_levels_too(schedule: object) -> None:
    with pytest.raises(ValueError, match=r"'gamma' of loss 'focal' takes the value -5.0"):
        losses.build("focal", gamma=schedule)


def test_every_loss_is_documented_and_cited_knobs_have_ranges() -> None:
    for name in losses.names():
        spec = losses.spec(name)
        assert spec.fn.__doc__
        assert all(knob.kind != "any" for knob in spec.knobs.values()), name


def test_every_public_loss_says_what_it_raises() -> None:
    for name in {*losses.names()} & {*losses.__all__}:
        assert "Raises:\n        ValueError: " in (losses.spec(name).fn.__doc__ or ""), name


def test_the_laws_of_several_losses_are_asked_by_name(capsys: pytest.CaptureFixture) -> None:
    assert main(["--loss", "bce", "mae", "--loss", "mse", "--cases", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:4]
    assert [row.split()[0] for row in rows] == ["bce", "mae", "mse"]


def test_an_unknown_loss_offers_the_nearest_and_leaves_with_2(
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--loss", "bce", "structur"])
    assert end.value.code == 2
    assert "unknown loss 'structur'; did you mean 'structure'?" in capsys.readouterr().err
