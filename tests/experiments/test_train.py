"""A run: the same twice, the same when interrupted, paired across arms, stopped by NaN."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from experiments import train as training
from experiments.checkpoint import FILE
from experiments.config import run_hash
from experiments.data.augment import Augment
from experiments.errors import UserError
from experiments.objective import Objective
from experiments.train import NonFiniteLossError, build_model, lr_factor, train


def quiet(_step: int, _value: float) -> None:
    pass


def same_files(one: Path, two: Path) -> bool:
    tables = [pd.read_parquet(folder / "per_image.parquet") for folder in (one, two)]
    histories = [(folder / "history.csv").read_text() for folder in (one, two)]
    weights = [load_file(folder / "checkpoint.safetensors") for folder in (one, two)]
    return (
        tables[0].equals(tables[1])
        and histories[0] == histories[1]
        and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    )


@pytest.fixture
def finished(tiny, tmp_path) -> Path:
    train(tiny, tmp_path / "whole", quiet)
    return tmp_path / "whole"


def test_a_run_killed_between_checkpoints_goes_on_to_the_bitwise_same_result(
    tiny, finished, tmp_path, monkeypatch
) -> None:
    config = replace(tiny, train=replace(tiny.train, save_seconds=0.0))
    real, calls = training.lr_factor, []

    def dies_at_step_4(step, t):
        calls.append(step)
        if step == 4:
            raise KeyboardInterrupt
        return real(step, t)

    monkeypatch.setattr(training, "lr_factor", dies_at_step_4)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", quiet)
    assert (tmp_path / "cut" / FILE).exists()
    monkeypatch.setattr(training, "lr_factor", real)
    train(config, tmp_path / "cut", quiet)
    assert calls == [0, 1, 2, 3, 4]
    assert same_files(finished, tmp_path / "cut")
    assert not (tmp_path / "cut" / FILE).exists()


def test_a_run_twice_is_bitwise_the_same_and_another_seed_is_not(tiny, finished, tmp_path) -> None:
    train(tiny, tmp_path / "again", quiet)
    assert same_files(finished, tmp_path / "again")
    train(replace(tiny, seed=1), tmp_path / "other", quiet)
    assert not same_files(finished, tmp_path / "other")


def test_a_run_writes_what_the_analysis_reads(tiny, finished) -> None:
    table = pd.read_parquet(finished / "per_image.parquet")
    assert set(table.columns) == {"image", "group", "metric", "value"}
    assert table["value"].notna().all()
    assert table.groupby("metric")["image"].nunique().eq(4).all()
    history = pd.read_csv(finished / "history.csv")
    assert len(history) == tiny.train.steps
    assert history["grad_share"].notna().sum() == history["excess_bce"].notna().sum() == 2
    assert history["val_F_weighted"].notna().sum() == tiny.train.validations
    maps = np.load(finished / "gradient_maps.npz")
    assert maps["image"].shape == (2, 64, 64, 3)
    assert maps["prediction"].shape == maps["gradient_label"].shape == (2, 64, 64)
    assert maps["hist_label"].shape == (2, 3, 256)
    assert (finished / "preview.png").stat().st_size > 1000
    masks = sorted(finished.glob("predictions/*.png"))
    assert [mask.stem for mask in masks] == list(maps["names"])
    assert np.array_equal(np.array(Image.open(masks[0])), maps["prediction"][0])


def test_arms_start_from_the_same_weights(tiny) -> None:
    released = replace(tiny, loss=replace(tiny.loss, gradient={"objective": "none"}))
    one, two = build_model(tiny).state_dict(), build_model(released).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_arm_without_outward_reference_trains(tiny, tmp_path) -> None:
    loss = replace(tiny.loss, gradient={"objective": "none"})
    train(replace(tiny, loss=loss, model={**tiny.model, "outward": False}), tmp_path, quiet)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["grad_share"].dropna().tolist() == [0.0, 0.0]
    assert "gradient_label" not in np.load(tmp_path / "gradient_maps.npz")


def test_a_nan_loss_stops_the_run_and_saves_the_batch(tiny, tmp_path, monkeypatch) -> None:
    real = Objective.__call__

    def nan_at_the_end(self, out, image, target, u):
        parts = real(self, out, image, target, u)
        return replace(parts, pixel=parts.pixel * float("nan")) if u > 0.3 else parts

    monkeypatch.setattr(Objective, "__call__", nan_at_the_end)
    with pytest.raises(NonFiniteLossError, match=r"not finite at step 2 .*nonfinite_batch"):
        train(tiny, tmp_path, quiet)
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
        train(tiny, tmp_path, quiet)


def test_unknown_losses_knobs_and_switches_name_the_nearest(tiny, tmp_path) -> None:
    for spoiled, message in (
        (
            replace(tiny, loss=replace(tiny.loss, pixel={"name": "birefnet_pixl"})),
            "birefnet_pixel",
        ),
        (replace(tiny, loss=replace(tiny.loss, gradient={"objectiv": "bce"})), "objective"),
        (replace(tiny, loss=replace(tiny.loss, gradient={"objective": "bcee"})), "bce"),
        (replace(tiny, model={"preset": "lit"}), "lite"),
        (replace(tiny, model={"preset": "lite", "backbon": "resnet18"}), "backbone"),
        (replace(tiny, data=replace(tiny.data, augment=("flop",))), "flip"),
    ):
        with pytest.raises(UserError, match=f"did you mean '{message}'"):
            train(spoiled, tmp_path, quiet)


def test_the_hash_covers_config_and_data_and_not_the_name_of_the_arm(tiny) -> None:
    assert run_hash(tiny, "data") == run_hash(replace(tiny), "data")
    others = [
        run_hash(replace(tiny, seed=1), "data"),
        run_hash(replace(tiny, train=replace(tiny.train, threads=2)), "data"),
        run_hash(tiny, "other data"),
    ]
    assert len({run_hash(tiny, "data"), *others}) == 4


def test_the_learning_rate_warms_up_and_falls_to_zero(tiny) -> None:
    t = replace(tiny.train, steps=100, warmup=10)
    assert [lr_factor(s, t) for s in (0, 9, 10)] == pytest.approx([0.1, 1.0, 1.0])
    assert lr_factor(55, t) == pytest.approx(0.5)
    assert 0 < lr_factor(99, t) < 0.01
    assert lr_factor(99, replace(t, schedule="constant")) == 1.0
