"""The step of a run: schedules, precision, accumulation, compilation, skipped steps."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import losses
from experiments import masks
from experiments import train as training
from experiments.checkpoint import learned
from experiments.checks import NonFiniteLossError
from experiments.config import LossConfig, RunConfig, Runtime
from experiments.data import load_splits
from experiments.device import switches
from experiments.objective import Objective
from experiments.optim import lr_factor
from experiments.seeding import seed_torch
from experiments.train import Run, backward, prepare, train, update
from experiments.watch import QUIET

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_a_run(tiny) -> Iterator[None]:
    """The threads of a run: on a machine at work, one is faster than two that wait."""
    with switches(tiny.train):
        yield


def changed(config: RunConfig, **fields: object) -> RunConfig:
    return replace(config, train=replace(config.train, **fields))


def prepared(config: RunConfig, folder: Path) -> tuple[Run, Tensor, Tensor]:
    """A run before its first step, with that step's batch."""
    run = prepare(config, folder, QUIET, Runtime(), CPU)
    _, images, targets = next(masks.stream(load_splits(config.data)[0], config, 0, CPU))
    return run, images, targets


def test_the_learning_rate_warms_up_and_falls_to_zero(tiny) -> None:
    t = replace(tiny.train, steps=100, warmup=10)
    assert [lr_factor(s, t) for s in (0, 9, 10)] == pytest.approx([0.1, 1.0, 1.0])
    assert lr_factor(55, t) == pytest.approx(0.5)
    assert 0 < lr_factor(99, t) < 0.01
    assert lr_factor(99, replace(t, schedule="constant")) == 1.0


def test_the_step_schedule_falls_at_its_shares_of_the_steps(tiny) -> None:
    t = replace(tiny.train, steps=100, schedule="step", drops=(0.5, 0.75), drop=0.1)
    assert [lr_factor(s, t) for s in (0, 49, 50, 74, 75, 99)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_a_batch_in_parts_has_the_gradient_of_the_whole(tiny, tmp_path) -> None:
    """In double precision, and where no part has statistics of its own."""
    model = {**tiny.model, "batch_norm": False, "dropout": 0.0}
    tiny = replace(tiny, model=model)
    gradients, terms = [], []
    for parts in (1, 2, 4):
        run, images, targets = prepared(changed(tiny, accumulate=parts), tmp_path)
        run.model.double()
        terms.append(backward(run, 1, images.double(), targets.double()))
        gradients.append([p.grad for p in run.model.parameters() if p.grad is not None])
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-10)
    assert [t["loss"].item() for t in terms] == pytest.approx([terms[0]["loss"].item()] * 3)


def test_clipping_bounds_the_step_and_not_the_norm_that_is_told(tiny, tmp_path) -> None:
    run, images, targets = prepared(changed(tiny, clip=1e-3), tmp_path)
    seen = []
    run.optimizer.adamw.register_step_pre_hook(
        lambda adamw, *_: seen.extend(p.grad for g in adamw.param_groups for p in g["params"])
    )
    assert update(run, 1, images, targets)["grad_norm"] > 1
    squares = sum(float(g.double().square().sum()) for g in seen if g is not None)
    assert squares**0.5 == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_has_the_loss_of_single_precision_but_for_rounding(
    tiny, tmp_path, precision
) -> None:
    losses = []
    for each in ("float32", precision):
        run, images, targets = prepared(changed(tiny, precision=each), tmp_path)
        losses.append(update(run, 1, images, targets)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


def test_float16_tells_the_share_of_a_small_gradient_as_float32_does(tiny, tmp_path) -> None:
    model = {**tiny.model, "dropout": 0.0}  # its draws differ by precision
    tiny = replace(tiny, model=model, loss=replace(tiny.loss, gradient_weight=1e-5))
    shares = []
    for each in ("float32", "float16"):
        run, images, targets = prepared(changed(tiny, precision=each), tmp_path)
        shares.append(backward(run, 0, images, targets)["grad_share"].item())
    assert shares[1] == pytest.approx(shares[0], rel=0.05)


def test_float16_skips_a_step_that_overflows_and_halves_the_scale(tiny, tmp_path) -> None:
    run, images, targets = prepared(changed(tiny, precision="float16"), tmp_path)
    run.optimizer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    before = [p.detach().clone() for p in run.model.parameters()]
    row = update(run, 1, images, targets)
    assert row["skipped"] == run.state.skipped == 1
    assert not np.isfinite(row["grad_norm"])
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
    assert run.optimizer.scaler.get_scale() == 2.0**99
    run.optimizer.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    row = update(run, 1, images, targets)
    assert row["skipped"] == run.state.skipped == 0
    assert any(not torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))


def test_float16_stops_when_no_scale_helps(plainer, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training, "SKIPS", 3)
    real = Objective.__call__

    def rootless(self, *args):
        parts = real(self, *args)
        return {**parts, "pixel": parts["pixel"] + (parts["pixel"] * 0).sqrt()}

    monkeypatch.setattr(Objective, "__call__", rootless)
    with pytest.raises(NonFiniteLossError, match="gradient is not finite at step 2"):
        train(changed(plainer, precision="float16"), tmp_path)


def test_a_compiled_step_has_the_terms_of_an_eager_one(plainer, tmp_path, monkeypatch) -> None:
    """Traced and without code generation, which would take minutes here."""
    calls = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> object:
        calls.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    terms = []
    for flag in (False, True):
        run, images, targets = prepared(changed(plainer, compile=flag), tmp_path)
        seed_torch(0, "dropout")
        terms.append(backward(run, 1, images, targets))
        assert bool(calls) is flag
        assert not any("_orig_mod" in name for name in learned(run.model))
    for name, value in terms[0].items():
        torch.testing.assert_close(value, terms[1][name], rtol=1e-5, atol=0)
    run.model.eval()
    traced = len(calls)
    run.model(images)  # as evaluation does
    assert len(calls) == traced


def test_deterministic_kernels_change_no_bit_on_a_cpu_and_leave_no_trace(tiny, tmp_path) -> None:
    weights = []
    for flag in (False, True):
        config = changed(tiny, deterministic=flag)
        with switches(config.train):
            assert torch.are_deterministic_algorithms_enabled() is flag
            run, images, targets = prepared(config, tmp_path)
            for step in (1, 2):
                update(run, step, images, targets)
        assert not torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.deterministic
        weights.append(run.model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_leaves_the_threads_of_its_process_as_they_were(tiny, tmp_path) -> None:
    torch.set_num_threads(2)
    train(changed(tiny, steps=1), tmp_path)
    assert torch.get_num_threads() == 2


def test_fine_tuning_of_the_last_epochs_changes_the_terms_at_its_step(tiny, tmp_path) -> None:
    """50 epochs of DIS5K, the last 40 of them at region level: from a fifth of the steps on."""
    schedule = losses.fine_tuning("DIS5K", epochs=50)
    pixel = {"name": "birefnet_pixel", **schedule}
    found = {}
    for name, knobs in (("tuned", pixel), ("plain", {"name": "birefnet_pixel"})):
        config = changed(replace(tiny, loss=LossConfig(pixel=knobs)), steps=11)
        run, images, targets = prepared(config, tmp_path)
        for step in (1, 2):
            seed_torch(0, "dropout")
            found[name, step] = backward(run, step, images, targets)["pixel"].item()
    assert found["tuned", 1] == found["plain", 1] == found["plain", 2]  # progress .1
    assert found["tuned", 2] < 0.5 * found["plain", 2]  # .2: without bce, the largest term
