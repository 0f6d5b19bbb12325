"""The report: every file is written, twice the same, and the command line says what it does."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis import figures, report, tables
from analysis.load import load
from analysis.summary import summarise
from analysis.verdict import conclusion

from .conftest import write_grid
from .drawings import OF_MASKS

TEXTS = ["table.md", "table.tex", "table.csv", "numbers.tex"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: Any) -> tuple[Path, list[Path]]:
    """A whole report, written once."""
    folder = write_grid(
        tmp_path_factory.mktemp("grid"), seeds=6, images=8, maps=True, histograms=True,
        gradient=("released", "bce", "mae"), effects={"bce": 0.03, "mae": 0.03},
    )  # fmt: skip
    return folder, report.write(folder)


def test_the_report_writes_texts_figures_and_page(written: tuple[Path, list[Path]]) -> None:
    folder, paths = written
    stems = [path.stem for path in paths if path.suffix == ".png"]
    pictures = [f"{stem}{suffix}" for stem in stems for suffix in (".png", ".pdf")]
    assert [path.name for path in paths] == [*TEXTS, *pictures, "report.html"]
    assert stems == [*OF_MASKS]
    assert all(path.stat().st_size for path in paths)
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_another_process_writes_the_same_bytes_without_torch_or_warnings(
    written: tuple[Path, list[Path]],
) -> None:
    folder, paths = written
    first = {path: path.read_bytes() for path in paths}
    code = (
        "import sys; from analysis.report import main\n"
        "sys.exit(main(sys.argv[1:]) or 'torch' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, text=True)
    assert done.stderr == ""
    assert {path: path.read_bytes() for path in first} == first


def test_figures_with_nothing_to_draw_are_left_out_and_their_old_files_removed(
    make_grid: Any,
) -> None:
    folder = make_grid(arms=("bce",), seeds=1, images=1)
    (folder / "strip.png").write_bytes(b"old")
    (folder / "differences.pdf").write_bytes(b"old")
    (folder / "mine.png").write_bytes(b"mine")
    names = {path.name for path in report.write(folder)}
    assert {*TEXTS, "report.html"} <= names
    assert not {"strip.png", "differences.pdf"} & names
    assert not (folder / "strip.png").exists()
    assert not (folder / "differences.pdf").exists()
    assert (folder / "mine.png").exists()


def test_a_report_that_fails_midway_leaves_old_files_whole_and_no_drafts(
    make_grid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_grid(seeds=2)
    stem = next(iter(figures.FIGURES))
    for name in (f"{stem}.png", f"{stem}.pdf", "table.md"):
        (folder / name).write_bytes(b"old")
    before = {path.name for path in folder.iterdir()}

    def save_half(_figure: object, paths: list[Path]) -> None:
        assert [path.suffix for path in paths] == [".png", ".pdf"]
        paths[0].write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(report, "save", save_half)
    with pytest.raises(OSError, match="disk full"):
        report.write(folder)
    assert {path.name for path in folder.iterdir()} == before | {*TEXTS}
    assert (folder / f"{stem}.png").read_bytes() == b"old"
    assert (folder / f"{stem}.pdf").read_bytes() == b"old"
    assert (folder / "table.md").read_bytes() != b"old"


def test_a_grids_folder_with_one_preset_stands_for_it(make_grid: Any) -> None:
    folder = make_grid(seeds=1)
    assert report.found(folder) == folder
    assert report.found(folder.parent) == folder
    make_grid(seeds=1)
    with pytest.raises(FileNotFoundError, match="grid 0, grid 1"):
        report.write(folder.parent)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures: the command line's words do not depend on them."""
    monkeypatch.setattr(report, "FIGURES", {})


@pytest.mark.usefixtures("bare")
def test_the_command_line_prints_arms_contrasts_conclusion_and_files(
    make_grid: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_grid(images=8, absent={("mae", 1): "missing"})
    assert report.main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "`bce` (baseline)" in printed
    assert conclusion(summarise(load(folder))) in printed
    assert printed.rstrip().endswith(str(folder / "report.html"))
    assert "table.tex" in printed
    assert "By size" in (folder / "table.md").read_text(encoding="utf-8")
    assert "By size" not in printed
    assert "\\[" not in printed


def test_what_is_essential_of_a_table_are_arms_and_contrasts(make_grid: Any) -> None:
    for images, guards in ((8, ["MAE"]), (2, [])):
        text = tables.markdown(summarise(load(make_grid(images=images, guards=guards))))
        short = report.essential(text)
        titles = re.findall(r"^## (\w+)", short, flags=re.MULTILINE)
        assert titles == ["Contrasts"]
        assert short.endswith("|\n")
        assert len(short) < len(text) / 2


@pytest.mark.usefixtures("bare")
def test_a_grid_that_runs_or_was_killed_is_reported_with_what_is_missing(
    make_grid: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_grid(absent={("mae", 1): "running"})
    content = json.loads((folder / "grid.json").read_text())
    for cell in content["cells"]:  # as it was written before the runs
        cell["state"] = "missing"
    (folder / "grid.json").write_text(json.dumps(content))
    assert report.main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "Unfinished: 1 of 32 runs are not here (missing: mae seed 1)" in printed
    assert "Provisional, with 1 of 32 runs missing" in printed


def test_a_reader_that_has_enough_ends_the_command_quietly(make_grid: Any) -> None:
    command = [sys.executable, "-m", "analysis.report", str(make_grid(arms=("bce",), seeds=1))]
    with subprocess.Popen(
        [*command, "--trace", "bce", "IoU"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.usefixtures("bare")
def test_trace_and_plan_are_printed_and_write_nothing(
    make_grid: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_grid(images=9)
    assert report.main([str(folder), "--trace", "mae", "F_weighted"]) == 0
    assert "mae-0" in capsys.readouterr().out
    small = ["--trace", "mae - bce", "F_weighted", "--stratum", "area:small"]
    assert report.main([str(folder), *small]) == 0
    assert "area small" in capsys.readouterr().out
    assert report.main([str(folder), "--plan", "0.01"]) == 0
    assert "0.01" in capsys.readouterr().out
    assert not (folder / "table.md").exists()


def test_mistakes_in_the_command_are_one_line_and_status_2(
    make_grid: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_grid(seeds=2)
    assert report.main([str(tmp_path / "nowhere")]) == 2
    assert "grid.json not found" in capsys.readouterr().err
    assert report.main([str(folder), "--trace", "may", "F_weighted"]) == 2
    assert "'mae'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        report.main([str(folder), "--stratum", "area:small"])
    assert "--trace" in capsys.readouterr().err
    (folder / "grid.json").write_text("{}", encoding="utf-8")
    assert report.main([str(folder)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    for effect in ("0", "-1", "much", "inf", "nan"):
        with pytest.raises(SystemExit) as left:
            report.main([str(folder), "--plan", effect])
        assert left.value.code == 2
        assert "above 0" in capsys.readouterr().err
