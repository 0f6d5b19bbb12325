"""One run on two processes: the run of one, stopped together, failed together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from experiments import distributed
from experiments.checkpoint import FILE
from experiments.results import FINISHED
from experiments.train import train
from tests.experiments.ranks import alone, unsupervised

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes on gloo made of the runs of `ranks.py`."""
    folder = tmp_path_factory.mktemp("ranks")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "-m", "tests.experiments.ranks", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def told(folder: Path, rank: int) -> dict[str, str]:
    return json.loads((folder / f"rank{rank}.json").read_text())


@pytest.mark.parametrize("name", ["together", "unsupervised"])
def test_two_processes_have_the_curve_and_the_weights_of_one(ranks, tmp_path, name) -> None:
    train({"together": alone, "unsupervised": unsupervised}[name](), tmp_path)
    one, two = (pd.read_csv(run / "history.csv") for run in (tmp_path, ranks / name))
    assert list(one["step"]) == list(two["step"])
    for column in ("loss", "pixel", "gradient", "grad_norm", "excess_bce"):
        assert np.allclose(one[column], two[column], rtol=1e-4, equal_nan=True), column
    weights = [load_file(run / "checkpoint.safetensors") for run in (tmp_path, ranks / name)]
    for key, value in weights[0].items():
        # AdamW's first steps are of size lr whatever the gradient: where it is nearly zero, a
        # rounding decides its sign
        assert (value - weights[1][key]).abs().mean() < 1e-4, key


def test_every_rank_returns_the_value_that_rank_0_measured(ranks) -> None:
    summary = json.loads((ranks / "together" / FINISHED).read_text())
    for rank in (0, 1):
        assert told(ranks, rank)["rank"] == rank
        assert told(ranks, rank)["value"] == summary["test"]["F_weighted"]
    assert summary["device"] == "cpu x 2"


def test_ranks_stop_after_the_same_step_and_go_on_to_the_bitwise_same_result(ranks) -> None:
    assert [told(ranks, rank)["stopped"] for rank in (0, 1)] == ["stopped after step 2 of 4"] * 2
    histories = [(ranks / run / "history.csv").read_bytes() for run in ("together", "stopped")]
    assert histories[0] == histories[1]
    tables = [pd.read_parquet(ranks / n / "per_image.parquet") for n in ("together", "stopped")]
    assert tables[0].equals(tables[1])
    assert not (ranks / "stopped" / FILE).exists()


def test_a_loss_that_is_not_finite_on_one_rank_stops_all(ranks) -> None:
    for rank, name in enumerate(("nonfinite_batch", "nonfinite_batch-rank-1")):
        file = ranks / "spoilt" / f"{name}.safetensors"
        assert told(ranks, rank)["spoilt"].startswith("not finite: loss is not finite at step 0")
        assert str(file) in told(ranks, rank)["spoilt"]
        assert load_file(file)["images"].shape == (2, 3, 64, 64)


@pytest.mark.parametrize(
    ("case", "what"), [("unreadable", "__call__"), ("no GPU", "choose"), ("damaged", "_load")]
)
def test_an_error_on_one_rank_is_told_by_all(ranks, case, what) -> None:
    assert [told(ranks, rank)[case] for rank in (0, 1)] == [f"rank 1 alone: {what}"] * 2


def test_a_batch_that_does_not_divide_is_refused_on_every_rank(ranks) -> None:
    for rank in (0, 1):
        assert "6 does not split into 2 parts on each of 2 processes" in told(ranks, rank)["odd"]


def test_ranks_draw_from_streams_of_their_own(monkeypatch) -> None:
    assert not distributed.launched()
    assert (distributed.rank(), distributed.world(), distributed.stream()) == (0, 1, ())
    assert distributed.share("value") == "value"
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.launched()
    assert distributed.stream() == ("rank", 1)
