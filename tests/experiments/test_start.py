"""Runs that start from an official checkpoint."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import models
from experiments import grid as grids
from experiments.cli import job as jobs
from experiments.cli.options import parser
from experiments.cli.start import with_start
from experiments.config import RunConfig
from experiments.errors import UserError
from experiments.model import build_model
from experiments.train import train
from models import BiRefNet


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = BiRefNet.preset("lite", inter_channels=8, aspp_channels=8)
    models.initialise(model, 7)
    torch.save(models.export_official(model), tmp_path / "official.pth")
    return tmp_path / "official.pth"


@pytest.fixture
def started(tiny: RunConfig, checkpoint: Path) -> RunConfig:
    smoke = grids.find("grad_loss").presets["smoke"]
    return replace(tiny, model=with_start(smoke, checkpoint).model)


def test_every_seed_starts_from_the_checkpoint(started: RunConfig, checkpoint: Path) -> None:
    expected = models.load_official(checkpoint).state_dict()
    for seed in (0, 1):
        model = build_model(replace(started, seed=seed))
        assert model.training
        assert model.frozen == 5  # as the preset has it
        assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())


def test_a_run_trains_on_from_the_checkpoint(started: RunConfig, tmp_path: Path) -> None:
    assert 0 <= train(started, tmp_path / "run") <= 1


def test_a_checkpoint_that_changed_is_refused(started: RunConfig, checkpoint: Path) -> None:
    checkpoint.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"is not the file .* of this run any more"):
        build_model(started)


def test_where_the_checkpoint_lies_makes_no_other_run(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copied = Path(shutil.copy(checkpoint, tmp_path / "elsewhere"))
    hashes = []
    for file in (checkpoint, copied):
        options = ["--grid", "grad_loss", "--preset", "smoke", "--start", str(file)]
        hashes.append([cell.hash for cell in jobs.prepare(parser().parse_args(options)).cells])
    assert hashes[0] == hashes[1]


def test_an_encoder_from_a_file_counts_by_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    options = ["--grid", "grad_loss", "--preset", "smoke", "--set", f"model.pretrained={file}"]
    cells = []
    for seed in (0, 1):
        model = BiRefNet.preset("lite", pretrained=False)
        models.initialise(model, seed)
        save_file(model.bb.state_dict(), file)
        cells.append(jobs.prepare(parser().parse_args(options)).cells[0])
        build_model(cells[-1].config)
    assert cells[0].hash != cells[1].hash
    with pytest.raises(UserError, match=r"the weights of this run \(digest .*\) are not what"):
        build_model(cells[0].config)


def test_a_checkpoint_that_does_not_fit_the_arm_is_refused(started: RunConfig) -> None:
    with pytest.raises(UserError, match=r"model of this arm: .* weights do not fit"):
        build_model(replace(started, model={**started.model, "inward": "none"}))


def test_study_and_folder_tell_the_checkpoint(checkpoint: Path, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(jobs, "PROJECT", tmp_path)
    options = ["--grid", "grad_loss", "--preset", "smoke", "--start", str(checkpoint)]
    job = jobs.prepare(parser().parse_args(options))
    digest = job.preset.model["start_digest"][:8]
    assert job.study == f"grad_loss/smoke-from-official-{digest}"
    assert job.folder == tmp_path / "results" / "grad_loss" / f"smoke-from-official-{digest}"
