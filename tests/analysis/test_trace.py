"""A number traces to its runs: the values listed average to the table's cell."""

import json
import re
from statistics import fmean
from typing import Any

import pytest

from analysis.load import load
from analysis.sections import stratum_label
from analysis.spelling import number, places
from analysis.strata import strata
from analysis.summary import Summary, summarise
from analysis.trace import trace

from .conftest import write_grid


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    folder = tmp_path_factory.mktemp("planted")
    absent = {("mae", 2): "failed", ("bce", 5): "missing"}
    write_grid(folder, effects={"mae": -0.03}, absent=absent, gradient=("bce", "mae"))
    for file in folder.glob("runs/*/metrics.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"commit": "beef123"}))
    return summarise(load(folder))


def rows_of(text: str) -> list[list[str]]:
    """The lines that begin with a seed."""
    return [line.split() for line in text.splitlines() if re.match(r"\d", line)]


@pytest.mark.parametrize("metric", ["F_weighted", "MAE", "F_max", "steps_90", "G_corr"])
def test_the_values_of_an_arm_average_to_its_cell(planted: Summary, metric: str) -> None:
    text = trace(planted, "mae", metric)
    row, rows = planted.arms["mae", metric], rows_of(text)
    assert [int(cells[0]) for cells in rows] == [0, 1, 3, 4, 5, 6, 7]
    assert fmean(float(cells[1]) for cells in rows) == pytest.approx(row.mean.mean, rel=1e-9)
    cell = number(row.mean.mean, places(planted)[metric])
    assert f"in the table: {cell} ±" in text
    assert "no value of seeds 2" in text


def test_each_value_names_its_run_by_hash_commit_and_folder(planted: Summary) -> None:
    text = trace(planted, "bce", "F_weighted")
    for seed, _, key, commit, folder in rows_of(text):
        assert (key, commit) == (f"bce-{seed}", "beef123")
        assert (planted.results.folder / folder / "metrics.json").is_file()
    assert "c0de" * 10 in text
    assert "da7a" * 10 in text
    assert "torch 2.13.0" in text


@pytest.mark.parametrize("name", ["mae - bce", "mae − bce", "mae  −  bce"])
@pytest.mark.parametrize("metric", ["F_weighted", "MAE", "steps_90"])
def test_the_differences_of_a_contrast_average_to_its_cell(
    planted: Summary, name: str, metric: str
) -> None:
    row = next(r for r in planted.contrasts[metric] if str(r.contrast) == "mae − bce")
    rows = rows_of(trace(planted, name, metric))
    assert [int(cells[0]) for cells in rows] == [0, 1, 3, 4, 6, 7]
    for seed, difference, one, other, *runs in rows:
        assert float(difference) == pytest.approx(float(one) - float(other), abs=1e-8)
        assert runs[:3] == [f"mae-{seed}", "beef123", f"runs/3-{seed}"]
        assert runs[3:] == [f"bce-{seed}", "beef123", f"runs/2-{seed}"]
    mean = fmean(float(cells[1]) for cells in rows)
    assert mean == pytest.approx(row.difference.mean, rel=1e-8)


@pytest.mark.parametrize(
    ("arm", "metric", "message"),
    [
        ("bec", "MAE", r"no arm or contrast 'bec' \(did you mean 'bce'\?\)"),
        ("mae - none", "MAE", r"no arm or contrast 'mae - none' \(did you mean 'mae - bce'\?\)"),
        ("bce", "F_weigthed", r"no metric 'F_weigthed' \(did you mean 'F_weighted'\?\)"),
        ("", "MAE", r"no arm or contrast '' \(known: none, released, bce, mae, "),
    ],
)
def test_an_unknown_arm_contrast_or_metric_names_the_nearest(
    planted: Summary, arm: str, metric: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trace(planted, arm, metric)


def test_a_metric_that_an_arm_lacks_traces_to_no_run(planted: Summary) -> None:
    text = trace(planted, "none", "G_corr")
    assert rows_of(text) == []
    assert "no run; in the table: —; no value of seeds 0–7" in text
    contrast = trace(planted, "released - none", "G_corr")
    assert rows_of(contrast) == []
    assert "no run; in the table: —\n" in contrast


def test_a_difference_on_one_size_of_object_traces_to_the_runs_on_those_images(
    make_grid: Any,
) -> None:
    summary = summarise(load(make_grid(images=12, absent={("mae", 2): "failed"})))
    found = [row for row in strata(summary) if str(row.contrast) == "mae − bce"]
    assert {row.by for row in found} == {"area", "outline", "components"}
    for row in found:
        text = trace(summary, "mae - bce", row.metric, stratum=f"{row.by}:{row.name}")
        values = [float(cells[1]) for cells in rows_of(text)]
        assert len(values) == row.difference.n == 7
        assert fmean(values) == pytest.approx(row.difference.mean, rel=1e-7)
        assert stratum_label(row) in text


def test_an_unknown_size_of_object_or_an_arm_alone_is_refused(make_grid: Any) -> None:
    summary = summarise(load(make_grid(images=12, seeds=2)))
    with pytest.raises(ValueError, match=r"no stratum 'area:smal' .*mean 'area:small'"):
        trace(summary, "mae - bce", "MAE", stratum="area:smal")
    with pytest.raises(ValueError, match=r"no contrast 'mae'"):
        trace(summary, "mae", "MAE", stratum="area:small")


def test_one_seed_has_a_value_and_no_dash_for_its_interval(make_grid: Any) -> None:
    text = trace(summarise(load(make_grid(seeds=1))), "mae - bce", "MAE")
    assert re.search(r"in the table: [+−]?[\d.]+\n", text)


@pytest.mark.parametrize("variant", ["plain", "published"])
def test_the_variant_stands_before_the_definition(make_grid: Any, variant: str) -> None:
    first, second, *_ = trace(
        summarise(load(make_grid(seeds=2, variant=variant))), "bce", "MAE"
    ).splitlines()
    assert first.startswith(f"Metrics, {variant} variant: ")
    assert ("otherwise as in the plain variant" in first) == (variant == "published")
    assert second.startswith("bce by MAE: mean absolute error")


def test_an_arm_with_spaces_and_bars_is_found(make_grid: Any) -> None:
    name = "a - b | c"
    folder = make_grid(arms=("bce", name), contrasts=((name, "bce"),), seeds=2)
    summary = summarise(load(folder))
    assert len(rows_of(trace(summary, name, "MAE"))) == 2
    assert "\na - b | c − bce by MAE" in trace(summary, f"{name} - bce", "MAE")
