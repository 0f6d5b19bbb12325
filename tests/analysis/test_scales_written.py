"""What is written of two scales: text, figure, a part of the page; and the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import report
from analysis import scales as beside
from analysis.figures import save
from analysis.figures.scales import both_scales
from analysis.load import load
from analysis.scales import answer, compare, notes
from analysis.summary import summarise

from .drawings import outside, overlapping, style, words
from .test_figures import LONG
from .test_page import Page
from .test_scales import ARMS, SPREAD, both

SCALES = [f"scales{suffix}" for suffix in (".md", ".png", ".pdf")]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other figures: what is written of two scales does not depend on them."""
    monkeypatch.setattr(report, "FIGURES", {})


@pytest.mark.usefixtures("bare")
def test_the_report_beside_a_small_run_writes_its_files_and_a_part_of_the_page(
    make_grid: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = (make_grid(seeds=2, images=1, preset=p) for p in ("laptop", "evening"))
    assert report.main([str(large), "--beside", str(small)]) == 0
    found = compare(summarise(load(small)), summarise(load(large)))
    assert f"beside preset laptop: {answer(found)}" in capsys.readouterr().out
    first = {name: (large / name).read_bytes() for name in (*SCALES, "report.html")}
    page = Page(first["report.html"].decode("utf-8"))
    assert page.open == []
    for part in ("Beside preset laptop", answer(found), *notes(found)):
        assert part in page.text
    assert {*SCALES} <= {*page.links}
    assert "analysis.report results/toy/evening --beside results/toy/laptop" in page.text
    report.write(large, small)
    assert {name: (large / name).read_bytes() for name in first} == first
    report.write(large)
    assert not any((large / name).exists() for name in SCALES)
    assert "Beside" not in (large / "report.html").read_text(encoding="utf-8")
    assert not any((small / name).exists() for name in SCALES)


def test_beside_is_refused_with_trace_and_plan(
    make_grid: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_grid(seeds=2))
    for other in (["--trace", "bce", "IoU"], ["--plan", "0.01"]):
        with pytest.raises(SystemExit, match="2"):
            report.main([folder, "--beside", folder, *other])
        assert "--beside is of the report" in capsys.readouterr().err
    assert report.main([folder, "--beside", folder]) == 2
    assert "compared with itself" in capsys.readouterr().err


def test_the_figure_shows_the_differences_of_the_statistics_at_both_scales(
    make_grid: Any,
) -> None:
    found = both(make_grid, ARMS, effects=SPREAD, seeds=3)
    figure = both_scales(found)
    axes = figure.axes[0]
    dots = [(float(line.get_xdata()[0]), float(line.get_ydata()[0]))  # type: ignore[index]
            for line in axes.lines if line.get_markersize() == 4.2]  # fmt: skip
    means = [scale.means - scale.means[found.arms.index("bce")] for scale in found.both]
    assert np.array(dots) == pytest.approx(np.stack(means, axis=1), abs=1e-12)
    assert axes.get_xlim() == axes.get_ylim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*ARMS]


def test_ranges_that_differ_much_have_limits_of_their_own(make_grid: Any) -> None:
    wide = {arm: 10 * effect for arm, effect in SPREAD.items()}
    small, large = (make_grid(effects=e, seeds=2, images=1) for e in (SPREAD, wide))
    axes = both_scales(compare(summarise(load(small)), summarise(load(large)))).axes[0]
    assert np.ptp(axes.get_ylim()) > 3 * np.ptp(axes.get_xlim())


CROWDED = ("bce", *(f"arm_number_{i}" for i in range(14)))


@pytest.mark.parametrize(
    ("arms", "noise"),
    [(ARMS[:3], 0.0), (("bce", *LONG), 0.0), (("bce", *LONG), 0.02), (CROWDED, 0.02)],
    ids=["few", "odd names, all the same", "odd names", "many"],
)
def test_no_name_in_the_figure_lies_on_another_or_over_the_edge(
    make_grid: Any, arms: tuple[str, ...], noise: float, tmp_path: Path
) -> None:
    absent = {(arms[1], 0): "failed"}
    found = both(make_grid, arms, noise=noise, seeds=3, absent=absent, grid=LONG[1])
    figure = both_scales(found)
    save(figure, [tmp_path / "scales.png"])
    with style():
        assert outside(figure) == []
        assert overlapping(figure) == []
    assert "1 of" in words(figure)


def test_odd_names_stay_text_in_the_table(make_grid: Any) -> None:
    found = both(make_grid, ("a|b", "*bold*", "<b>", "two\nlines"), seeds=2, contrasts=(),
                 baseline="<b>")  # fmt: skip
    lines = beside.markdown(found).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| arm |"))
    rows = [line.replace("\\|", "").split(" | ") for line in lines[first + 2 : first + 6]]
    assert [row[0] for row in rows] == [
        "| `ab`",
        "| `*bold*`",
        "| `<b>` (baseline)",
        "| `two lines`",
    ]
    assert {len(row) for row in rows} == {5}
    assert all("<b>" not in line.replace("`<b>`", "").replace("\\<b>", "") for line in lines)
