"""The command line, as a newcomer uses it: the smoke grid, its list, second runs, the help."""

import doctest
import importlib
import shlex
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from analysis import report
from experiments import errors
from experiments import grid as grids
from experiments import run as cli
from experiments.cli import estimate, values
from experiments.cli import job as job_module
from experiments.cli import options as options_module
from experiments.cli.listing import listing
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.ledger.attempts import CellState
from experiments.ledger.ledger import Ledger
from experiments.search import search
from experiments.workers import worker
from tests.experiments.commands import ROOT, SMOKE, job_of


def test_the_smoke_grid_runs_and_its_table_prints_no_test(smoke) -> None:
    folder, done = smoke
    assert done.returncode == 0, done.stdout + done.stderr
    table = (folder / "table.md").read_text(encoding="utf-8")
    for arm in grids.find("grad_loss").arms:
        assert arm in table
    assert report.essential(table) in done.stdout
    assert f"the whole report: {folder / 'report.html'}\n" in done.stdout
    assert "not evidence" in table
    assert not any(word in table for word in ("adjusted", "| verdict", "undecided"))
    for name in ("table.tex", "table.csv", "numbers.tex", "differences.png", "strip.png"):
        assert (folder / name).stat().st_size > 200


def test_a_second_command_trains_nothing_and_writes_the_same_table(smoke, capsys) -> None:
    folder, _ = smoke
    before = {file: file.stat().st_mtime_ns for file in folder.glob("runs/*/*")}
    table = (folder / "table.md").read_bytes()
    assert cli.main([*SMOKE, "--out", str(folder)]) == 0
    assert "14 cells, 14 complete; nothing to run\n" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in folder.glob("runs/*/*")} == before
    assert (folder / "table.md").read_bytes() == table


def test_the_page_gives_the_command_that_names_the_same_cells(smoke) -> None:
    folder, _ = smoke
    html = (folder / "report.html").read_text(encoding="utf-8")
    out = shlex.quote(str(folder))
    assert f"python experiments/run.py --grid grad_loss --preset smoke --out {out}\n" in html
    assert f"python -m analysis.report {out}<" in html


@pytest.mark.parametrize(
    "more",
    [
        ["--data", "thin3d", "--deterministic"],
        ["--loss", "focal", "--loss", "tversky", "--set", "train.lr=1e-3", "--set", "seeds=3"],
        ["--data", "thin3d", "--arm", "bce", "--workers", "2", "--set", "data.size=96,96"],
        ["--out", "results/of mine"],
    ],
)
def test_a_job_s_command_names_its_cells_and_folder_and_nothing_of_this_machine(
    more: list[str],
) -> None:
    job = job_of(*SMOKE, *more)
    program, script, *words = shlex.split(job.command)
    assert (program, script) == ("python", "experiments/run.py")
    again = job_of(*words)
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in job.cells]
    assert (again.study, again.command) == (job.study, job.command)
    assert again.folder == job.folder
    assert not {"--arm", "--workers"} & {*words}


def test_a_report_that_fails_is_no_failed_run(tmp_path, monkeypatch, capsys) -> None:
    job = replace(job_of(*SMOKE), folder=tmp_path / "some where")
    done = {cell.hash: CellState(cell.arm, cell.seed, cell.hash, "complete") for cell in job.cells}
    ledger = SimpleNamespace(states=lambda _: done, dashboard="optuna-dashboard")
    for error in (ValueError("two codes"), RuntimeError("no font")):
        monkeypatch.setattr(report, "report", Mock(side_effect=error))
        assert cli.conclude(job, ledger) == 3
        told = capsys.readouterr()
        assert "the runs are kept, but their report failed" in told.err
        assert f"{type(error).__name__}: {error}" in told.err
        assert f"python -m analysis.report '{job.folder}'" in told.err
        assert "not complete" not in told.out


def test_the_list_shows_every_cell_with_its_state(smoke, capsys) -> None:
    folder, _ = smoke
    assert cli.main([*SMOKE, "--out", str(folder), "--list"]) == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["arm", "seed", "state", "hash", "seconds"]
    assert [row.split()[2] for row in rows] == ["complete"] * 14
    assert {row.split()[3] for row in rows} == {c.hash for c in job_of(*SMOKE).cells}
    assert all(float(row.split()[4]) > 0 for row in rows)
    assert max(map(len, rows)) <= 100
    assert "14 of 14 cells complete" in last


def test_the_list_tells_what_an_earlier_definition_completed(smoke) -> None:
    folder, _ = smoke
    other = job_of(*SMOKE, "--set", "train.lr=2e-3")
    rows = listing(replace(other, preset_name="smoke", folder=folder)).splitlines()
    assert sum("superseded" in row for row in rows) == 14 + 1
    assert rows[-2].startswith("0 of 14 cells complete")


def test_other_data_take_all_there_is_and_a_study_of_their_own() -> None:
    job = job_of("--grid", "grad_loss", "--data", "thin3d", "--arm", "none")
    assert job.folder.name == "laptop-thin3d"
    assert job.study == "grad_loss/laptop-thin3d"
    assert {cell.arm for cell in job.chosen} == {"none"}
    assert len(job.cells) == 56
    assert job_of("--grid", "grad_loss", "--data", "embedded").study == "grad_loss/laptop"
    back = grids.find_preset(job.grid, "bench", "embedded")
    assert back.data.counts.train > 0


def test_a_failed_cell_is_reported_and_the_grid_goes_on(tmp_path, monkeypatch, capsys) -> None:
    options = [*SMOKE, "--out", str(tmp_path), "--arm", "mae"]
    job = job_of(*options)
    ledger = Ledger(job.folder, job.study)
    ledger.enqueue(job.chosen)

    def fails_for_seed_0(config, folder, *_args, **_more):
        if config.seed == 0:
            raise UserError("loss is not finite\nat step 2")
        folder.mkdir(parents=True)
        (folder / "metrics.json").touch()
        return 0.5

    monkeypatch.setattr(worker, "train", fails_for_seed_0)
    worker.claim_and_run(job.folder, job.study, None, job.chosen, Runtime())
    states = [ledger.states(job.chosen)[cell.hash] for cell in job.chosen]
    assert [(s.state, s.reason) for s in states] == [
        ("failed", "loss is not finite at step 2"),
        ("complete", ""),
    ]
    assert cli.main([*options, "--list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split()[:4] == ["mae", "0", "failed", job.chosen[0].hash]
    assert rows[1].endswith("loss is not finite at step 2")
    assert rows[2].split()[:3] == ["mae", "1", "complete"]


@pytest.mark.parametrize("storage", [False, True])
@pytest.mark.parametrize("flag", ["--list", "--dry-run"])
def test_a_look_at_a_grid_that_was_never_run_makes_no_folder(
    flag: str, storage: bool, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(estimate, "measured", lambda _job: estimate.Cost(60.0, False, "", None))
    more = ["--storage", f"sqlite:///{tmp_path / 'mine.db'}"] if storage else []
    assert cli.main([*SMOKE, *more, "--out", str(tmp_path / "new"), flag]) == 0
    assert "14 missing" in capsys.readouterr().out or flag == "--list"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--list", "--dry-run"])
def test_only_the_first_rank_tells(flag: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main([*SMOKE, "--out", str(tmp_path), flag]) == 0
    assert capsys.readouterr().out == ""


def test_jobs_of_a_cluster_are_not_counted_by_this_machine_s_cores(tmp_path) -> None:
    assert job_of(*SMOKE, "--launcher", "slurm", "--out", str(tmp_path)).workers == 1
    assert job_of(*SMOKE, "--out", str(tmp_path)).workers is None


def test_help_names_grids_and_searches_with_question_cells_and_time(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for name in grids.names():
        assert grids.find(name).question in told
    assert "56 cells, about 29 min" in told
    assert "not measured" in told
    searches = told.partition("\nsearches:\n")[2].splitlines()
    assert [line.split()[0] for line in searches] == search.names()
    for line in searches:
        docstring = importlib.import_module(f"experiments.searches.{line.split()[0]}").__doc__
        assert docstring.splitlines()[0] in line


def test_help_does_not_wait_for_what_only_runs_need() -> None:
    script = (
        "import sys; from experiments import run\n"
        "try: run.main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'optuna', 'models', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [errors, estimate, job_module, options_module, values])
def test_the_examples_in_the_docstrings_hold(module) -> None:
    failed, tried = doctest.testmod(module)
    assert not failed
    assert tried
