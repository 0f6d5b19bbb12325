"""One tiny run, one small run on words, one smoke grid and one cache folder, for the tests."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import grid as grids
from experiments.config import RunConfig
from experiments.data import Counts
from experiments.train import train
from tests.experiments.one_word import SMALL

ROOT = Path(__file__).parent.parent.parent


Command = Callable[..., subprocess.CompletedProcess[str]]


def run_command(*options: str) -> subprocess.CompletedProcess[str]:
    """Run `experiments/run.py` as a user does."""
    return subprocess.run(
        [sys.executable, "experiments/run.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def smoke(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The smoke preset of `grad_loss`, run once: its folder and what the command printed."""
    folder = tmp_path_factory.mktemp("smoke")
    options = ("--grid", "grad_loss", "--preset", "smoke", "--out", str(folder))
    return folder, run_command(*options, "--workers", "2")


@pytest.fixture(scope="session")
def command() -> Command:
    """`experiments/run.py` with the given options, in a process of its own."""
    return run_command


@pytest.fixture(scope="session")
def tiny() -> RunConfig:
    """A run of 6 steps on 8 samples of 64 px."""
    grid = grids.find("grad_loss")
    config = grids.resolve(grid, grid.presets["smoke"], "bce", seed=0)
    data = replace(config.data, counts=Counts(train=8, val=4, test=4))
    return replace(config, data=data, train=replace(config.train, steps=6, batch=4, maps=2))


@pytest.fixture(scope="session")
def plainer(tiny: RunConfig) -> RunConfig:
    """`tiny` with less to trace, and less to compute in float16, which is slow on a CPU."""
    return replace(
        tiny, model={**tiny.model, "multi_scale_input": "none", "decoder_attention": "none"}
    )


@pytest.fixture(scope="session")
def finished(tiny: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny run, done once."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(tiny, folder)
    return folder


@pytest.fixture(scope="session")
def small() -> RunConfig:
    """A run of 6 steps on 8 drawn images of words of 64 px."""
    grid = grids.find("db_loss")
    config = grids.resolve(grid, grid.presets["smoke"], "db", seed=0)
    data = replace(config.data, size=(64, 64), counts=SMALL)
    return replace(config, data=data, train=replace(config.train, steps=6, batch=4, maps=2))


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of decoded samples, a new one for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seglossary"
