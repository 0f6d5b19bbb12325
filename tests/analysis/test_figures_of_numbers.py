"""The plots: what is drawn is what the statistics say."""

import math
from typing import Any

import numpy as np
import pytest

from analysis.figures.curves import curves
from analysis.figures.style import GREY
from analysis.load import load, seed_means
from analysis.strata import strata
from analysis.summary import Summary, summarise

from .drawings import drawn, lines, outside, words


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


def test_arms_with_different_seeds_have_their_number_beside_the_name(
    make_grid: Any, full: Summary
) -> None:
    summary = summarise(load(make_grid(absent={("mae", 0): "failed"}, seeds=3)))
    for stem in ("curves", "outcomes"):
        assert all(name in words(drawn(stem, summary)) for name in ("mae (n 2)", "bce (n 3)"))
        assert "(n " not in words(drawn(stem, full))


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
    assert list(found["mae"].index) == [30, 40, 50, 60, 70, 80, 90, 100]
    assert list(found["bce"].index)[:2] == [10, 20]


def test_the_lower_curves_are_paired_differences_from_the_baseline(full: Summary) -> None:
    lower = drawn("curves", full).axes[1]
    history = full.results.history
    last = history[history["step"] == 99].pivot(index="seed", columns="arm",
                                                values="val_F_weighted")  # fmt: skip
    for line, arm in zip(lower.lines, full.grid.arms, strict=False):
        expected = float((last[arm] - last["bce"]).mean())
        assert float(np.asarray(line.get_ydata())[-1]) == pytest.approx(expected, abs=1e-12)
    assert words(drawn("curves", full)).count("released") == 1  # one name, at one line's end


def test_tiny_differences_leave_their_axis_its_name(full: Summary) -> None:
    results = load(full.results.folder)
    column = results.history["val_F_weighted"]
    results.history["val_F_weighted"] = 0.5 + (column - column.mean()) / 500
    figure = drawn("curves", summarise(results))
    figure.draw_without_rendering()
    assert outside(figure) == []


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


def test_images_equal_in_both_arms_are_told(make_grid: Any) -> None:
    folder = make_grid(noise=0, object_noise=0, seeds=2)
    assert "better 0 %, equal 100 %, worse 0 %" in words(drawn("scatter", summarise(load(folder))))


def test_the_strata_are_those_of_the_statistics(full: Summary) -> None:
    rows = [row for row in strata(full) if row.metric == "F_weighted" and row.by == "area"]
    axes = drawn("strata", full).axes[0]
    expected = {(row.difference.low, row.difference.high) for row in rows}
    assert set(lines(axes, 1.1)) == expected
    assert "small, 4.17–16.7 % (4 images)" in words(drawn("strata", full))


def test_excess_bce_is_dashed_for_arms_whose_label_differs(full: Summary) -> None:
    axes = next(a for a in drawn("curves", full).axes if "excess" in a.get_title(loc="left"))
    assert axes.get_title(loc="left") == "excess BCE, own label"
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-", "-"]
    assert full.grid.arms[1] == "released"


def test_outcomes_show_every_seed_and_say_which_arm_predicts_no_gradient(full: Summary) -> None:
    figure = drawn("outcomes", full)
    steps, error, _ = figure.axes
    means = seed_means(full.results, "steps_90")
    dots = [line.get_xdata() for line in steps.lines if line.get_markersize() == 2.2]
    assert np.stack(dots) == pytest.approx(means.to_numpy().T)
    assert [text.get_text() for text in steps.texts] == []
    assert [text.get_text() for text in error.texts] == ["no prediction"]  # none
    assert error.texts[0].get_color() == GREY
    pairs = [(row.mean.low, row.mean.high) for a in full.grid.arms
             if (row := full.arms[a, "G_MAE"]).mean.n]  # fmt: skip
    assert lines(error, 1.6) == pairs
