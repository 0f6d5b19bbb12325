"""The benchmarks of the models run, and judge rightly; no time is asserted."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import step, step_report  # as the processes that it spawns import it
from tests.benchmarks.step_sides import Subject, Worker

ROOT = Path(__file__).parent.parent.parent


def command(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_deformable_convolution_is_measured_and_agrees(tmp_path: Path) -> None:
    out = tmp_path / "deform.json"
    done = command("deform", "--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    runs = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert all(run["apart"] < 1e-4 for run in runs)
    assert "## (2, 4, 8, 8), 7 x 7" in out.with_suffix(".md").read_text(encoding="utf-8")


def test_a_checkout_that_is_none_is_an_error_that_says_where_to_get_one(tmp_path: Path) -> None:
    done = command("step", "--official", str(tmp_path))
    assert done.returncode == 1
    assert "git clone" in done.stderr


def test_what_fails_in_a_worker_is_told_in_its_own_words(tmp_path: Path) -> None:
    subject = Subject("official", str(tmp_path), "")
    with pytest.raises(RuntimeError, match="No module named 'config'"), Worker(subject):
        pass


def rows() -> dict[str, tuple[Subject, step.Result]]:
    """Official float32 takes 6 s, ours 1 s, ours in bfloat16 .75 s; the official one fails."""
    official = Subject("official", "", "")
    both = official, replace(official, side="ours")
    low = replace(both[1], precision="bfloat16")
    times = zip((*both, low), (6.0, 1.0, 0.75), strict=True)
    return {
        str(s): (s, {"median_s": t, "samples_s": [t], "loss": 100.0, "peak_bytes": 0})
        for s, t in times
    }


def test_where_the_official_step_fails_its_float32_is_what_ours_is_set_against() -> None:
    plain, low = step._ratios(rows())
    assert (plain["ratio"], plain["met"]) == (6.0, True)
    assert (low["against"], low["ratio"], low["met"]) == ("official float32", 8.0, True)


def test_losses_that_differ_are_said_to_differ() -> None:
    found = rows()
    found["ours float32"][1]["loss"] = 101.0
    ratios = list(step._ratios(found))
    run = {"backbone": "b", "batch": 4, "pixels": 128, "device": "cpu", "subjects": {}}
    text = step_report._run({**run, "failed": {"official bfloat16": "why"}, "ratios": ratios})
    assert "**differ**" in text
    assert "Failed: official bfloat16: `why`" in text
