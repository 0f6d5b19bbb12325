"""Workers as a cluster's jobs: submitit's local executor runs them for real."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import signals
from experiments.cli import options
from experiments.cli.job import Job, prepare
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.ledger.ledger import Ledger
from experiments.ledger.pulse import Pulse
from experiments.run import main
from experiments.watch import Stopped
from experiments.workers import launch, worker
from tests.experiments.trivial import cells

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
        (["--storage", "sqlite:///ledger.db"], "a SQLite file is for one machine"),
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


class Fake:
    """A job as submitit tells of it."""

    def __init__(self, _folder: object = None, job_id: str = "1", state: str = "RUNNING") -> None:
        self.job_id, self.state = job_id, STATES.get(job_id, state)

    def done(self, force_check: bool = False) -> bool:  # noqa: ARG002
        return self.state == "FAILED"


STATES = {"dead": "FAILED", "purged": "UNKNOWN"}


def test_of_earlier_jobs_those_count_that_live_and_know_the_cells(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("submitit.SlurmJob", Fake)
    file = tmp_path / "jobs.json"
    assert launch._earlier(file, ["a"]) == []
    known = {"lives": ["a", "b"], "dead": ["a"], "purged": ["a"], "of other cells": ["b"]}
    file.write_text(json.dumps(known), encoding="utf-8")
    assert [job.job_id for job in launch._earlier(file, ["a"])] == ["lives"]
    file.write_text('["lives"]', encoding="utf-8")  # as an older version wrote it
    assert launch._earlier(file, ["a"]) == []


def looked_at(
    jobs: list[Any], pulses: list[Pulse], monkeypatch, submit: Callable[[int], None]
) -> None:
    """`_show` with a look each 0 s, of a ledger that stays at the last of some pulses."""
    monkeypatch.setattr(launch, "LOOK", 0)
    ledger = SimpleNamespace(pulse=lambda _: pulses.pop(0) if len(pulses) > 1 else pulses[0])
    job = SimpleNamespace(chosen=[], folder=Path("results"))
    launch._show(jobs, ledger, job, 2, submit)  # type: ignore[arg-type]


def test_jobs_that_end_while_work_waits_are_replaced(monkeypatch) -> None:
    jobs, asked = [Fake(state="FAILED"), Fake(state="FAILED")], list[int]()
    pulses = [Pulse(3, 1, 2, 1, ()), Pulse(3, 3, 0, 3, ())]
    looked_at(jobs, pulses, monkeypatch, asked.append)
    assert asked == [2]


def test_jobs_that_take_up_nothing_are_not_replaced_for_ever(monkeypatch) -> None:
    jobs, asked = [Fake(state="FAILED")], list[int]()
    with pytest.raises(UserError, match="3 times in a row new jobs ended"):
        looked_at(jobs, [Pulse(1, 0, 1, 0, ())], monkeypatch, asked.append)
    assert asked == [1, 1, 1]


def test_jobs_of_which_the_cluster_tells_nothing_are_not_waited_for_for_ever(
    monkeypatch, capsys
) -> None:
    asked = list[int]()
    looked_at([Fake(state="UNKNOWN")], [Pulse(1, 0, 1, 0, ())], monkeypatch, asked.append)
    assert asked == []
    assert "does not tell what became of its jobs" in capsys.readouterr().err


def test_a_job_that_is_to_make_room_finds_its_cell_when_it_is_queued_again_and_no_other(
    tmp_path, monkeypatch
) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(2)
    ledger.enqueue(todo)
    values = iter([UserError("no such loss"), Stopped(), 0.5])
    requeued = list[int]()

    def train(_config, folder, *_args, **_options):
        value = next(values)
        if isinstance(value, Stopped):
            signal.raise_signal(launch.AGAIN)
        if isinstance(value, Exception):
            raise value
        folder.mkdir(parents=True)
        (folder / "metrics.json").touch()
        return value

    monkeypatch.setattr(worker, "train", train)
    numbers = (signal.SIGINT, signal.SIGTERM, launch.AGAIN)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for _ in range(2):
            signal.signal(launch.AGAIN, lambda number, _: requeued.append(number))
            launch.Worker(tmp_path, "study", None, todo, Runtime(device="cpu"))()
            assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]  # submitit's
    finally:
        signals.obey(to=())
        for number, handler in before.items():
            signal.signal(number, handler)
    assert requeued == [launch.AGAIN]
    states = ledger.states(todo)
    assert (states["a000"].state, states["a000"].attempts) == ("failed", 1)
    assert states["a001"].state == "complete"


def test_under_torchrun_the_ranks_train_each_cell_together(tmp_path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    for complete in (0, 1):  # the second command finds nothing to run, and ends on every rank
        done = subprocess.run(
            [sys.executable, *torchrun, "experiments/run.py", *SMOKE, "--out", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"1 cells, {complete} complete") == 1
        assert done.stdout.count("written to") == 1
    (summary,) = tmp_path.glob("runs/*/metrics.json")
    assert json.loads(summary.read_text(encoding="utf-8"))["device"] == "cpu x 2"


def interrupted(jobs: list[Any], *_: object) -> None:
    while not all(job.done() for job in jobs):
        time.sleep(0.1)
    raise KeyboardInterrupt
