"""A run on words, from the drawn image to its files."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import task as tasks
from experiments.config import LossConfig, RunConfig
from experiments.data import DataConfig
from experiments.errors import UserError
from experiments.text import MEASURED
from experiments.text.icdar import Counts as Matches
from experiments.text.icdar import pooled
from experiments.text.task import splits
from experiments.train import train
from experiments.watch import Stopped, Watch
from tests.experiments.one_word import SMALL


@pytest.fixture(scope="module")
def done(small: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that run, done once."""
    folder = tmp_path_factory.mktemp("text") / "run"
    train(small, folder)
    return folder


def test_a_run_on_words_writes_what_the_analysis_reads(small: RunConfig, done: Path) -> None:
    table = pd.read_parquet(done / "per_image.parquet")
    summary = json.loads((done / "metrics.json").read_text())
    assert set(table["metric"]) == {"H_image", "matched", "detections", "words"}
    wide = table.pivot(index="image", columns="metric", values="value").astype(int)
    counts = [Matches(*row) for row in wide[["matched", "detections", "words"]].to_numpy()]
    for name, value in pooled(counts).items():
        assert summary["test"][name] == pytest.approx(value)
    assert {*MEASURED} <= {*summary["test"]}
    assert 0 < summary["cut"] < 1
    assert 0 <= summary["least_score"] < 1
    history = pd.read_csv(done / "history.csv")
    terms = history[["probability", "threshold", "binary"]].sum(axis=1)
    np.testing.assert_allclose(history["loss"], terms, rtol=1e-5)
    assert history["val_H_mean"].notna().sum() == small.train.validations
    maps = np.load(done / "text_maps.npz")
    assert maps["image"].shape == (2, 64, 64, 3)
    assert maps["threshold"].shape == maps["binary"].shape == maps["target"].shape == (2, 64, 64)
    assert len(pd.read_parquet(done / "thumbnails.parquet")) == SMALL.test
    with zipfile.ZipFile(done / "submission.zip") as archive:
        assert len(archive.namelist()) == SMALL.test
    assert (done / "preview.png").exists()


def test_a_run_on_words_is_bitwise_the_same_again(small: RunConfig, done: Path, tmp_path) -> None:
    train(small, tmp_path)
    for name in ("history.csv", "checkpoint.safetensors", "submission.zip", "text_maps.npz"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes(), name


def test_a_run_that_was_stopped_goes_on_to_the_same_end(small, done: Path, tmp_path) -> None:
    class StopOnce(Watch):
        asked = 0

        def stop(self) -> bool:
            self.asked += 1
            return self.asked == 4

    with pytest.raises(Stopped):
        train(small, tmp_path, StopOnce())
    train(small, tmp_path)
    for name in ("history.csv", "checkpoint.safetensors", "submission.zip"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes(), name


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_without_nan(small, done: Path, precision, tmp_path) -> None:
    config = replace(small, train=replace(small.train, precision=precision))
    train(config, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert np.isfinite(history["loss"]).all()
    skipped = history["skipped"] if precision == "float16" else 0 * history["step"]
    assert np.isfinite(history["grad_norm"][skipped == 0]).all()
    assert skipped.iloc[-1] == 0  # float16's scale, which starts too high, has been found
    single = pd.read_csv(done / "history.csv")
    assert history["loss"].iloc[0] == pytest.approx(single["loss"].iloc[0], rel=0.02)


def test_birefnets_decoder_with_a_db_head_is_an_arm_like_any_other(small, tmp_path) -> None:
    config = replace(small, model={**small.model, "body": "birefnet"})
    train(config, tmp_path)
    loss = pd.read_csv(tmp_path / "history.csv")["loss"]
    assert loss.iloc[-1] < loss.iloc[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"shrnk": 0.5}}, "unknown knob of labels 'shrnk'; did you mean 'shrink'"),
        ({"labels": {"shrink_end": 1.0}}, "shrink"),
        ({"labels": {"shrink_end": ""}}, "shrink_end is '', expected a number"),
        ({"gradient": {"objective": "bce"}}, "predicts no image gradient"),
        ({"pixel": {"name": "birefnet_pixel"}}, "a main loss of text is of kind 'db' or 'logits'"),
    ],
)
def test_a_loss_that_a_detector_cannot_take_is_refused(changes, message) -> None:
    with pytest.raises(UserError, match=message):
        tasks.find("text").objective(replace(LossConfig(pixel={"name": "db"}), **changes))


def test_an_augmentation_of_masks_is_refused_for_words() -> None:
    with pytest.raises(UserError, match="augmentation of words 'background'"):
        splits(DataConfig(name="words", counts=SMALL, augment=("background",)))


def test_words_are_no_masks_and_masks_no_words() -> None:
    with pytest.raises(UserError, match="grids of text take them"):
        tasks.find("masks").splits(DataConfig(name="words", counts=SMALL))
    with pytest.raises(UserError, match="thin3d"):
        splits(DataConfig(name="thin3d"))
