"""The command line, as a newcomer uses it: the smoke grid, mistakes, kills and second runs."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import grid as grids
from experiments import run as cli
from experiments import worker
from experiments.errors import UserError
from experiments.ledger import Ledger

ROOT = Path(__file__).parent.parent.parent


def test_the_smoke_grid_runs_and_its_table_prints_no_test(smoke) -> None:
    folder, done = smoke
    assert done.returncode == 0, done.stdout + done.stderr
    table = (folder / "table.md").read_text(encoding="utf-8")
    for arm in grids.find("grad_loss").arms:
        assert arm in table
    assert table in done.stdout
    assert "not evidence" in table
    assert not any(word in table for word in ("adjusted", "| verdict", "undecided"))
    for name in ("table.tex", "table.csv", "differences.png", "strip.png"):
        assert (folder / name).stat().st_size > 200


def test_a_second_command_trains_nothing_and_writes_the_same_table(smoke, command) -> None:
    folder, _ = smoke
    before = {file: file.stat().st_mtime_ns for file in folder.glob("runs/*/*")}
    table = (folder / "table.md").read_bytes()
    done = command("--grid", "grad_loss", "--preset", "smoke", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    assert "14 cells, 14 complete" in done.stdout
    assert {file: file.stat().st_mtime_ns for file in folder.glob("runs/*/*")} == before
    assert (folder / "table.md").read_bytes() == table


def test_the_list_shows_every_cell(smoke, command) -> None:
    folder, _ = smoke
    done = command("--grid", "grad_loss", "--preset", "smoke", "--out", str(folder), "--list")
    assert done.returncode == 0
    assert [line.split()[3] for line in done.stdout.splitlines()[:-1]] == ["complete"] * 14
    assert "14 of 14 cells complete" in done.stdout


def test_a_killed_grid_goes_on_with_the_same_command(tmp_path, command) -> None:
    options = ["--grid", "grad_loss", "--preset", "smoke", "--out", str(tmp_path)]
    options += ["--arm", "none", "--arm", "bce", "--workers", "2"]
    killed = subprocess.Popen(
        [sys.executable, "experiments/run.py", *options],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/metrics.json")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = command(*options)
    assert done.returncode == 0, done.stderr
    assert "4 cells, 4 complete" not in done.stdout
    assert len(list(tmp_path.glob("runs/*/metrics.json"))) == 4


def test_other_data_take_all_there_is_and_a_folder_of_their_own() -> None:
    options = ["--grid", "grad_loss", "--data", "thin3d", "--arm", "none"]
    job = cli.prepare(cli.parser().parse_args(options))
    assert job.folder.name == "laptop-thin3d"
    assert {cell.arm for cell in job.chosen} == {"none"}
    assert len(job.cells) == 56
    back = grids.find_preset(job.grid, "bench", "embedded")
    assert back.data.counts.train > 0


def test_two_arms_of_one_setting_are_refused() -> None:
    grid = grids.find("grad_loss")
    twins = replace(grid, arms={**grid.arms, "bce_again": grid.arms["bce"]})
    with pytest.raises(UserError, match=r"'bce' and 'bce_again'.* are the same setting"):
        grids.cells(twins, grid.presets["smoke"])


def test_a_failed_cell_is_reported_and_the_grid_goes_on(tmp_path, monkeypatch, capsys) -> None:
    options = ["--grid", "grad_loss", "--preset", "smoke", "--out", str(tmp_path), "--arm", "mae"]
    job = cli.prepare(cli.parser().parse_args(options))
    ledger = Ledger(job.folder, job.study)
    ledger.enqueue(job.chosen, done=())

    def fails_for_seed_0(config, _folder, report, identity):  # noqa: ARG001
        if config.seed == 0:
            raise UserError("loss is not finite at step 2")
        return 0.5

    monkeypatch.setattr(worker, "train", fails_for_seed_0)
    worker.work(job.folder, job.study, job.chosen, os.getppid(), 0)
    states = [ledger.states(job.chosen)[cell.hash] for cell in job.chosen]
    assert states == [("failed", "loss is not finite at step 2"), ("complete", "")]
    assert cli.main([*options, "--list"]) == 0
    assert "loss is not finite at step 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grid", "grad_los"], "did you mean 'grad_loss'"),
        (["--grid", "grad_loss", "--preset", "smok"], "did you mean 'smoke'"),
        (["--grid", "grad_loss", "--arm", "bces"], "did you mean 'bce'"),
        (["--grid", "grad_loss", "--data", "thin"], "did you mean 'thin3d'"),
        (["--grid", "grad_loss", "--data", "/nowhere/at/all"], "no data at '/nowhere/at/all'"),
        (["--grid", "grad_loss", "--preset", "paper"], "give --data PATH"),
        (["--grid", "grad_loss", "--workers", "0"], "expected 1 or more"),
        (["--grid", "grad_loss", "--start", "nowhere.pth"], "no such file"),
        (["--grid", "grad_loss", "--out", "results/reference/mine"], "committed results"),
        (["--grid", "grad_loss", "--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    ],
)
def test_a_mistake_is_named_with_its_fix(options, message, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert cli.main([*options, "--list"]) == 2
    assert message in capsys.readouterr().err


def test_help_names_the_grids_with_their_questions(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    assert grids.find("grad_loss").question in capsys.readouterr().out
