"""Gradient labels: how binary they are, on distributions whose answer is known, and the files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from matplotlib.figure import Figure

import losses
from analysis import edge_weights as edges
from analysis import gradient_maps as maps
from analysis.gradient_maps.__main__ import main
from analysis.load import load
from analysis.samples import Images, inputs, read_images

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def images() -> Images:
    return read_images("embedded", (64, 64), 3)


def titles(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def test_two_values_alone_have_the_greatest_bimodality_and_no_entropy() -> None:
    for share in (0.5, 0.1, 0.001):
        found = maps.binariness([0, 1], [1 - share, share])
        assert found.bimodality == pytest.approx(1, abs=1e-9)
        assert (found.floor, found.near) == (0, pytest.approx(1))
        assert found.mean == pytest.approx(share)


def test_the_uniform_distribution_has_bimodality_five_ninths_and_entropy_a_half() -> None:
    found = maps.of_histogram(np.ones(10_000))
    assert found.bimodality == pytest.approx(5 / 9, abs=1e-6)
    assert found.floor == pytest.approx(0.5, abs=1e-6)  # the integral of H over [0, 1]
    assert found.near_zero == pytest.approx(0.05, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((0.05, 0.95), abs=1e-4)


def test_the_normal_distribution_has_bimodality_a_third() -> None:
    y = scipy.stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000, 0.5, 0.08)
    assert maps.binariness(y).bimodality == pytest.approx(1 / 3, abs=1e-3)


@pytest.mark.parametrize("a", [0.3, 1.0, 4.0])
def test_bimodality_is_made_of_scipys_skewness_and_kurtosis(a: float) -> None:
    y = RNG.beta(a, 2, 999)
    kurtosis = scipy.stats.kurtosis(y, fisher=False)
    expected = (scipy.stats.skew(y) ** 2 + 1) / kurtosis
    assert maps.binariness(y).bimodality == pytest.approx(expected, rel=1e-9)


def test_bimodality_does_not_depend_on_place_and_width() -> None:
    y = RNG.random(1000)
    narrow = maps.binariness(0.5 + 1e-6 * (y - 0.5))
    assert narrow.bimodality == pytest.approx(maps.binariness(y).bimodality, rel=1e-6)


def test_a_skewed_single_peak_exceeds_the_uniforms_bimodality() -> None:
    y = np.clip(RNG.exponential(0.05, 10_000), 0, 1)
    assert maps.binariness(y**2).bimodality > 5 / 9


def test_the_floor_is_the_bce_of_a_perfect_prediction() -> None:
    label = torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=torch.manual_seed(0))
    perfect = float(losses.bce(torch.logit(label), label))
    assert maps.binariness(label.numpy()).floor == pytest.approx(perfect, rel=1e-9)
    assert float(losses.excess_bce(torch.logit(label), label)) == pytest.approx(0, abs=1e-12)


def test_a_constant_map_has_no_bimodality_and_no_values_have_no_numbers() -> None:
    grey = maps.binariness(np.full(9, 0.5))
    assert math.isnan(grey.bimodality)
    assert (grey.std, grey.floor) == pytest.approx((0, math.log(2)), abs=1e-12)
    nothing = maps.binariness([])
    assert nothing.count == 0
    assert math.isnan(nothing.mean)


@pytest.mark.parametrize("bad", [[0.5, 1.01], [-0.1], [math.nan]])
def test_values_outside_0_to_1_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"1 values are not in \[0, 1\]"):
        maps.binariness(bad)


def test_a_histogram_measures_as_its_values_do() -> None:
    y = RNG.beta(0.5, 2, 20_000)
    counts = np.histogram(y, 256, (0, 1))[0]
    exact, binned = maps.binariness(y).as_dict(), maps.of_histogram(counts).as_dict()
    assert binned == pytest.approx(exact, abs=0.004)


def test_labels_are_those_of_the_losses(images: Images) -> None:
    stand_in = 5 * (2 * images.targets - 1)
    knobs = {d.name: d.knobs for d in maps.DEFINITIONS}
    for one in maps.label_maps(images):
        name, _, logits = one.name.partition(", logits ±")
        coarse = stand_in / 5 if logits == "1" else stand_in
        (expected,) = losses.gradient_labels(
            [coarse], inputs(images), images.targets, **knobs[name]
        )
        np.testing.assert_allclose(one.values, expected[:, 0].numpy(), atol=1e-6)


def test_the_released_label_is_grey_and_the_repaired_one_dark(images: Images) -> None:
    rows = maps.table(maps.label_maps(images)).set_index(["label", "region"])
    early, late = (rows.loc[(f"as released, logits ±{z}", "object")] for z in (1, 5))
    repaired = rows.loc[("repaired", "image")]
    assert early["near"] == 0
    assert math.log(2) > early["floor"] > late["floor"] > 0.6
    assert repaired["near_zero"] > 0.7 > 0.1 > repaired["near_one"]


def test_flat_images_without_an_object_have_a_table_of_gaps_and_all_pictures() -> None:
    flat = Images(
        "flat", ("one | only",), torch.full((1, 3, 16, 24), 0.4), torch.zeros(1, 1, 16, 24)
    )
    labels = maps.label_maps(flat)
    rows = maps.table(labels).set_index(["label", "region"])
    assert rows.loc[("as released, logits ±5", "image")]["mean"] == 0.5
    assert rows.loc[("repaired", "object")].drop("count").isna().all()
    text = maps.markdown(maps.table(labels), "flat")
    assert "| repaired | object | — | — | — to — | — | — | — | — |" in text
    assert "no object" in " ".join(titles(maps.label_histograms(labels, "flat")))
    assert len(maps.label_pictures(flat, labels, "flat").axes) == 8


def test_no_text_leaves_its_picture(images: Images, make_grid: Any) -> None:
    long = Images("a name that is long " * 5, images.names, images.pixels, images.targets)
    labels = maps.label_maps(long)
    folder = make_grid(histograms=True, seeds=3, arms=("bce", "an arm of a very long name", "mae"))
    figures = [
        maps.label_histograms(labels, "Labels"),
        maps.label_pictures(long, labels, "Labels"),
        maps.training_histograms(folder / "runs/0-0", "run"),
        maps.excess_curves(load(folder)),
        *(draw(long) for draw in (edges.weight_maps, edges.borders, edges.profiles)),
        edges.sizes([long, long]),
        edges.schedules(),
    ]
    for figure in figures:
        assert figure is not None
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert (box.x0 > -0.01, box.y0 > -0.01, box.x1 < width, box.y1 < height) == (True,) * 4


def test_the_command_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    command = ["--size", "48", "64", "--images", "2", "--out"]
    assert [main([*command, str(tmp_path / out)]) for out in ("a", "b")] == [0, 0]
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(
        ["labels.md", "labels.csv"]
        + [f"{stem}.{end}" for stem in ("labels", "label_histograms") for end in ("png", "pdf")]
    )
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(pd.read_csv(tmp_path / "a/labels.csv")) == 2 * 8


def test_a_grids_predictions_are_pooled_over_its_seeds(make_grid: Any) -> None:
    folder = make_grid(histograms=True, seeds=3)
    rows = maps.prediction_table(load(folder))
    assert len(rows) == 4 * 2 * 3 * 5  # arms, label and prediction, stages, moments
    one = rows[(rows["arm"] == "bce") & (rows["map"] == "label") & (rows["stage"] == 1)].iloc[-1]
    counts = np.zeros(256)
    for seed in range(3):
        with np.load(folder / f"runs/2-{seed}/gradient_maps.npz") as file:
            counts += file["hist_label"][-1, 0]
    assert one["count"] == counts.sum()
    assert one["floor"] == pytest.approx(maps.of_histogram(counts).floor, abs=1e-12)


def test_excess_bce_is_drawn_for_every_arm_that_has_runs(make_grid: Any) -> None:
    absent = {("mae", seed): "missing" for seed in range(3)} | {("bce", 0): "failed"}
    figure = maps.excess_curves(load(make_grid(seeds=3, absent=absent)))
    assert figure is not None
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.get_lines()] == ["none", "released", "bce"]
    assert axes.get_yscale() == "log"


def test_a_half_finished_grid_of_one_seed_has_its_files(make_grid: Any, tmp_path: Path) -> None:
    folder = make_grid(histograms=True, seeds=1, absent={("mae", 0): "running"})
    assert main(["--grid", str(folder), "--out", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["excess_bce.pdf", "excess_bce.png", "predictions.csv", "predictions.md"]


def test_a_run_says_what_it_predicts_at_every_stage(small_grid: Path, tmp_path: Path) -> None:
    run = next((small_grid / "runs").glob("bce_released-*"))
    assert main(["--run", str(run), "--images", "2", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "labels.csv").set_index(["label", "region"])
    assert "2 images of embedded, 64 x 64 px" in (tmp_path / "labels.md").read_text()
    stages = [f"prediction, stage {i}" for i in (1, 2, 3)]
    assert set(stages) <= set(rows.index.get_level_values(0))
    assert {"stages.png", "training.pdf"} <= {path.name for path in tmp_path.iterdir()}
    own = maps.own_definition(run)
    assert (own.knobs["gate"], own.knobs["squash"]) == ("logits", "sigmoid")
    assert "label, stage 3" in titles(maps.training_histograms(run, "run"))


@pytest.mark.parametrize("option", ["--run", "--grid"])
def test_a_folder_that_is_none_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main([option, str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_damaged_file_of_maps_is_told_with_what_mends_it(
    make_grid: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_grid(histograms=True, seeds=2)
    path = folder / "runs/2-1/gradient_maps.npz"
    path.write_bytes(path.read_bytes()[:-50])
    assert main(["--grid", str(folder), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "runs/2-1/gradient_maps.npz cannot be read" in said
    assert "delete the run's folder and run the grid again" in said


@pytest.mark.parametrize(
    "options",
    [("--images", "16"), ("--image-dir", "im"), ("--mask-dir", "gt"), ("--data", "thin3d")],
)
def test_a_grid_takes_no_options_of_images(
    make_grid: Any, capsys: pytest.CaptureFixture[str], options: tuple[str, str]
) -> None:
    assert main(["--grid", str(make_grid(histograms=True, seeds=1)), *options]) == 2
    assert f"leave out {options[0]}" in capsys.readouterr().err


def test_excess_bce_says_that_labels_differ_and_dashes_those_known_to(make_grid: Any) -> None:
    figure = maps.excess_curves(load(make_grid(maps=True, seeds=2)))
    assert "each by its own label" in titles(figure)[0]
    assert figure is not None
    styles = {str(line.get_label()): line.get_linestyle() for line in figure.axes[0].get_lines()}
    assert styles == {"none": "-", "released": "--", "bce": "-", "mae": "-"}


def test_a_run_without_kept_maps_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no gradient maps were recorded.*is the run finished"):
        maps.training_histograms(tmp_path, "run")


def test_a_run_whose_model_predicts_no_gradient_is_told(tmp_path: Path) -> None:
    empty = np.zeros((5, 0, 256), dtype=int)
    np.savez(tmp_path / "gradient_maps.npz", moments=range(5), hist_label=empty,
             hist_prediction=empty)  # fmt: skip
    with pytest.raises(ValueError, match="does its model predict gradients"):
        maps.training_histograms(tmp_path, "run")
