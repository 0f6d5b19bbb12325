"""The report: every file is written, twice the same, and the pictures show what is there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures import differences, style
from analysis.load import load
from analysis.report import main, write
from analysis.strip import strip
from analysis.summary import summarise

NAMES = ["table.md", "table.tex", "table.csv", "differences.png", "differences.pdf", "strip.png",
         "strip.pdf"]  # fmt: skip


def words(figure: Figure | None) -> str:
    """All text of a figure."""
    assert figure is not None
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_yticklabels()]
    return "\n".join(found)


def outside(figure: Figure) -> list[str]:
    """Texts that reach over the edge of the picture."""
    figure.draw_without_rendering()
    texts = [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]
    texts += [label for axes in figure.axes for label in axes.get_yticklabels()]
    box = figure.bbox
    spans = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [
        name
        for name, s in spans
        if s.x0 < box.x0 or s.y0 < box.y0 or s.x1 > box.x1 or s.y1 > box.y1
    ]


def test_the_report_writes_its_files_and_a_second_run_the_same_bytes(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=6)
    paths = write(folder)
    assert [path.name for path in paths] == NAMES
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write(str(folder))] == first


def test_another_process_writes_the_same_bytes(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=2)
    first = {path: path.read_bytes() for path in write(folder)}
    command = [sys.executable, "-m", "analysis.report", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert {path: path.read_bytes() for path in first} == first


def test_the_analysis_imports_no_torch() -> None:
    code = "import sys, analysis.report; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_difference_plot_names_contrasts_verdicts_and_p(make_grid: Any) -> None:
    folder = make_grid(effects={"bce": 0.03, "mae": 0.03})
    text = words(differences(summarise(load(folder))))
    for part in ("bce\n− released", "better\np 0.0078", "equivalent", "margin ±0.005"):
        assert part in text


def test_the_difference_plot_of_no_evidence_gives_no_verdict(make_grid: Any) -> None:
    folder = make_grid(effects={"bce": 0.03}, test=False, preset="smoke", seeds=2)
    text = words(differences(summarise(load(folder))))
    assert "a check of the machinery, not evidence" in text
    assert "better" not in text.replace("better →", "")
    assert "no test" not in text


def test_the_difference_plot_says_what_is_missing(make_grid: Any) -> None:
    absent = {("mae", seed): "missing" for seed in range(8)}
    text = words(differences(summarise(load(make_grid(absent=absent)))))
    assert "unfinished: 8 of 32 runs missing" in text
    assert "no runs" in text


@pytest.mark.parametrize("name", ["mae", "region_adaptive", "x" * 60, "模型 $a_{b}$", "cost_$5"])
def test_no_text_of_a_figure_is_cut_at_its_edge(make_grid: Any, name: str) -> None:
    arms, contrasts = ("none", "bce", name), (("bce", "none"), (name, "bce"), ("none", name))
    folder = make_grid(arms=arms, contrasts=contrasts, maps=True, seeds=6)
    write(folder)
    summary = summarise(load(folder))
    for figure in (differences(summary), strip(summary)):
        assert figure is not None
        with style():
            assert outside(figure) == []


def test_the_strip_shows_worst_median_and_best_image_of_the_baseline(make_grid: Any) -> None:
    text = words(strip(summarise(load(make_grid(maps=True, seeds=2)))))
    for part in ("worst\n", "median\n", "best\n", "edge weight", "gradient label\nbce"):
        assert part in text
    assert "seed 0" in text
    for arm in ("none", "released", "bce", "mae"):
        assert f"prediction\n{arm}" in text


def test_the_strip_shows_the_label_of_the_arm_whose_label_differs_most(make_grid: Any) -> None:
    text = words(strip(summarise(load(make_grid(maps=True, seeds=2)))))
    assert "gradient label\nreleased" in text
    assert "gradient label\nmae" not in text


def test_the_strip_takes_the_first_seed_that_all_arms_completed(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=3, absent={("mae", 0): "failed", ("none", 1): "missing"})
    text = words(strip(summarise(load(folder))))
    assert "seed 2" in text
    assert "no run" not in text


def test_the_strip_leaves_a_gap_for_an_arm_without_runs_or_maps(make_grid: Any) -> None:
    folder = make_grid(maps=True, seeds=1, absent={("mae", 0): "failed"})
    path = folder / "runs/0-0/gradient_maps.npz"
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files if not key.startswith("gradient")}
    np.savez(path, **kept)
    assert "no run" in words(strip(summarise(load(folder))))
    edit = folder / "runs/2-0/gradient_maps.npz"  # the baseline's
    edit.write_bytes(path.read_bytes())
    assert "no map" in words(strip(summarise(load(folder))))


def test_without_kept_maps_or_contrasts_the_tables_are_written_and_old_pictures_removed(
    make_grid: Any,
) -> None:
    folder = make_grid(arms=("bce",), seeds=2)
    (folder / "strip.png").write_bytes(b"old")
    assert [path.name for path in write(folder)] == NAMES[:3]
    assert not (folder / "strip.png").exists()


def test_maps_of_any_shape_are_drawn_and_large_ones_made_smaller(make_grid: Any) -> None:
    write(make_grid(maps=True, seeds=1, size=(20, 33)))
    large = make_grid(maps=True, seeds=1, size=(600, 601), arms=("bce",))
    write(large)
    assert (large / "strip.pdf").stat().st_size < 3_000_000


def test_the_command_line_prints_the_table_and_the_files(
    make_grid: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_grid(seeds=2, absent={("mae", 1): "missing"})
    assert main([str(folder)]) == 0
    printed = capsys.readouterr()
    assert "| `bce` (baseline) |" in printed.out
    assert str(folder / "table.tex") in printed.out
    assert "unfinished: 1 run missing" in printed.err
