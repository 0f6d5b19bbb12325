"""A run's configuration: what is refused by name, and what the hash of a run covers."""

from dataclasses import replace

import pytest
import torch

from experiments.config import INCIDENTAL, Runtime, run_hash
from experiments.errors import UserError
from experiments.train import train


def test_unknown_losses_knobs_and_switches_name_the_nearest(tiny, tmp_path) -> None:
    misspelt = replace(tiny.loss, pixel={"name": "birefnet_pixl"})
    for spoiled, message in (
        (replace(tiny, loss=misspelt), "birefnet_pixel"),
        (replace(tiny, loss=replace(tiny.loss, gradient={"objectiv": "bce"})), "objective"),
        (replace(tiny, loss=replace(tiny.loss, gradient={"objective": "bcee"})), "bce"),
        (replace(tiny, model={"preset": "lit"}), "lite"),
        (replace(tiny, model={"preset": "lite", "backbon": "resnet18"}), "backbone"),
    ):
        with pytest.raises(UserError, match=f"did you mean '{message}'"):
            train(spoiled, tmp_path)


def test_a_gpu_that_is_not_there_is_told(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch sees no GPU"):
        train(tiny, tmp_path, runtime=Runtime(device="cuda"))
    with pytest.raises(UserError, match="did you mean 'cuda'"):
        Runtime(device="cude")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "train.steps is 0, expected a whole number of at least 1"),
        ("batch", 2.5, "train.batch is 2.5"),
        ("lr", 0.0, "train.lr is 0.0, expected above 0"),
        ("accumulate", 3, "train.accumulate is 3, expected a divisor of train.batch"),
        ("clip", -1.0, "train.clip is -1.0, expected a number of at least 0"),
        ("schedule", "cosin", "did you mean 'cosine'"),
        ("precision", "fp16", "unknown precision 'fp16'"),
        ("drops", (0.8, 0.5), "train.drops"),
        ("drop", 0.0, "train.drop is 0.0"),
        ("metrics", "publish", "did you mean 'published'"),
    ],
)
def test_values_out_of_range_are_refused_by_name(tiny, field, value, message) -> None:
    with pytest.raises(UserError, match=message):
        replace(tiny.train, **{field: value})


def test_the_hash_covers_config_and_data_and_not_the_name_of_the_arm(tiny) -> None:
    assert run_hash(tiny, "data") == run_hash(replace(tiny), "data")
    others = [
        run_hash(replace(tiny, seed=1), "data"),
        run_hash(replace(tiny, train=replace(tiny.train, threads=2)), "data"),
        run_hash(tiny, "other data"),
    ]
    assert len({run_hash(tiny, "data"), *others}) == 4


def test_the_hash_leaves_out_what_changes_no_result(tiny) -> None:
    data = {"name": "a copy", "image_dir": "a", "mask_dir": "b", "workers": 2, "cache": False}
    train = {"save_seconds": 1.0}
    changed = {*(f"data.{name}" for name in data), *(f"train.{name}" for name in train)}
    assert changed | {"model.start"} == set(INCIDENTAL)
    other = replace(tiny, data=replace(tiny.data, **data), train=replace(tiny.train, **train))
    assert run_hash(other, "data") == run_hash(tiny, "data")
