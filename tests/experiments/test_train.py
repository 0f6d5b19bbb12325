"""A run: the same twice, paired across arms, stopped by NaN, heard while it goes on."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from experiments import grid as grids
from experiments import masks
from experiments.checks import NonFiniteLossError
from experiments.config import INCIDENTAL, Runtime, run_hash
from experiments.data import load_splits
from experiments.data.augment import Augment
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


def test_arms_start_from_the_same_weights(tiny) -> None:
    released = replace(tiny, loss=replace(tiny.loss, gradient={"objective": "none"}))
    one, two = build_model(tiny).state_dict(), build_model(released).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_copy_of_an_arm_starts_a_millionth_off_and_ends_elsewhere_but_near(
    tiny, finished, tmp_path
) -> None:
    """What makes the grid `aa` one of two arms that chance alone tells apart."""
    copy = grids.find("aa").arms["copy"]
    assert (copy.loss, grids.find("aa").arms["bce"].loss) == (tiny.loss, tiny.loss)
    train(replace(tiny, model={**tiny.model, **copy.model}), tmp_path)
    tables = [pd.read_parquet(folder / "per_image.parquet") for folder in (finished, tmp_path)]
    apart = (tables[0]["value"] - tables[1]["value"]).abs()
    of_areas = apart[tables[0]["metric"] != "HCE"]  # a count
    assert 0 < of_areas.max() < 0.01
    assert of_areas.mean() < 1e-3
    losses = [pd.read_csv(folder / "history.csv")["loss"] for folder in (finished, tmp_path)]
    assert losses[0].tolist() != losses[1].tolist()
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), rel=1e-2)


def test_a_perturbation_depends_on_the_seed_and_the_name_and_spares_no_parameter(tiny) -> None:
    def built(seed: int, **switches: float | bool) -> dict[str, torch.Tensor]:
        model = build_model(replace(tiny, seed=seed, model={**tiny.model, **switches}))
        return dict(model.named_parameters())

    plain, copy = built(0), built(0, perturb=1e-3)
    shifts = {name: (copy[name] / plain[name] - 1)[plain[name] != 0] for name in plain}
    drawn = torch.cat([shift.flatten() for shift in shifts.values()]).detach()
    assert drawn.std() == pytest.approx(1e-3, rel=0.01)
    assert drawn.mean() == pytest.approx(0, abs=1e-5)
    assert all(not torch.equal(copy[n], plain[n]) for n in plain if plain[n].any())
    narrow = built(0, perturb=1e-3, outward=False)
    assert len(narrow) < len(copy)
    assert all(torch.equal(narrow[name], copy[name]) for name in narrow if name in copy)
    frozen = next(name for name in plain if name.startswith("bb."))  # pretrained: of no seed
    assert not torch.equal(built(1, perturb=1e-3)[frozen], copy[frozen])


@pytest.mark.parametrize("amount", [-1e-6, 1.0, "much"])
def test_a_perturbation_out_of_range_is_refused(tiny, amount) -> None:
    with pytest.raises(UserError, match=r"model.perturb is .*, expected a number from 0 to below"):
        build_model(replace(tiny, model={**tiny.model, "perturb": amount}))


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
    assert changed == set(INCIDENTAL)
    other = replace(tiny, data=replace(tiny.data, **data), train=replace(tiny.train, **train))
    assert run_hash(other, "data") == run_hash(tiny, "data")
