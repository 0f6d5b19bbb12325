"""The notebooks: stripped in git, and each runs as a user runs it and draws what it is about."""

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "analysis/notebooks").glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
Cells = list[Any]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel "python3" of the running interpreter, and a folder to run in."""
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    folder = tmp_path / "jupyter/kernels/python3"
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the project is not installed
    work = tmp_path / "work"
    work.mkdir()
    return work


def execute(name: str, work: Path, **settings: object) -> Cells:
    """Run a notebook in `work` with other values in its cell of settings; its code cells."""
    book = nbformat.read(ROOT / f"analysis/notebooks/{name}.ipynb", as_version=4)
    (cell,) = (cell for cell in book.cells if cell.id == "settings")
    given = {line.split(" = ")[0] for line in cell.source.splitlines() if " = " in line}
    assert set(settings) <= given
    cell.source += "".join(f"\n{key} = {value!r}" for key, value in settings.items())
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(work)}}).execute()
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(cells: Cells, mime: str) -> list[str]:
    """What the cells show in a format."""
    shown = [out for cell in cells for out in cell.outputs]
    return [out.data[mime] for out in shown if mime in out.get("data", {})]


def test_there_are_four_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "edge_weight_maps",
        "gradient_map_histograms",
        "read_a_grid",
        "your_own_loss",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_in_git_has_neither_outputs_nor_noise(path: Path) -> None:
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert raw["metadata"] == METADATA
    for cell in raw["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    book = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    nbformat.validate(book)
    assert nbformat.writes(book, indent=1) + "\n" == path.read_text(encoding="utf-8")


def test_edge_weight_maps_draws_maps_profiles_borders_sizes_and_schedules(kernel: Path) -> None:
    cells = execute("edge_weight_maps", kernel, SIZE=(96, 96), SIZES=(64, 128), IMAGES=2)
    assert len(outputs(cells, "image/png")) == 5
    assert "edge_share" in outputs(cells, "text/html")[0]


def test_gradient_map_histograms_draws_labels_and_a_runs_predictions(
    kernel: Path, small_grid: Path
) -> None:
    run = next((small_grid / "runs").glob("bce-*"))
    settings = {"SIZE": (64, 64), "IMAGES": 2, "RUN": str(run), "GRID": str(small_grid)}
    cells = execute("gradient_map_histograms", kernel, **settings)
    assert len(outputs(cells, "image/png")) == 5
    assert "bimodality" in outputs(cells, "text/html")[0]


def test_read_a_grid_shows_table_contrasts_and_figures(kernel: Path, small_grid: Path) -> None:
    cells = execute("read_a_grid", kernel, FOLDER=str(small_grid))
    table = outputs(cells, "text/markdown")[0]
    assert "`bce` − `bce_released`" in table
    assert len(outputs(cells, "image/png")) >= 3


def test_read_a_grid_takes_the_reference_results_where_no_folder_is_named(kernel: Path) -> None:
    cells = execute("read_a_grid", kernel)
    assert "| contrast |" in outputs(cells, "text/markdown")[0]
    assert len(outputs(cells, "image/png")) >= 5


def test_your_own_loss_breaks_laws_keeps_laws_and_trains(kernel: Path) -> None:
    cells = execute("your_own_loss", kernel, STEPS=2, CASES=5)
    said = "".join(out.text for cell in cells for out in cell.outputs if "text" in out)
    assert [f"law {n} (" in said for n in (2, 3, 10)] == [True] * 3
    assert "[]" in outputs(cells, "text/plain")
    assert "generalised_ce" in outputs(cells, "text/html")[0]
    assert len(outputs(cells, "image/png")) == 2
