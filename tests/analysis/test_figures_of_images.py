"""The pictures: the strip, the maps and the histograms show what the runs kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from analysis.figures import FIGURES, save
from analysis.figures.strip import errors
from analysis.load import image_means, load
from analysis.summary import Summary, summarise

from .drawings import check_texts, drawn, words


def test_the_strip_shows_worst_median_and_best_of_all_test_images(full: Summary) -> None:
    figure = drawn("strip", full)
    scores = image_means(full.results, "F_weighted", "bce").sort_values()
    assert len(scores) == 12
    rows = [name for name in words(figure).split("\n") if name in ("worst", "median", "best")]
    assert rows == ["worst", "median", "best"]
    for place, word in ((0, "worst"), (5, "median"), (11, "best")):
        assert f"{word}\n{scores.iloc[place]:.3f}\n#{12 - place} of 12" in words(figure)
    names = [scores.index[place] for place in (0, 5, 11)]
    sizes = [1 + int(name[:3]) for name in names]  # the discs grow with the number of the image
    targets = [axes.images[0].get_array() for axes in figure.axes[1::6]]
    shares = [float(np.asarray(target)[..., 0].mean()) for target in targets]
    assert len(shares) == 3
    assert np.argsort(shares).tolist() == np.argsort(sizes).tolist()
    for part in ("seed 0", *full.grid.arms):
        assert part in words(figure)


def test_the_strip_ranks_downwards_a_metric_of_which_less_is_better(make_grid: Any) -> None:
    summary = summarise(load(make_grid(maps=True, seeds=1, primary="MAE")))
    scores = image_means(summary.results, "MAE", "bce")
    text = words(drawn("strip", summary))
    assert f"worst\n{scores.max():.3f}\n#5 of 5" in text
    assert f"best\n{scores.min():.3f}\n#1 of 5" in text


def test_the_maps_are_those_of_the_baseline_and_of_the_arm_whose_label_differs_most(
    full: Summary,
) -> None:
    text = words(drawn("maps", full))
    for part in ("000.png", "edge weight", "gradient label\nbce", "gradient label\nreleased"):
        assert part in text
    assert "gradient label\nmae" not in text


def test_the_strip_takes_the_first_seed_that_all_arms_completed(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=3, absent={("mae", 0): "failed", ("none", 1): "missing"})
    text = words(drawn("strip", summarise(load(folder))))
    assert "seed 2" in text
    assert "no run" not in text


def test_the_strip_leaves_a_gap_for_an_arm_without_runs_or_pictures(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=1, absent={("mae", 0): "failed"})
    (folder / "runs/0-0/thumbnails.parquet").unlink()
    text = words(drawn("strip", summarise(load(folder))))
    assert text.count("no run") == text.count("no picture") == 3
    for path in folder.glob("runs/*/*.parquet"):
        path.unlink() if path.stem == "thumbnails" else None
    assert FIGURES["strip"](summarise(load(folder))) is None


def test_without_a_gradient_branch_the_maps_are_those_of_the_edge_weight_alone(
    make_grid: Any,
) -> None:
    folder = make_grid(maps=True, seeds=1)
    for path in folder.glob("runs/*/gradient_maps.npz"):
        with np.load(path) as file:
            kept = {key: file[key] for key in file.files if not key.startswith("gradient")}
        np.savez(path, **kept)
    text = words(drawn("maps", summarise(load(folder))))
    assert "edge weight" in text
    assert "gradient" not in text


@pytest.mark.parametrize("kind", ["no zip", "cut", "ragged", "short", "pickled"])
def test_damaged_maps_are_refused_by_name_with_what_mends_them(make_grid: Any, kind: str) -> None:
    folder = make_grid(maps=True, histograms=True, seeds=2)
    path = folder / "runs/2-1/gradient_maps.npz"
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files}
    if kind == "ragged":
        kept |= {key: kept[key][:4] for key in ("moments", "hist_label", "hist_prediction")}
    if kind == "short":
        kept["moments"] = kept["moments"][:2]
    if kind == "pickled":
        kept["moments"] = np.array([{}] * 5, dtype=object)
    np.savez(path, **kept)
    if kind in ("no zip", "cut"):
        path.write_bytes(b"PK" if kind == "no zip" else path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"2-1.*gradient_maps.npz .*; delete the run's folder"):
        FIGURES["histograms"](summarise(load(folder)))


def test_damaged_small_pictures_are_refused_by_name(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=1)
    path = folder / "runs/2-0/thumbnails.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    summary = summarise(load(folder))
    with pytest.raises(ValueError, match=r"thumbnails.parquet .*; delete the run's folder"):
        FIGURES["strip"](summary)
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"thumbnails.parquet .*; delete the run's folder"):
        FIGURES["strip"](summary)


def test_maps_of_any_shape_are_drawn_and_large_ones_made_smaller(
    make_grid: Any, tmp_path: Path
) -> None:
    narrow = summarise(load(make_grid(maps=True, seeds=1, size=(20, 90))))
    check_texts(narrow, missing={"histograms", "strata"})
    large = summarise(load(make_grid(maps=True, seeds=1, size=(600, 601), arms=("bce",))))
    for stem in ("strip", "maps"):
        paths = [tmp_path / f"{stem}.png", tmp_path / f"{stem}.pdf"]
        save(drawn(stem, large), paths)
        assert max(path.stat().st_size for path in paths) < 500_000


@given(some.floats(0, 1), some.floats(0, 1))
def test_the_colours_of_an_error_are_shares_that_add_up(target: float, prediction: float) -> None:
    colour = errors(np.array([[target]]), np.array([[prediction]]))[0, 0]
    white, vermilion, sky = (
        np.ones(3),
        np.array([213, 94, 0]) / 255,
        np.array([86, 180, 233]) / 255,
    )
    added, missed = max(prediction - target, 0), max(target - prediction, 0)
    found = min(target, prediction)
    assert colour == pytest.approx(found * white + added * vermilion + missed * sky, abs=1e-9)
    assert found + added + missed + (1 - max(target, prediction)) == pytest.approx(1)


def test_the_histograms_show_the_baseline_and_the_arm_whose_label_differs_most(
    full: Summary,
) -> None:
    figure = drawn("histograms", full)
    rows = [axes.get_ylabel().split("\n")[0] for axes in figure.axes if axes.get_ylabel()]
    assert rows == ["bce", "released"]
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "stage 1 (coarsest)", "stage 2", "stage 3 (finest)"
    ]  # fmt: skip


def test_the_histograms_are_shares_of_the_pixels_of_all_seeds(full: Summary) -> None:
    figure = drawn("histograms", full)
    counts = 0
    for seed in full.grid.seeds:
        run = full.results.run_folder("bce", seed)
        assert run is not None
        with np.load(run / "gradient_maps.npz") as file:
            counts = counts + file["hist_label"][-1, 0].reshape(64, 4).sum(axis=1)
    values = figure.axes[0].patches[0].get_data().values
    assert values == pytest.approx(counts / np.sum(counts))
    assert values.sum() == pytest.approx(1)


def test_a_model_without_gradient_branch_has_no_histogram(make_grid: Any) -> None:
    folder = make_grid(histograms=True, seeds=1)
    for path in folder.glob("runs/*/gradient_maps.npz"):
        with np.load(path) as file:
            kept = {key: file[key][:, :0] if "hist" in key else file[key] for key in file.files}
        np.savez(path, **kept)
    assert FIGURES["histograms"](summarise(load(folder))) is None
