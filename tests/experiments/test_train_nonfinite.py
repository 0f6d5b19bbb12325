"""A run that is stopped by NaN, and what is told of it."""

import pytest
from safetensors.torch import load_file

from experiments.checks import NonFiniteLossError
from experiments.data.augment import Augment
from experiments.objective import Objective
from experiments.train import train


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(
    tiny, tmp_path, monkeypatch
) -> None:
    real = Objective.__call__

    def rootless_at_the_end(self, out, image, target, u):
        parts = real(self, out, image, target, u)
        extra = (parts["pixel"] * 0).sqrt()
        return {**parts, "pixel": parts["pixel"] + extra} if u > 0.3 else parts

    monkeypatch.setattr(Objective, "__call__", rootless_at_the_end)
    with pytest.raises(
        NonFiniteLossError, match=r"gradient is not finite at step 2 .*batch is in"
    ):
        train(tiny, tmp_path)
    assert load_file(tmp_path / "nonfinite_batch.safetensors")["images"].shape == (4, 3, 64, 64)


def test_a_nan_loss_stops_the_run_and_saves_the_batch(tiny, tmp_path, monkeypatch) -> None:
    real = Objective.__call__

    def nan_at_the_end(self, out, image, target, u):
        parts = real(self, out, image, target, u)
        return {**parts, "pixel": parts["pixel"] * float("nan")} if u > 0.3 else parts

    monkeypatch.setattr(Objective, "__call__", nan_at_the_end)
    with pytest.raises(NonFiniteLossError, match=r"not finite at step 2 .*nonfinite_batch"):
        train(tiny, tmp_path)
    batch = load_file(tmp_path / "nonfinite_batch.safetensors")
    assert batch["images"].shape == (4, 3, 64, 64)
    assert batch["targets"].shape == (4, 1, 64, 64)


def test_targets_that_are_nan_are_blamed_and_not_the_learning_rate(
    tiny, tmp_path, monkeypatch
) -> None:
    def spoil(_self, images, masks):
        masks = masks.clone()
        masks[0, 0, 0, :3] = float("nan")
        return images, masks

    monkeypatch.setattr(Augment, "__call__", spoil)
    with pytest.raises(NonFiniteLossError, match=r"step 0 .*data are at fault: target has 3 NaN"):
        train(tiny, tmp_path)
