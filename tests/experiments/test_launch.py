"""Workers as a cluster's jobs: submitit's local executor runs them for real."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import options
from experiments.cli.job import Job, prepare
from experiments.errors import UserError
from experiments.ledger.ledger import Ledger
from experiments.run import main
from experiments.workers import launch

ROOT = Path(__file__).parent.parent.parent
SMOKE = ["--grid", "grad_loss", "--preset", "smoke", "--arm", "bce", "--set", "seeds=1"]
SLURM = ["--launcher", "slurm", "--launcher-set", "cluster=local"]


def smoke(folder: Path, *more: str) -> tuple[Job, argparse.Namespace]:
    parsed = options.parser().parse_args([*SMOKE, "--out", str(folder), *more])
    return prepare(parsed), parsed


def test_jobs_run_the_cells_and_a_second_command_submits_none(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(launch, "LOOK", 0.5)
    command = [*SMOKE, *SLURM, "--out", str(tmp_path), "--workers", "1", "--device", "cpu"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "1 jobs submitted" in said
    assert "bce" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert main(command) == 0
    assert "submitted" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--storage", "postgresql+psycopg://me:secret@host/db"], r"\.pgpass"),
        ([], "need --storage postgresql"),
        ([*SLURM, "--launcher-set", "nonsense=1"], "nonsense"),
        (["--storage", "postgresql+psycopg://me@host/db"], "slurm"),
    ],
)
def test_what_jobs_cannot_use_is_refused(tmp_path, more, message) -> None:
    job, parsed = smoke(tmp_path, *more)
    ledger = Ledger(tmp_path, "study")
    with pytest.raises(UserError, match=message) as caught:
        launch.launch(job, parsed.launcher_set, ledger, job.chosen, 1)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "jobs").exists() or not list((tmp_path / "jobs").rglob("*.pkl"))


def test_without_submitit_the_error_says_how_to_install_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    job, _ = smoke(tmp_path)
    with pytest.raises(UserError, match=r'pip install -e "\.\[slurm\]"'):
        launch.launch(job, (), Ledger(tmp_path, "study"), job.chosen, 1)


def test_interrupted_the_command_leaves_the_jobs_and_says_so(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(launch, "_show", interrupted)
    job, _ = smoke(tmp_path)
    ledger = Ledger(tmp_path, "study")
    assert launch.launch(job, ["cluster=local", "gpus_per_node=0"], ledger, [], 1) == 130
    assert "the same command joins them" in capsys.readouterr().err


def test_under_torchrun_the_ranks_train_each_cell_together(tmp_path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [sys.executable, *torchrun, "experiments/run.py", *SMOKE, "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 cells, 0 complete") == 1
    assert done.stdout.count("written to") == 1
    (summary,) = tmp_path.glob("runs/*/metrics.json")
    assert json.loads(summary.read_text(encoding="utf-8"))["device"] == "cpu x 2"


def interrupted(jobs: list[Any], *_: object) -> None:
    while not all(job.done() for job in jobs):
        time.sleep(0.1)
    raise KeyboardInterrupt
