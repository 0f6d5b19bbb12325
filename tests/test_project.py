"""The project as a whole: lint, types, licence, and a README that says what is so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import losses
from experiments import grid as grids
from losses.__main__ import row
from tests.differential.test_coverage import WHERE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = 'pip install -c constraints.txt -e ".[dev]" && pytest'


def tool(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing_to_mend() -> None:
    tool("ruff", "check")


def test_ruff_would_format_nothing() -> None:
    tool("ruff", "format", "--check")


def test_types_are_strict() -> None:
    tool("mypy")


@pytest.mark.xdist_group("together")
def test_tests_of_a_group_are_known_to_pytest_xdist(request) -> None:
    """Else each process makes the dear fixtures for itself, and no test fails."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("runs in one process")
    assert request.node.nodeid.endswith("@together")


def test_ci_runs_the_command_the_readme_gives() -> None:
    assert TEST_COMMAND in README
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert TEST_COMMAND.replace("pip install", "pip install -q") in ci


def test_the_readme_has_the_table_of_losses_and_every_preset() -> None:
    rows = [row(losses.spec(name)) for name in WHERE]  # those that ship
    assert [line for line in rows if line not in README] == []
    assert [
        name for name in grids.find("grad_loss").presets if f"| `{name}` |" not in README
    ] == []


def test_the_readme_s_lines_on_losses_run() -> None:
    (example,) = re.findall(r"```python\nimport losses\n(.*?)```", README, flags=re.DOTALL)
    target = (torch.arange(64 * 64).view(1, 1, 64, 64) % 64 > 30).float()
    found = {"losses": losses, "logits": 4 * target - 2, "target": target, "mask": target >= 0}
    exec(example, found)
    assert list(found["parts"]) == ["bce", "ssim", "iou"]
    assert found["weight"].shape == target.shape


def test_a_loss_in_one_file_is_in_names_table_laws_and_grids(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?@register.*?)```", README, flags=re.DOTALL)
    assert len(example.splitlines()) <= 20
    for package in ("losses", "models", "experiments", "analysis"):
        away = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=away)
    (tmp_path / "losses" / "charbonnier.py").write_text(example, encoding="utf-8")

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},  # the copy, not what is installed
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "charbonnier (logits)" in run("-m", "losses")
    code = "import losses; print(losses.laws.check(losses.build('charbonnier'), cases=5))"
    assert run("-c", code).strip() == "[]"
    assert "charbonnier" in run(
        "-m", "losses.laws", "--table", "--loss", "charbonnier", "--cases", "3"
    )
    grid = ("experiments/run.py", "--grid", "which_loss", "--preset", "smoke", "--list")
    listed = run(*grid, "--loss", "charbonnier")
    assert re.search(r"^charbonnier +0 +missing", listed, flags=re.MULTILINE)


@pytest.mark.parametrize("package", ["losses", "models", "analysis"])
def test_imports_point_one_way(package: str) -> None:
    above = {
        "losses": ("models", "experiments", "analysis"),
        "models": ("losses", "experiments", "analysis"),
        "analysis": ("models", "experiments"),
    }[package]
    bridge = ROOT / "analysis/samples.py"  # reads data sets and runs, for maps to be drawn of
    for file in {*(ROOT / package).rglob("*.py")} - {bridge}:
        lines = file.read_text(encoding="utf-8").splitlines()
        for other in above:
            assert not [x for x in lines if x.startswith((f"import {other}", f"from {other}"))], (
                file
            )
