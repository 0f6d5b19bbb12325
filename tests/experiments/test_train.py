"""A run: the same twice, what it writes, and who hears of it while it goes on."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments import masks
from experiments.config import Runtime
from experiments.data import load_splits
from experiments.errors import UserError
from experiments.evaluate import at_once, evaluate
from experiments.gradient_record import final_maps, probe
from experiments.metrics import GRADIENT, MAXIMA, METRICS
from experiments.model import build_model
from experiments.objective import Objective
from experiments.results import FINISHED
from experiments.train import train
from experiments.watch import Watch
from tests.experiments.runs import same_files


class Heard(Watch):
    """Writes down what a run tells."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: dict[int, float] = {}

    def stepped(self, step: int) -> None:
        self.steps.append(step)

    def validated(self, step: int, value: float) -> None:
        self.values[step] = value


def test_a_run_twice_is_bitwise_the_same_and_another_seed_is_not(tiny, finished, tmp_path) -> None:
    train(tiny, tmp_path / "again")
    assert same_files(finished, tmp_path / "again")
    train(replace(tiny, seed=1), tmp_path / "other")
    assert not same_files(finished, tmp_path / "other")


def test_a_run_writes_what_the_analysis_reads(tiny, finished) -> None:
    table = pd.read_parquet(finished / "per_image.parquet")
    described = ["area", "outline", "components"]
    assert list(table.columns) == ["image", "group", *described, "metric", "value"]
    assert table.notna().all().all()
    assert set(table["metric"]) == {*METRICS, *GRADIENT}
    assert table.groupby("metric")["image"].nunique().eq(4).all()
    assert table.groupby("image")[described].nunique().eq(1).all().all()
    assert table["components"].dtype == int
    scores = json.loads((finished / FINISHED).read_text())["test"]
    assert scores.keys() == {*METRICS, *GRADIENT, *MAXIMA}
    for metric, values in table.groupby("metric")["value"]:
        assert scores[metric] == pytest.approx(values.mean(), abs=1e-12)
    assert all(scores[most] > scores[mean] for most, mean in MAXIMA.items())
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


def test_how_many_images_are_seen_at_once_changes_no_score_but_by_rounding(tiny) -> None:
    model, objective = build_model(tiny), Objective(tiny.loss)
    val, cpu = load_splits(tiny.data)[1], torch.device("cpu")
    tables = [evaluate(model, val, ("MAE",), cpu, size=size).table["value"] for size in (8, 3)]
    assert np.allclose(*tables, rtol=1e-5)
    one, two = (final_maps(objective, model, val, 4, cpu, size) for size in (8, 3))
    assert one.keys() == two.keys()
    assert one["names"] == two["names"]
    for name in one.keys() - {"names"}:
        near = 2e-3 if one[name].dtype == np.float16 else 1  # else bytes
        assert np.allclose(one[name].astype(float), two[name].astype(float), atol=near), name
    counts = [np.array(probe(objective, model, val, cpu, size)) for size in (8, 3)]
    assert counts[0].sum() == counts[1].sum()
    assert np.abs(counts[0] - counts[1]).sum() < 0.02 * counts[0].sum()


def test_no_more_images_are_seen_at_once_than_in_training(tiny, monkeypatch) -> None:
    parts = replace(tiny.train, batch=32, accumulate=8)
    assert [at_once(replace(parts, accumulate=k)) for k in (1, 8, 32)] == [8, 4, 1]
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert at_once(parts) == 2


def test_a_run_with_the_published_metrics_says_so_and_differs_in_its_scores_alone(
    tiny, finished, tmp_path
) -> None:
    train(replace(tiny, train=replace(tiny.train, metrics="published")), tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["train"]["metrics"] == "published"
    tables = [pd.read_parquet(folder / "per_image.parquet") for folder in (finished, tmp_path)]
    values = [table.groupby("metric")["value"].mean() for table in tables]
    assert set(values[0].index[values[0] != values[1]]) >= {"F_weighted", "S", "MAE", "E_mean"}
    assert all(values[0][name] == values[1][name] for name in GRADIENT)
    histories = [pd.read_csv(folder / "history.csv") for folder in (finished, tmp_path)]
    assert histories[0]["loss"].equals(histories[1]["loss"])
    assert not histories[0]["val_F_weighted"].equals(histories[1]["val_F_weighted"])


def test_an_arm_without_outward_reference_trains(tiny, tmp_path) -> None:
    loss = replace(tiny.loss, gradient={"objective": "none"})
    train(replace(tiny, loss=loss, model={**tiny.model, "outward": False}), tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["grad_share"].dropna().tolist() == [0.0, 0.0]
    assert "gradient_label" not in np.load(tmp_path / "gradient_maps.npz")
    table = pd.read_parquet(tmp_path / "per_image.parquet")
    assert set(table["metric"]) == set(METRICS)


def test_a_run_without_a_test_never_touches_the_test_split(tiny, tmp_path, monkeypatch) -> None:
    class Sealed:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"the test split was asked for its {name}")

        def __len__(self) -> int:
            raise AssertionError("the test split was asked for its length")

    real = masks.splits
    monkeypatch.setattr(masks, "splits", lambda data: (*real(data)[:2], Sealed()))
    heard = Heard()
    value = train(tiny, tmp_path, heard, test=False)
    summary = json.loads((tmp_path / FINISHED).read_text())
    assert value == summary["validation"] == max(heard.values.values())
    assert "test" not in summary
    assert not (tmp_path / "per_image.parquet").exists()
    with pytest.raises(AssertionError, match="the test split was asked"):
        train(tiny, tmp_path)


def test_who_watches_hears_of_every_step_and_validation_and_can_read_the_rows(
    tiny, tmp_path
) -> None:
    class Reads(Heard):
        def validated(self, step: int, value: float) -> None:
            super().validated(step, value)
            assert len(pd.read_csv(tmp_path / "history.csv")) == step

    heard = Reads()
    value = train(tiny, tmp_path, heard, identity={"arm": "bce"})
    assert heard.steps == [1, 2, 3, 4, 5, 6]
    history = pd.read_csv(tmp_path / "history.csv").set_index("step")["val_F_weighted"].dropna()
    assert heard.values == {step + 1: score for step, score in history.items()}
    summary = json.loads((tmp_path / FINISHED).read_text())
    assert summary["test"]["F_weighted"] == value
    assert summary["validation"] == max(heard.values.values())
    assert (summary["arm"], summary["device"]) == ("bce", "cpu")


def test_tensorboard_shows_the_rows_of_the_history(tiny, tmp_path, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny, tmp_path, runtime=Runtime(tensorboard=True))
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    history = pd.read_csv(tmp_path / "history.csv")
    assert set(shown.Tags()["scalars"]) == set(history.columns) - {"step"}
    losses = [event.value for event in shown.Scalars("loss")]
    assert losses == pytest.approx(history["loss"].tolist(), rel=1e-6)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[tensorboard\]"'):
        train(tiny, tmp_path, runtime=Runtime(tensorboard=True))
