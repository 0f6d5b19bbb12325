"""`--dry-run`: what a grid would cost, by its finished cells or measured."""

from dataclasses import replace

import pytest

from experiments import run as cli
from experiments.cli import estimate
from experiments.errors import UserError
from experiments.ledger.attempts import CellState
from tests.experiments.commands import SMOKE, job_of


@pytest.mark.parametrize(("retry", "count"), [("none", 0), ("failed", 0), ("all", 2)])
def test_the_estimate_counts_what_the_retry_would_run(retry, count, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(estimate, "measured", lambda _job: estimate.Cost(60.0, False, "", None))
    job = job_of(*SMOKE, "--out", str(tmp_path), "--arm", "mae")
    struck = {c.hash: CellState(c.arm, c.seed, c.hash, "struck") for c in job.chosen}
    monkeypatch.setattr(estimate, "cell_states", lambda *_: struck)
    told = estimate.report(job, retry)
    assert (f"{count} runs" in told) if count else ("nothing would run" in told)


def test_the_estimate_of_a_grid_that_ran_is_the_mean_of_its_cells(smoke, capsys) -> None:
    folder, _ = smoke
    options = [*SMOKE, "--out", str(folder), "--set", "seeds=3", "--workers", "2", "--dry-run"]
    assert cli.main(options) == 0
    told = capsys.readouterr().out
    assert "21 cells: 14 complete, 7 missing" in told
    assert "mean of 14 finished" in told
    assert "7 runs, 2 at once" in told


def test_the_estimate_of_a_new_grid_is_measured_and_near_the_truth(
    smoke, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(estimate, "PATIENCE", 600.0)  # on a busy machine too
    folder, _ = smoke
    truth = estimate.finished(job_of(*SMOKE, "--out", str(folder)))
    found = estimate.measured(job_of(*SMOKE, "--out", str(tmp_path / "new"), "--device", "cpu"))
    assert truth is not None
    assert not found.least
    assert truth.seconds / 4 < found.seconds < truth.seconds * 4
    assert found.bytes is not None
    assert truth.bytes is not None
    assert truth.bytes / 2 < found.bytes < truth.bytes * 2


def test_the_estimate_counts_steps_moments_and_images(tiny) -> None:
    t = replace(tiny.train, steps=101, validations=2, moments=1)
    at = {"step 1": 3.0, "step 2": 4.0, "step 3": 5.0, "validated": 8.0, "step 4": 8.0}
    config = replace(tiny, train=t)
    whole = estimate.cost({**at, "done": 16.0, "bytes": 7e6}, config, val=40, test=80)
    # the first step, 100 steps of 1 s, one moment, 2 x 40 images of 1/4 s, 80 images of 1 s
    assert (whole.seconds, whole.least, whole.bytes) == (3 + 100 + 2 + 20 + 80, False, 7e6)
    part = estimate.cost(at, config, val=40, test=80)
    assert (part.seconds, part.least) == (3 + 100 + 2 + 20, True)
    slow = estimate.cost({"step 1": 20.0}, config, val=40, test=80)
    assert (slow.seconds, slow.least) == (101 * (estimate.PATIENCE - 20), True)


def test_a_run_that_is_too_slow_to_measure_is_told_as_more_than(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(estimate, "PATIENCE", 0.1)
    told = estimate.report(job_of(*SMOKE, "--out", str(tmp_path / "new"), "--device", "cpu"))
    assert "a run: more than" in told
    assert "14 runs" in told


def test_a_run_that_cannot_start_is_an_error_of_the_estimate(tmp_path) -> None:
    job = job_of(*SMOKE, "--out", str(tmp_path), "--set", "train.batch=64", "--device", "cpu")
    with pytest.raises(UserError, match=r"a run of this grid fails here: .*64"):
        estimate.measured(job)
