"""The figures: what is drawn is what the statistics say, nothing is cut off, bytes are stable."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures import CAPTIONS, FIGURES, TEXT_WIDTH, new_figure, save, style
from analysis.figures.curves import curves
from analysis.figures.gradients import near_ends
from analysis.figures.strip import errors
from analysis.figures.style import GREY, fit, stacked, text_width
from analysis.load import image_means, load, seed_means
from analysis.strata import strata
from analysis.summary import Summary, summarise
from tests.analysis.conftest import write_grid

LONG = ("mae", "x" * 60, "W" * 30, "模型 $a_{b}$", "cost_$5 % & <b>", "two\nlines")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A finished grid with everything a figure may draw."""
    folder = write_grid(tmp_path_factory.mktemp("grid"), images=12, effects={"bce": 0.03},
                        gradient=("released", "bce", "mae"), maps=True,
                        histograms=True)  # fmt: skip
    return summarise(load(folder))


def drawn(stem: str, summary: Summary) -> Figure:
    figure = FIGURES[stem](summary)
    assert figure is not None
    return figure


def words(figure: Figure) -> str:
    """All text of a figure."""
    return "\n".join(text for found in figure.findobj(Text) if (text := found.get_text()))


def outside(figure: Figure) -> list[str]:
    """What reaches over the edge of a drawn picture."""
    box = figure.bbox.padded(1)
    spans = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    spans += [(axes.get_title(), tight) for axes in figure.axes if (tight := axes.get_tightbbox())]
    return [
        name
        for name, s in spans
        if s.x0 < box.x0 or s.y0 < box.y0 or s.x1 > box.x1 or s.y1 > box.y1
    ]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other in a drawn picture."""
    texts = [*figure.texts]
    for axes in figure.axes:
        for axis, place, (low, high) in (
            (axes.xaxis, 0, sorted(axes.get_xlim())),
            (axes.yaxis, 1, sorted(axes.get_ylim())),
        ):
            labels = axis.get_ticklabels()
            texts += [label for label in labels if low <= label.get_position()[place] <= high]
        texts += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
    boxes = [(t.get_text(), t.get_window_extent().padded(-1)) for t in texts if t.get_text()]
    return [(a, b) for (a, x), (b, y) in itertools.combinations(boxes, 2) if x.overlaps(y)]


def lines(axes: Axes, width: float) -> list[tuple[float, float]]:
    """Ends of the horizontal bars of one line width, from the top."""
    found = [line for line in axes.lines if line.get_linewidth() == width]
    spans = [np.asarray(line.get_xdata(), dtype=float) for line in found if line.get_ls() == "-"]
    return [(float(x[0]), float(x[1])) for x in spans]


def test_every_figure_has_a_caption_in_the_same_order() -> None:
    assert list(FIGURES) == list(CAPTIONS)


@pytest.mark.parametrize("stem", FIGURES)
def test_a_figure_is_saved_as_the_same_bytes_whatever_the_settings_around_it(
    full: Summary, stem: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{stem}{suffix}" for suffix in (".png", ".pdf")]
    save(drawn(stem, full), paths)
    first = [path.read_bytes() for path in paths]
    with rc_context(
        {"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 50, "image.cmap": "jet"}
    ):
        save(drawn(stem, full), paths)
    assert [path.read_bytes() for path in paths] == first
    assert not any(b"matplotlib" in data.lower() or b"CreationDate" in data for data in first)
    assert all(len(data) < 400_000 for data in first)


def test_no_text_of_odd_names_is_cut_at_the_edge_or_lies_on_another(make_grid: Any) -> None:
    arms, pairs = ("bce", *LONG), tuple(itertools.pairwise(("bce", *LONG)))
    folder = make_grid(arms=arms, contrasts=(*pairs, (LONG[1], LONG[2]), (LONG[2], LONG[1])),
                       seeds=6, images=6, gradient=arms, maps=True, histograms=True,
                       baseline=LONG[3], grid=f"grid {LONG[2]}")  # fmt: skip
    check_texts(summarise(load(folder)), missing=set())


@pytest.mark.parametrize("count", [2, 7, 15])
def test_grids_of_two_to_fifteen_arms_are_readable(make_grid: Any, count: int) -> None:
    arms = ("bce", *(f"arm_number_{i}" for i in range(count - 1)))
    contrasts = tuple((arm, "bce") for arm in arms[1:])
    absent = {(arms[-1], 0): "failed", (arms[-1], 1): "missing"} if count > 2 else None
    folder = make_grid(arms=arms, contrasts=contrasts, seeds=2, images=6, maps=True, absent=absent)
    check_texts(summarise(load(folder)), missing={"histograms"})


BARE: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one arm, one seed, one image": (
        {"arms": ("bce",), "seeds": 1, "images": 1, "maps": True},
        {"differences", "strata", "scatter", "histograms"},
    ),
    "identical arms": (
        {"noise": 0, "object_noise": 0, "seeds": 3, "margin": 0.0},
        {"strip", "histograms", "strata"},
    ),
    "twenty contrasts": (
        {
            "arms": tuple(f"a{i}" for i in range(21)),
            "contrasts": tuple((f"a{i + 1}", f"a{i}") for i in range(20)),
            "baseline": "a0",
            "images": 6,
            "seeds": 2,
        },
        {"strip", "histograms"},
    ),
    "no evidence": ({"test": False, "preset": "smoke", "seeds": 2}, {"strip", "histograms",
                    "strata"}),
    "a primary metric of whole runs": (
        {"primary": "F_max", "images": 8, "maps": True, "seeds": 2},
        {"scatter", "strata", "histograms"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BARE)
def test_what_cannot_be_drawn_is_left_out_and_the_rest_is_whole(make_grid: Any, name: str) -> None:
    settings, missing = BARE[name]
    check_texts(summarise(load(make_grid(**settings))), missing=missing)


def check_texts(summary: Summary, *, missing: set[str]) -> None:
    figures = {stem: draw(summary) for stem, draw in FIGURES.items()}
    assert {stem for stem, figure in figures.items() if figure is None} == missing
    for stem, figure in figures.items():
        if figure is not None:
            with style():
                figure.draw_without_rendering()
                assert (stem, outside(figure)) == (stem, [])
                assert (stem, overlapping(figure)) == (stem, [])
            assert figure.get_figwidth() <= TEXT_WIDTH


def test_the_difference_plot_names_contrasts_verdicts_and_p(full: Summary) -> None:
    text = words(drawn("differences", full))
    for part in ("bce\n− released", "better\np 0.0078", "worse\np", "margin ±0.005"):
        assert part in text


def test_the_difference_plot_of_no_evidence_gives_no_verdict(make_grid: Any) -> None:
    folder = make_grid(effects={"bce": 0.03}, test=False, preset="smoke", seeds=2)
    text = words(drawn("differences", summarise(load(folder))))
    assert "a check of the machinery, not evidence" in text
    assert "better" not in text.replace("better →", "")
    assert "no test" not in text


def test_the_difference_plot_says_what_is_missing(make_grid: Any) -> None:
    absent = {("mae", seed): "missing" for seed in range(8)}
    text = words(drawn("differences", summarise(load(make_grid(absent=absent)))))
    assert "unfinished: 8 of 32 runs missing" in text
    assert "no runs" in text


def test_the_difference_plot_draws_both_intervals_and_every_seed(full: Summary) -> None:
    axes = drawn("differences", full).axes[0]
    rows = full.primary
    assert lines(axes, 2.0) == [(r.difference.low, r.difference.high) for r in rows]
    new = [row.new_images for row in rows]
    assert lines(axes, 0.6)[-3:] == [(i.low, i.high) for i in new if i is not None]
    dots = [line.get_xdata() for line in axes.lines if line.get_markersize() == 2.2]
    assert [tuple(map(float, x)) for x in dots] == [row.values for row in rows]


def test_an_interval_much_wider_than_the_seeds_is_cut_with_an_arrow(make_grid: Any) -> None:
    axes = drawn("differences", summarise(load(make_grid(seeds=2)))).axes[0]
    low, high = axes.get_xlim()
    assert any(a < low and b > high for a, b in lines(axes, 2.0))  # t with one degree of freedom
    arrows = [line for line in axes.lines if line.get_marker() in ("<", ">")]
    assert {float(np.ravel(line.get_xdata())[0]) for line in arrows} == {low, high}


def test_learning_curves_are_means_over_seeds_and_bands_their_intervals(full: Summary) -> None:
    found = curves(full.results, "val_F_weighted")
    history = full.results.history
    own = history[(history["arm"] == "bce") & history["val_F_weighted"].notna()]
    values = own.pivot(index="step", columns="seed", values="val_F_weighted")
    assert found["bce"]["mean"].to_numpy() == pytest.approx(values.mean(axis=1).to_numpy())
    half = 2.3646243 * values.std(axis=1) / math.sqrt(8)  # t of seven degrees of freedom
    band = (found["bce"]["high"] - found["bce"]["low"]) / 2
    assert band.to_numpy() == pytest.approx(half.to_numpy(), rel=1e-6)
    upper = drawn("curves", full).axes[0]
    assert list(upper.lines[2].get_ydata()) == list(found["bce"]["mean"])


def test_a_curve_takes_no_mean_over_a_gap(full: Summary) -> None:
    results = load(full.results.folder)
    first = (results.history["arm"] == "mae") & (results.history["seed"] == 3)
    results.history.loc[first & (results.history["step"] == 9), "val_F_weighted"] = np.nan
    results.history.loc[first & (results.history["step"] == 19), "val_F_weighted"] = np.inf
    found = curves(results, "val_F_weighted")
    assert list(found["mae"].index) == [29, 39, 49, 59, 69, 79, 89, 99]
    assert list(found["bce"].index)[:2] == [9, 19]


def test_the_lower_curves_are_paired_differences_from_the_baseline(full: Summary) -> None:
    lower = drawn("curves", full).axes[1]
    history = full.results.history
    last = history[history["step"] == 99].pivot(index="seed", columns="arm",
                                                values="val_F_weighted")  # fmt: skip
    for line, arm in zip(lower.lines, full.grid.arms, strict=False):
        expected = float((last[arm] - last["bce"]).mean())
        assert float(np.asarray(line.get_ydata())[-1]) == pytest.approx(expected, abs=1e-12)
    assert words(drawn("curves", full)).count("released") == 1  # one name, at one line's end


def test_of_many_arms_those_of_no_contrast_are_grey(make_grid: Any) -> None:
    arms = ("bce", *(f"arm{i}" for i in range(9)))
    folder = make_grid(arms=arms, contrasts=(("arm0", "bce"),), seeds=2)
    upper = drawn("curves", summarise(load(folder))).axes[0]
    colours = [line.get_color() for line in upper.lines[: len(arms)]]
    assert colours.count(GREY) == 8
    assert GREY not in colours[:2]


def test_a_log_scale_is_taken_only_for_values_over_decades(full: Summary) -> None:
    results = load(full.results.folder)
    small = drawn("curves", summarise(results)).axes[2:]
    assert [axes.get_yscale() for axes in small] == ["linear"] * 3
    rows = results.history["arm"] == "mae"
    results.history.loc[rows, "grad_share"] /= 1000
    small = drawn("curves", summarise(results)).axes[2:]
    assert [axes.get_yscale() for axes in small] == ["linear", "log", "linear"]


def test_a_schedule_that_all_arms_share_is_one_line(full: Summary) -> None:
    assert len(drawn("curves", full).axes[-1].lines) == 1


def test_the_scatter_shows_each_image_over_the_seeds_that_both_arms_completed(
    make_grid: Any,
) -> None:
    summary = summarise(load(make_grid(images=9, seeds=3, absent={("mae", 1): "failed"})))
    table = summary.results.table
    kept = table[(table["metric"] == "F_weighted") & (table["seed"] != 1)]
    means = kept.groupby(["image", "arm"], observed=True)["value"].mean().unstack("arm")
    axes = drawn("scatter", summary).axes[2]  # mae - bce
    assert axes.get_title() == "mae − bce"
    dots = np.concatenate([line.get_xydata() for line in axes.lines if line.get_marker() in "v^o"])
    expected = np.stack([(means["mae"] + means["bce"]) / 2, means["mae"] - means["bce"]], axis=1)
    order = [np.lexsort(points.T) for points in (dots, expected)]
    assert dots[order[0]] == pytest.approx(expected[order[1]])


@pytest.mark.parametrize("metric", ["F_weighted", "MAE"])
def test_the_scatter_counts_the_images_on_which_an_arm_is_better(
    make_grid: Any, metric: str
) -> None:
    folder = make_grid(primary=metric, images=12, seeds=2, effects={"bce": 0.05}, object_noise=0)
    figure = drawn("scatter", summarise(load(folder)))
    released, bce, mae = (axes.texts[0].get_text() for axes in figure.axes)
    assert bce == "better on 100 % of 12"
    assert mae == "better on 0 % of 12"
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    assert released.endswith("of 12")


def test_images_equal_in_both_arms_count_half(make_grid: Any) -> None:
    folder = make_grid(noise=0, object_noise=0, seeds=2)
    assert "better on 50 % of 5" in words(drawn("scatter", summarise(load(folder))))


def test_the_strata_are_those_of_the_statistics(full: Summary) -> None:
    rows = [row for row in strata(full) if row.metric == "F_weighted" and row.by == "area"]
    axes = drawn("strata", full).axes[0]
    expected = {(row.difference.low, row.difference.high) for row in rows}
    assert set(lines(axes, 1.1)) == expected
    assert "small 0.042–0.17 (4 images)" in words(drawn("strata", full))


def test_the_strip_shows_worst_median_and_best_image_of_the_baseline(full: Summary) -> None:
    text = words(drawn("strip", full))
    scores = image_means(full.results, "F_weighted", "bce").loc[[f"00{i}.png" for i in range(5)]]
    for name, value in (("worst", scores.min()), ("median", scores.median()),
                        ("best", scores.max())):  # fmt: skip
        assert f"{name}\n{value:.3f}" in text
    for part in ("edge weight", "gradient label\nbce", "seed 0", *full.grid.arms):
        assert part in text


def test_the_strip_shows_the_label_of_the_arm_whose_label_differs_most(full: Summary) -> None:
    text = words(drawn("strip", full))
    assert "gradient label\nreleased" in text
    assert "gradient label\nmae" not in text


def test_the_strip_takes_the_first_seed_that_all_arms_completed(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=3, absent={("mae", 0): "failed", ("none", 1): "missing"})
    text = words(drawn("strip", summarise(load(folder))))
    assert "seed 2" in text
    assert "no run" not in text


def test_the_strip_leaves_a_gap_for_an_arm_without_runs_or_maps(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=1, absent={("mae", 0): "failed"})
    path = folder / "runs/0-0/gradient_maps.npz"
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files if not key.startswith("gradient")}
    np.savez(path, **kept)
    assert "no run" in words(drawn("strip", summarise(load(folder))))
    (folder / "runs/2-0/gradient_maps.npz").write_bytes(path.read_bytes())  # the baseline's
    assert "no map" in words(drawn("strip", summarise(load(folder))))


def test_maps_of_any_shape_are_drawn_and_large_ones_made_smaller(
    make_grid: Any, tmp_path: Path
) -> None:
    narrow = make_grid(maps=True, seeds=1, size=(20, 33))
    assert FIGURES["strip"](summarise(load(narrow))) is not None
    large = summarise(load(make_grid(maps=True, seeds=1, size=(600, 601), arms=("bce",))))
    paths = [tmp_path / "strip.png", tmp_path / "strip.pdf"]
    save(drawn("strip", large), paths)
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


def test_the_share_near_0_or_1_is_known_for_known_histograms() -> None:
    assert near_ends(np.ones(256)) == pytest.approx(0.1)
    binary, middle = np.zeros(256), np.zeros(256)
    binary[[0, -1]], middle[128] = (30, 70), 5
    assert near_ends(binary) == 1
    assert near_ends(middle) == 0


def test_a_model_without_gradient_branch_has_no_histogram(make_grid: Any) -> None:
    folder = make_grid(histograms=True, seeds=1)
    for path in folder.glob("runs/*/gradient_maps.npz"):
        with np.load(path) as file:
            kept = {key: file[key][:, :0] if "hist" in key else file[key] for key in file.files}
        np.savez(path, **kept)
    assert FIGURES["histograms"](summarise(load(folder))) is None


def test_outcomes_show_every_seed_and_a_dash_for_an_arm_without_the_value(full: Summary) -> None:
    figure = drawn("outcomes", full)
    steps, error, _ = figure.axes
    means = seed_means(full.results, "steps_90")
    dots = [line.get_xdata() for line in steps.lines if line.get_markersize() == 2.2]
    assert np.stack(dots) == pytest.approx(means.to_numpy().T)
    assert [text.get_text() for text in steps.texts] == []
    assert [text.get_text() for text in error.texts] == ["—"]  # none predicts no gradient
    pairs = [(row.mean.low, row.mean.high) for a in full.grid.arms
             if (row := full.arms[a, "G_MAE"]).mean.n]  # fmt: skip
    assert lines(error, 1.6) == pairs


@given(some.lists(some.floats(-1, 3), min_size=1, max_size=15))
def test_names_are_stacked_in_order_with_a_gap_and_inside_if_they_fit(wanted: list[float]) -> None:
    spots = stacked(wanted, 0.12, 0.0, 2.0)
    assert all(b - a >= 0.12 - 1e-9 for a, b in itertools.pairwise(sorted(spots)))
    assert [spots[i] for i in np.argsort(wanted, kind="stable")] == sorted(spots)
    assert min(spots) >= -1e-9
    assert max(spots) <= 2 + 1e-9


@pytest.mark.parametrize("name", [*LONG, "", "a"])
def test_a_name_is_cut_until_it_fits_its_place(name: str) -> None:
    assert text_width(fit(name, 0.5)) <= 0.5
    assert "\n" not in fit(name, 0.5)
    short = fit("bce_released", 2.0)
    assert short == "bce_released"


def test_a_new_figure_leaves_no_trace_in_pyplot() -> None:
    from matplotlib import pyplot

    new_figure(1, 1)
    assert pyplot.get_fignums() == []
