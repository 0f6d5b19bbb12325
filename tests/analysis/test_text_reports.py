"""A grid of text detection has the whole report, though its primary metric is made of counts."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import latex, page, tables
from analysis.figures.strata import by_kind as drawn_strata
from analysis.load import image_means, load, seed_means
from analysis.notes import footnotes
from analysis.numbers import numbers_tex
from analysis.plan import plan
from analysis.report import FILES
from analysis.strata import strata, told
from analysis.summary import Summary, summarise
from analysis.trace import trace
from analysis.verdict import conclusion
from analysis.wording import WORDING

from .tabled import lines_of, rows_of
from .text_grid import write_text_grid


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text")
    return write_text_grid(path, effects={"dice": 0.2}, images=24)


@pytest.fixture(scope="module")
def planted(folder: Path) -> Summary:
    return summarise(load(folder))


def counts(folder: Path, run: str) -> pd.DataFrame:
    table = pd.read_parquet(folder / "runs" / run / "per_image.parquet")
    return table.pivot(index="image", columns="metric", values="value")


def test_the_primary_metric_is_made_again_from_the_counts_of_the_images(
    folder: Path, planted: Summary
) -> None:
    images = counts(folder, "1-3")
    known = 2 * images["matched"].sum() / (images["detections"] + images["words"]).sum()
    assert seed_means(planted.results, "H_mean").loc[3, "dice"] == pytest.approx(known, abs=1e-12)
    means = [row.difference.mean for row in planted.primary]
    assert planted.arms["dice", "H_mean"].mean.mean > planted.arms["bce", "H_mean"].mean.mean
    assert planted.primary[0].judged == "better"
    assert means[0] == pytest.approx(fmean(planted.primary[0].values))


def test_counts_are_no_metrics_of_a_table(planted: Summary) -> None:
    assert planted.results.image_metrics == ["H_image"]
    assert set(planted.metrics) == {
        "H_mean", "P_textfree", "precision", "recall", "H_published", "H_image", "steps_90"
    }  # fmt: skip
    assert planted.shown == ("H_mean", "P_textfree", "precision", "recall", "H_published")


@pytest.mark.parametrize("metric", ["H_mean", "precision", "recall", "P_textfree"])
def test_a_number_that_the_counts_do_not_make_is_refused_by_name(
    tmp_path: Path, metric: str
) -> None:
    write_text_grid(tmp_path, seeds=2)
    path = tmp_path / "runs/1-0/metrics.json"
    content = json.loads(path.read_text())
    content["test"][metric] += 1e-6
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"1-0.metrics.json says {metric} = .*make .*; delete"):
        load(tmp_path)
    del content["test"][metric]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"says {metric} = None"):
        load(tmp_path)


def test_runs_of_text_without_counts_and_unknown_tasks_are_refused(tmp_path: Path) -> None:
    write_text_grid(tmp_path, seeds=2)
    path = tmp_path / "runs/1-0/per_image.parquet"
    table = pd.read_parquet(path)
    table[table["metric"] != "words"].to_parquet(path)
    with pytest.raises(
        ValueError, match=r"per_image.parquet lacks words, of which H_mean is made"
    ):
        load(tmp_path)
    grid = json.loads((tmp_path / "grid.json").read_text())
    (tmp_path / "grid.json").write_text(json.dumps(grid | {"task": "txt"}))
    with pytest.raises(ValueError, match="task is 'txt', expected masks or text"):
        load(tmp_path)


def test_runs_that_make_boxes_in_other_ways_make_no_table(tmp_path: Path) -> None:
    write_text_grid(tmp_path, seeds=2)
    path = tmp_path / "runs/1-0/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"boxes": {"form": "polygon"}}))
    with pytest.raises(ValueError, match=r"dice/0 has boxes.form = 'polygon'"):
        load(tmp_path)


def test_a_test_set_without_text_free_images_has_no_row_of_them(tmp_path: Path) -> None:
    folder = write_text_grid(tmp_path, words=(1, 2, 7), guards=["precision"], seeds=2)
    summary = summarise(load(folder))
    assert "P_textfree" not in summary.metrics
    assert "no word" not in tables.markdown(summary)


def test_the_crossed_interval_is_of_photographs_around_the_pooled_difference(
    planted: Summary,
) -> None:
    for metric in ("H_mean", "precision", "recall", "P_textfree"):
        for row in planted.contrasts[metric]:
            assert row.new_images is not None
            assert row.new_images.mean == pytest.approx(row.difference.mean, abs=1e-12)
            assert row.new_images.half >= row.difference.half - 1e-12
    assert all(row.new_images is None for row in planted.contrasts["H_published"])


def test_strata_are_pooled_and_images_without_a_word_have_p_textfree(
    folder: Path, planted: Summary
) -> None:
    rows = {(r.by, r.name, r.metric): r for r in told(planted) if r.contrast.arm == "dice"}
    assert [*rows] == [
        *(("size", name, "H_mean") for name in ("small", "middle", "large")),
        *(("words", name, "H_mean") for name in ("1", "2-5", "6 and more")),
    ]
    differences = []
    for seed in planted.grid.seeds:
        ratios = []
        for place in (1, 0):
            images = counts(folder, f"{place}-{seed}")
            few = images[images["words"].between(2, 5)]
            ratios.append(2 * few["matched"].sum() / (few["detections"] + few["words"]).sum())
        differences.append(ratios[0] - ratios[1])
    found = rows["words", "2-5", "H_mean"].difference
    assert found.mean == pytest.approx(fmean(differences), abs=1e-12)
    assert found.n == len(planted.grid.seeds)
    sizes = {name: r.images for (by, name, _), r in rows.items() if by == "size"}
    assert sum(sizes.values()) == (planted.results.images["components"] > 0).sum()
    free = next(row for row in strata(planted) if row.name == "0")
    assert (free.by, free.metric) == ("words", "P_textfree")
    assert free.difference.mean == planted.contrasts["P_textfree"][0].difference.mean


def test_the_table_says_what_each_column_of_a_stratum_is(planted: Summary) -> None:
    text = tables.markdown(planted)
    header = lines_of(text, "## By size and number of words: H_mean")[0]
    assert header.startswith("| contrast, by size | small, 1–")
    groups = "1 (4 images) | 2–5 (12 images) | 6 and more (4 images) |"
    assert f"| contrast, by words | {groups}" in text
    assert latex.latex(planted).count("contrast, by words") == 1
    assert "24 test images of 12 photographs" in text


def test_terciles_and_groups_are_of_the_images_that_have_words(tmp_path: Path) -> None:
    few = summarise(load(write_text_grid(tmp_path / "few", words=(0, 0, 2), seeds=2)))
    assert (few.results.images["components"] > 0).sum() == 5
    assert {row.by for row in strata(few)} == {"words"}  # P_textfree of those without
    assert told(few) == ()  # all words are in one group
    assert "number of words" not in tables.markdown(few)
    assert drawn_strata(few) is None
    more = summarise(load(write_text_grid(tmp_path / "more", words=(0, 1, 2), seeds=2)))
    assert {row.by for row in told(more)} == {"size", "words"}


def test_a_report_of_words_does_not_speak_of_objects_or_masks(planted: Summary) -> None:
    html = page.render(planted, {}, FILES)
    said = " ".join(footnotes(planted)) + html.partition("</style>")[2] + latex.latex(planted)
    said = said.replace("Satterthwaite", "").replace(WORDING["text"].share, "")
    for word in ("object", "mask", "alpha", "gradient"):
        assert word not in said.lower(), word
    assert "photograph" in said


def test_every_form_of_the_table_holds_the_pooled_metrics(planted: Summary) -> None:
    rows = {(r["kind"], r["arm"], r["metric"]): r for r in rows_of(planted)}
    assert rows["contrast", "dice", "H_mean"]["role"] == "primary"
    assert rows["contrast", "dice", "H_mean"]["p_adjusted"]
    assert rows["contrast", "dice", "H_mean"]["new_low"]
    assert rows["stratum", "dice", "P_textfree"]["stratum"] == "0"
    macros = numbers_tex(planted)
    for name in ("DbLaptopDiceMean", "DbLaptopDiceVsBceDiff", "DbLaptopDiceVsBceWordsTwoFiveLow",
                 "DbLaptopDiceVsBcePTextfreeWordsZeroDiff"):  # fmt: skip
        assert rf"\newcommand{{\{name}}}" in macros
    text = latex.latex(planted)
    assert text.isascii()
    assert r"$P_{\mathrm{textfree}}$" in text
    assert len(plan(planted, 0.01)) == 2


def test_a_number_traces_to_the_counts_and_thresholds_of_its_runs(planted: Summary) -> None:
    lines = trace(planted, "dice", "H_mean").splitlines()
    head = next(line for line in lines if line.startswith("seed")).split()
    assert head == ["seed", "value", "matched/detections/words", "cut", "least_score", "hash",
                    "commit", "folder"]  # fmt: skip
    rows = [line.split() for line in lines if line[:1].isdigit()]
    for _, value, made, cut, least, *_ in rows:
        matched, detections, words = map(int, made.split("/"))
        assert float(value) == pytest.approx(2 * matched / (detections + words))
        assert (cut, least) == ("0.3", "0.55")
    assert fmean(float(row[1]) for row in rows) == pytest.approx(
        planted.arms["dice", "H_mean"].mean.mean
    )
    part = trace(planted, "dice - bce", "P_textfree", stratum="words:0")
    assert "dice − bce by P_textfree, no word (4 images): share of" in part
    with pytest.raises(ValueError, match=r"no stratum 'words:0' of H_mean: it has P_textfree"):
        trace(planted, "dice - bce", "H_mean", stratum="words:0")
    row = next(line for line in part.splitlines() if line.startswith("0")).split()
    ratios = [np.divide(*map(int, cell.split("/"))) for cell in (row[4], row[10])]
    assert [float(row[2]), float(row[3])] == pytest.approx(ratios)
    assert "/" not in trace(planted, "dice", "H_published").split("seed")[1].split("runs")[0]


def test_images_are_ranked_by_their_own_h_mean(planted: Summary) -> None:
    assert planted.results.ranking == "H_image"
    assert len(image_means(planted.results, "H_image", "bce")) == 24


@pytest.mark.parametrize(
    "settings",
    [
        {"seeds": 1, "images": 1, "words": (3,), "guards": []},
        {"absent": {("dice", 0): "failed", ("focal", 1): "missing"}},
        {"seeds": 2, "test": False, "preset": "smoke"},
        {"primary": "H_image", "guards": ["H_mean"]},
        {"arms": ("bce",), "contrasts": ()},
    ],
    ids=str,
)
def test_any_grid_of_words_has_tables_and_a_page(tmp_path: Path, settings: Any) -> None:
    summary = summarise(load(write_text_grid(tmp_path, **settings)))
    assert "nan" not in tables.markdown(summary)
    assert "nan" not in page.render(summary, {}, FILES).partition("</style>")[2]
    assert conclusion(summary)
