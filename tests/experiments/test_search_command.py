"""`--search`: a real search by the command, its list, mistakes, and its folder."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from optuna.trial import FixedTrial, TrialState

from analysis.load import load
from experiments import run as cli
from experiments.artifacts import FOLDER
from experiments.config import PROJECT, LossConfig  # noqa: F401  an arm is evaluated with it
from experiments.grid import Arm  # noqa: F401  likewise
from experiments.results import FINISHED
from experiments.search import plan as plans
from experiments.search import run as command
from experiments.search import search as searches
from experiments.search.study import Settings
from experiments.workers import supervise
from tests.experiments.parabola import plan_in


def test_a_look_at_a_search_that_was_never_run_makes_nothing(tmp_path) -> None:
    assert command._listed(plan_in(tmp_path)) == f"0 of 12 settings tried in {tmp_path}"
    assert not list(tmp_path.iterdir())


def test_the_list_does_not_show_a_setting_whose_worker_died_as_running(tmp_path) -> None:
    settings = Settings(plan_in(tmp_path))
    settings.begin("failed")
    first = settings.study.get_trials()[0]
    settings.storage.set_trial_state_values(first._trial_id, TrialState.RUNNING)
    assert command._listed(plan_in(tmp_path)).splitlines()[0].split()[:2] == ["0", "failed"]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two real settings of two seeds at the smallest scale, by the command."""
    folder = tmp_path_factory.mktemp("real")
    options = ["--search", "structure", "--preset", "smoke", "--trials", "2", "--out", str(folder)]
    command = [sys.executable, "experiments/run.py", *options, "--workers", "1"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_a_real_search_tells_its_best_setting_and_what_that_is_not(real) -> None:
    folder, done = real
    told = (folder / "search.md").read_text(encoding="utf-8")
    assert told in done.stdout
    assert "no result for a table" in told
    assert "2 of 2 settings tried: 2 complete, 0 given up early, 0 failed; 4 runs" in told
    assert "optuna-dashboard sqlite:///" in done.stdout
    found = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    best, search = found["best"][0], searches.find("structure")
    assert best["value"] == pytest.approx(fmean(best["seeds"].values()))
    arm = search.suggest(FixedTrial(best["knobs"]))
    line = best["arm"].rstrip(",")
    assert eval(f"{{{line}}}") == {f"structure_{best['setting']}": arm}


def test_a_real_search_reads_no_test_split_and_shows_a_preview(real) -> None:
    folder, _ = real
    runs = list((folder / "runs").iterdir())
    assert len(runs) == 4
    for run in runs:
        metrics = json.loads((run / FINISHED).read_text(encoding="utf-8"))
        assert metrics["validation"] > 0
        assert "test" not in metrics
        assert not (run / "per_image.parquet").exists()
    shown = [file.read_bytes() for file in (folder / FOLDER).iterdir()]
    assert len(shown) == 2
    assert all(image.startswith(b"\x89PNG") for image in shown)


def test_a_search_is_listed_and_its_folder_is_no_grids(real, capsys) -> None:
    folder, _ = real
    options = ["--search", "structure", "--preset", "smoke", "--trials", "3"]
    assert cli.main([*options, "--out", str(folder), "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["complete"] * 2
    assert "gamma=5" in lines[0]
    assert lines[-1].startswith("2 of 3 settings tried")
    assert cli.main([*options[:-1], "1", "--out", str(folder), "--list"]) == 0
    assert "2 of 2 settings tried" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"grid\.json not found"):
        load(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "structur"], "did you mean 'structure'"),
        (["--search", "structure", "--trials", "0"], "expected 1 or more"),
        (["--search", "structure", "--preset", "smok"], "did you mean 'smoke'"),
        (["--search", "structure", "--launcher", "slurm"], "--storage"),
        (["--search", "structure", "--set", "loss.gradient_weight=2"], "draws its losses"),
    ],
)
def test_a_mistake_in_a_search_is_named_with_its_fix(options, message, capsys) -> None:
    assert cli.main(options) == 2
    assert message in capsys.readouterr().err


def test_a_search_does_not_write_into_a_grids_folder(tmp_path, capsys) -> None:
    theirs = '{"grid": "structure", "preset": "smoke"}'
    (tmp_path / "grid.json").write_text(theirs, encoding="utf-8")
    options = ["--search", "structure", "--preset", "smoke", "--out", str(tmp_path)]
    assert cli.main(options) == 2
    assert "a folder of its own" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["grid.json"]


@pytest.mark.parametrize(
    ("content", "told"), [("{}", "holds search None/None"), ("{", "is no JSON")]
)
def test_a_folder_s_search_file_of_something_else_is_refused(
    content: str, told: str, tmp_path, capsys
) -> None:
    (tmp_path / "search.json").write_text(content, encoding="utf-8")
    options = ["--search", "structure", "--preset", "smoke", "--out", str(tmp_path), "--list"]
    assert cli.main(options) == 2
    assert told in capsys.readouterr().err


def test_a_preset_for_which_a_search_names_no_budget_takes_one(monkeypatch, capsys) -> None:
    other = replace(searches.find("structure"), trials={"laptop": 40})
    monkeypatch.setattr(plans, "find", lambda _: other)
    options = ["--search", "structure", "--preset", "smoke", "--list"]
    assert cli.main(options) == 2
    assert "names no budget for preset 'smoke' (for: laptop)" in capsys.readouterr().err
    assert cli.main([*options, "--trials", "2"]) == 0


def test_a_search_interrupted_at_once_keeps_its_folder_from_another_one(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(supervise, "run_workers", lambda *_, **__: 130)
    options = ["--preset", "smoke", "--trials", "1", "--out", str(tmp_path)]
    assert cli.main(["--search", "structure", *options]) == 130
    before = (tmp_path / "search.json").read_bytes()
    assert cli.main(["--search", "structure", *options]) == 130
    capsys.readouterr()
    assert cli.main(["--search", "pixel_mix", *options]) == 2
    assert "holds search structure/smoke" in capsys.readouterr().err
    assert (tmp_path / "search.json").read_bytes() == before
