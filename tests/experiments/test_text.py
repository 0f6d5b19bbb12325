"""A run on words, from the drawn image to its files."""

import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import losses
from experiments import grid as grids
from experiments import task as tasks
from experiments.config import LossConfig, RunConfig
from experiments.data import Counts, DataConfig
from experiments.data.samples import Order
from experiments.data.text import LabelKnobs, Word, text_labels
from experiments.data.text_sets import TextSplit
from experiments.errors import UserError
from experiments.text import MEASURED
from experiments.text.evaluate import evaluate
from experiments.text.icdar import Counts as Matches
from experiments.text.icdar import pooled
from experiments.text.maps import shown
from experiments.text.objective import Objective
from experiments.text.samples import MOVES, Keys, Lessons, Pictures, fit, moved, placed
from experiments.text.task import label_knobs, splits, stream
from experiments.train import train
from experiments.watch import Stopped, Watch
from models.dbnet import DBOutput

CPU = torch.device("cpu")
SMALL = Counts(train=8, val=4, test=6)


@pytest.fixture(scope="module")
def small() -> RunConfig:
    """A run of 6 steps on 8 drawn images of 64 px."""
    grid = grids.find("db_loss")
    config = grids.resolve(grid, grid.presets["smoke"], "db", seed=0)
    data = replace(config.data, size=(64, 64), counts=SMALL)
    return replace(config, data=data, train=replace(config.train, steps=6, batch=4, maps=2))


@pytest.fixture(scope="module")
def done(small: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that run, done once."""
    folder = tmp_path_factory.mktemp("text") / "run"
    train(small, folder)
    return folder


class One:
    """A split of one image with one white word on black."""

    polygon = np.array([[30.0, 20], [90, 20], [90, 40], [30, 40]])

    def read(self, i: int):
        image = np.zeros((*self.shape(i), 3), np.uint8)
        if i == 0:
            image[20:40, 30:90] = 255
        return image, self.words(i)

    def words(self, i: int) -> tuple[Word, ...]:
        return (Word(self.polygon),) if i == 0 else ()

    def shape(self, i: int) -> tuple[int, int]:  # noqa: ARG002
        return 96, 128


def one(count: int = 1) -> Pictures:
    names = [f"i{k}" for k in range(count)]
    return Pictures(TextSplit(names, names, One(), "digest"))


class Told(nn.Module):
    """A model that says what the labels say."""

    def __init__(self, size: tuple[int, int], height: float = 6.0) -> None:
        super().__init__()
        scale = np.diag([size[1] / 128, size[1] / 128, 1])
        label = text_labels(placed(One().words(0), scale), size)[0]
        self.logits = torch.from_numpy(label)[None, None] * 2 * height - height

    def forward(self, inputs: torch.Tensor) -> DBOutput:
        bright = inputs.amax((1, 2, 3), keepdim=True) > 1
        return DBOutput(torch.where(bright, self.logits, -9.0), None)


# --- the task ------------------------------------------------------------------------------------


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


# --- the loss ------------------------------------------------------------------------------------


def test_the_objective_is_the_loss_of_the_three_maps() -> None:
    g = torch.Generator().manual_seed(0)
    logits, raw = (torch.randn(2, 1, 32, 32, generator=g).requires_grad_() for _ in range(2))
    out = DBOutput(logits, raw.sigmoid())
    labels = (torch.rand(2, 4, 32, 32, generator=g) > 0.7).float()
    shrunk, mask, threshold, where = labels.split(1, 1)
    objective = Objective(LossConfig(pixel={"name": "db", "ratio": 1.0}))
    terms = objective(out, torch.zeros(2, 3, 32, 32), labels, 0.0)
    whole = losses.build("db", ratio=1.0)(
        logits, out.threshold, shrunk, threshold, where, mask=mask
    )
    torch.testing.assert_close(objective.total(terms), whole)
    ours, theirs = (
        torch.autograd.grad(x, (logits, raw), retain_graph=True)
        for x in (objective.total(terms), whole)
    )
    torch.testing.assert_close(ours, theirs)
    alone = Objective(LossConfig(pixel={"name": "dice"}))
    terms = alone(out, torch.zeros(2, 3, 32, 32), labels, 0.0)
    torch.testing.assert_close(alone.total(terms), losses.build("dice")(logits, shrunk, mask=mask))


def test_a_branch_that_learned_nothing_is_not_shown(small: RunConfig, tmp_path) -> None:
    config = replace(small, loss=LossConfig(pixel={"name": "dice"}))
    assert not Objective(config.loss).of_threshold
    assert not Objective(grids.find("db_loss").arms["no_threshold"].loss).of_threshold
    assert Objective(small.loss).of_threshold
    train(replace(config, train=replace(config.train, steps=2)), tmp_path)
    assert {*np.load(tmp_path / "text_maps.npz")} == {"names", "image", "target", "prediction"}


def test_with_dice_the_mining_ratio_changes_no_bit(small: RunConfig, tmp_path) -> None:
    ends = []
    for ratio in (1.0, 10.0):
        pixel = {"name": "db", "prob": "dice", "ratio": ratio}
        folder = tmp_path / str(ratio)
        train(replace(small, loss=LossConfig(pixel=pixel)), folder)
        ends.append((folder / "checkpoint.safetensors").read_bytes())
    assert ends[0] == ends[1]


def test_arms_of_text_grids_differ_in_what_they_say() -> None:
    g = torch.Generator().manual_seed(0)
    logits, raw = (torch.randn(3, 1, 32, 32, generator=g).requires_grad_() for _ in range(2))
    labels = torch.zeros(3, 4, 32, 32)
    labels[:, 1] = 1
    labels[0, [0, 3], 4:12, 4:28] = labels[1, [0, 3], 10:14, 8:12] = 1  # the third has no text
    labels[:, 2] = 0.5

    def terms(grid: str, arm: str) -> dict[str, torch.Tensor]:
        objective = Objective(grids.find(grid).arms[arm].loss)
        return objective(DBOutput(logits, raw.sigmoid()), torch.zeros(3, 3, 32, 32), labels, 0.0)

    def differ(grid: str, arm: str, minus: str) -> set[str]:
        ours, theirs = terms(grid, arm), terms(grid, minus)
        return {name for name in ours if ours[name] != theirs[name]}

    for arm in ("batch", "ratio_1", "ratio_10", "off"):
        assert differ("ohem", arm, "ratio_3") == {"probability"}, arm
    assert differ("ohem", "dice_10", "dice_1") == set()
    for arm in ("bce", "dice", "dice_bce", "focal"):
        assert differ("db_loss", arm, "db") == {"probability"}, arm
    assert differ("db_loss", "no_threshold", "db") == {"threshold", "binary"}
    totals = {
        arm: float(torch.stack([*terms("db_loss", arm).values()]).sum().detach())
        for arm in grids.find("db_loss").arms
    }
    assert len(set(totals.values())) == len(totals), "no two arms are one loss"
    (slope,) = torch.autograd.grad(sum(terms("ohem", "none_free").values()), logits)
    assert slope[:2].abs().sum() > 0
    assert slope[2].abs().sum() == 0, "an image without text teaches nothing"


# --- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (192, 300)])
def test_an_image_fits_into_its_sample_and_its_words_with_it(size) -> None:
    image, words = One().read(0)
    pixels, scale = fit(image, size)
    assert scale == min(size[0] / 96, size[1] / 128)
    there = placed(words, np.diag([scale, scale, 1]))[0].polygon
    assert covered(pixels, there) > 0.85  # OpenCV fills the edge too


@pytest.mark.parametrize("moves", [("flip",), ("rotate",), ("crop",), MOVES])
def test_words_move_with_their_image(moves) -> None:
    lessons = Lessons(one(), (128, 128), moves, LabelKnobs(), 0.4, seed=1, steps=100)
    shares = []
    for step in range(20):
        image, labels = lessons[0, step, 0]
        core = labels[0] > 0
        assert core.any()
        shares.append((image[core] > 128).mean())
    assert min(shares) > 0.97


def test_a_move_is_within_its_bounds() -> None:
    rng = np.random.default_rng(0)
    words = One().words(0)
    for _ in range(200):
        matrix = moved(rng, ("crop",), (96, 128), (64, 64), words)
        zoom = matrix[0, 0] / 0.5
        assert 0.5 <= zoom <= 3
        x, y = placed(words, matrix)[0].polygon.mean(0)
        assert -1e-9 <= x <= 64
        assert -1e-9 <= y <= 64
        turned = moved(rng, ("rotate",), (96, 128), (64, 64), words)
        assert abs(math.degrees(math.atan2(turned[1, 0], turned[0, 0]))) <= 10


def test_a_sample_is_a_function_of_seed_step_and_place() -> None:
    lessons = Lessons(one(), (64, 64), MOVES, LabelKnobs(), 0.4, seed=1, steps=9)
    again = Lessons(one(), (64, 64), MOVES, LabelKnobs(), 0.4, seed=1, steps=9)
    for key in ((0, 3, 1), (0, 3, 2), (0, 4, 1)):
        for ours, theirs in zip(lessons[key], again[key], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert (lessons[0, 3, 1][0] != lessons[0, 3, 2][0]).any()
    assert (lessons[0, 3, 1][0] != lessons[0, 4, 1][0]).any()


def test_ranks_draw_together_what_one_process_draws_alone() -> None:
    whole, *parts = (
        [*Keys(Order(0, 16, 4, 1, 4, share))] for share in (slice(0, 4), slice(0, 2), slice(2, 4))
    )
    assert whole == [a + b for a, b in zip(*parts, strict=True)]


def test_the_shrink_ratio_grows_over_training() -> None:
    fixed, end = label_knobs(LossConfig(labels={"shrink": 0.4}))
    assert (fixed.shrink, end) == (0.4, 0.4)
    knobs, end = label_knobs(LossConfig(labels={"shrink": 0.4, "shrink_end": 0.6}))
    lessons = Lessons(one(), (96, 128), (), knobs, end, seed=0, steps=11)
    cores = [lessons[0, step, 0][1][0].sum() for step in range(11)]
    assert cores == sorted(cores)
    assert cores[0] < cores[-1] < 60 * 20
    expected = text_labels(One().words(0), (96, 128), LabelKnobs(shrink=0.6))
    np.testing.assert_array_equal(lessons[0, 10, 0][1], expected)


def test_samples_made_by_other_processes_are_the_same(small: RunConfig) -> None:
    data = replace(small.data, augment=("flip", "rotate", "crop", "enhance", "pepper"))
    train_set, _, _ = splits(data)
    alone, helped = (
        list(stream(train_set, replace(small, data=replace(data, workers=n)), 2, CPU))
        for n in (0, 2)
    )
    assert len(alone) == len(helped) == small.train.steps - 2
    for ours, theirs in zip(alone, helped, strict=True):
        assert ours[0] == theirs[0]
        torch.testing.assert_close(ours[1:], theirs[1:], rtol=0, atol=0)


# --- evaluation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(96, 128), (128, 128), (192, 256)])
def test_a_model_that_says_what_the_labels_say_finds_every_word(small, size) -> None:
    config = replace(small, data=replace(small.data, size=size), boxes={"unclip": 2.0})
    chosen = evaluate(Told(size), one(3), config, CPU).chosen
    assert chosen == {"cut": 0.3, "least_score": 0.6}
    found = evaluate(Told(size), one(3), config, CPU, final=chosen)
    assert found.scores["H_mean"] == found.scores["H_published"] == 1
    assert found.scores["P_textfree"] == 1
    rows = found.table[found.table["image"] == "i0"].iloc[0]
    assert rows["components"] == 1
    assert rows["area"] == pytest.approx(60 * 20 / (96 * 128))
    assert rows["outline"] == pytest.approx(160 / np.hypot(96, 128))


def test_a_validation_chooses_thresholds_that_serve_timid_probabilities(small) -> None:
    config = replace(small, data=replace(small.data, size=(96, 128)), boxes={"unclip": 2.0})
    timid = Told((96, 128), height=0.1)  # P is .475 outside and .525 inside
    found = evaluate(timid, one(3), config, CPU)
    assert found.scores["H_mean"] == 1
    assert found.chosen["cut"] == 0.5
    tested = evaluate(timid, one(3), config, CPU, final=found.chosen)
    assert tested.scores["H_mean"] == 1
    assert tested.scores["H_published"] == 0
    tested = evaluate(timid, one(3), config, CPU, final={"cut": 0.6, "least_score": 0.0})
    assert tested.scores["H_mean"] == 0


def test_a_set_without_an_image_free_of_text_has_no_score_of_those(small) -> None:
    config = replace(small, data=replace(small.data, size=(96, 128)))
    assert "P_textfree" not in evaluate(Told((96, 128)), one(1), config, CPU).scores


def test_the_maps_that_are_kept_show_an_image_without_words() -> None:
    class LastFree(One):
        def words(self, i: int) -> tuple[Word, ...]:
            return () if i == 4 else super().words(0)

    names = [*"abcdef"]
    assert shown(Pictures(TextSplit(names, names, LastFree(), "")), 3) == [0, 1, 4]
    assert shown(one(2), 4) == [0, 1]
    assert shown(one(3), 1) == [0]


def covered(pixels: np.ndarray, polygon: np.ndarray) -> float:
    """Share of white in a polygon."""
    inside = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint((polygon - 0.5) * 16).astype(np.int32)], (1,), shift=4)
    return float((pixels[inside > 0] > 128).mean())
