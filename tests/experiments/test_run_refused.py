"""Commands that are refused before anything runs, each with the reason and its fix."""

import errno
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from PIL import Image

from experiments import grid as grids
from experiments import run as cli
from experiments.errors import UserError
from experiments.ledger import registration
from experiments.workers import supervise
from tests.experiments.commands import ROOT, SMOKE

SEARCH = ["--search", "grad_hybrid"]
THIN = "experiments/data/thin3d"
NEITHER = ("train=tests,test=tests", "--image-dir", "experiments", "--mask-dir", "laws")


def test_two_arms_of_one_setting_are_refused() -> None:
    grid = grids.find("grad_loss")
    twins = replace(grid, arms={**grid.arms, "bce_again": grid.arms["bce"]})
    with pytest.raises(UserError, match=r"'bce' and 'bce_again'.* are the same setting"):
        grids.cells(twins, grid.presets["smoke"])


def test_a_full_disk_is_told_before_anything_runs(tmp_path, monkeypatch, capsys) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(registration, "write_grid", full)
    assert cli.main([*SMOKE, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"error: cannot write to {tmp_path}" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"), [("{}", "holds grid None/None"), ("{", "is no JSON")]
)
def test_a_folder_s_grid_file_of_something_else_is_refused(
    content: str, told: str, tmp_path, capsys
) -> None:
    (tmp_path / "grid.json").write_text(content, encoding="utf-8")
    assert cli.main([*SMOKE, "--out", str(tmp_path), "--list"]) == 2
    assert told in capsys.readouterr().err


def test_a_search_and_a_grid_share_no_folder(tmp_path, capsys) -> None:
    for name, options in (("search.json", ["--grid", "grad_loss"]), ("grid.json", SEARCH)):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text('{"grid": "grad_loss", "preset": "smoke"}')
        code, told = mistaken([*options, "--preset", "smoke", "--out", str(folder)], capsys)
        assert code == 2
        assert "writes into a folder of its own" in told


def test_a_folder_of_another_preset_or_grid_is_refused(smoke, capsys) -> None:
    folder, _ = smoke
    for options in (["--preset", "laptop"], ["--preset", "smoke", "--set", "train.lr=2e-3"]):
        options = ["--grid", "grad_loss", *options, "--out", str(folder)]
        assert cli.main([*options, "--list"]) == 2
        assert "holds grid grad_loss/smoke" in capsys.readouterr().err


def test_workers_mean_nothing_under_torchrun(monkeypatch, capsys) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    code, told = mistaken([*SMOKE, "--workers", "2", "--list"], capsys)
    assert code == 2
    assert "--workers under torchrun" in told


def mistaken(options: Sequence[str], capsys) -> tuple[int, str]:
    """Exit code of a command that cannot be, and what it says."""
    try:
        code = cli.main([*options])
    except SystemExit as left:  # argparse's way
        code = int(left.code or 0)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--grid --search is required"),
        (["--grid"], "--grid: expected one argument"),
        (["grad_loss"], "--grid --search is required"),
        (["--grid", "grad_los"], "did you mean 'grad_loss'"),
        (["--grid", "../grad_loss"], "unknown grid '../grad_loss'"),
        (["--grid", "grad_loss", "--search", "structure"], "not allowed with"),
        (["--grid", "grad_loss", "--presets", "smoke"], "unrecognized arguments: --presets"),
        (["--grid", "grad_loss", "--preset", "smok"], "did you mean 'smoke'"),
        (["--grid", "grad_loss", "--arm", "bces"], "did you mean 'bce'"),
        (["--grid", "grad_loss", "--loss", "lovasz"], "did you mean 'lovasz_hinge'"),
        (["--grid", "which_loss", "--loss", "dice"], "has an arm of that name"),
        (["--grid", "grad_loss", "--data", "thin"], "did you mean 'thin3d'"),
        (["--grid", "grad_loss", "--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--grid", "grad_loss", "--data", "losses"], "losses"),
        (["--grid", "grad_loss", "--image-dir", "im"], "give it"),
        (["--grid", "grad_loss", "--data", ".", "--image-dir", "im"], "give both"),
        (["--grid", "grad_loss", "--data", "embedded", "--mask-dir", "gt"], "ships with the"),
        (["--grid", "grad_loss", "--preset", "paper"], "give --data PATH"),
        (["--grid", "grad_loss", "--data", "words"], "'words' are words and have no masks"),
        (
            ["--grid", "db_loss", "--data", "embedded"],
            "'embedded' has masks: expected 'words', or",
        ),
        (
            ["--grid", "db_loss", "--data", "word"],
            "no text set or folder 'word': expected 'words'",
        ),
        (["--grid", "grad_loss", "--data", *NEITHER], "tests/experiments holds no image"),
        (["--grid", "db_loss", "--data", THIN], "has masks and no words, and 'db_loss' is a grid"),
        (["--grid", "grad_loss", "--workers", "0"], "expected 1 or more"),
        (["--grid", "grad_loss", "--workers", "two"], "--workers: invalid int value: 'two'"),
        (["--grid", "grad_loss", "--trials", "5"], "--trials is the budget of a --search"),
        (["--grid", "grad_loss", "--start", "nowhere.pth"], "no such file"),
        (["--grid", "grad_loss", "--start", "README.md"], "--start README.md: 'README.md' cannot"),
        (["--grid", "grad_loss", "--set", "train.lr"], "expected KEY=VALUE"),
        (["--grid", "grad_loss", "--set", "train.lr", "=1"], "expected KEY=VALUE"),
        (["--grid", "grad_loss", "--set", "train.lrr=1"], "did you mean 'train.lr'"),
        (["--grid", "grad_loss", "--launcher", "pbs"], "choose from"),
        (["--grid", "grad_loss", "--launcher-set", "partition"], "expected KEY=VALUE"),
        (["--grid", "grad_loss", "--launcher-set", "slurm_time=1"], "give --launcher slurm too"),
        (["--grid", "grad_loss", "--retry", "always"], "choose from"),
        (["--grid", "grad_loss", "--device", "gpu"], "choose from"),
        (["--grid", "grad_loss", "--out", "results/reference/mine"], "committed results"),
        (["--search", "structur"], "did you mean 'structure'"),
        (["--search", "structure", "--arm", "bce"], "--arm is for a --grid"),
        (["--search", "structure", "--dry-run"], "--dry-run is for a --grid"),
        (["--search", "structure", "--trials", "0"], "expected 1 or more"),
    ],
)
def test_a_mistake_is_named_with_its_fix(options, message, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    code, told = mistaken([*options, "--list"], capsys)
    assert code == 2
    assert message in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["--grid", "--data", "--image-dir", "--mask-dir", "--start", "--out", "--storage"]
)
def test_an_empty_value_is_not_taken_as_left_out(option: str, capsys) -> None:
    code, told = mistaken(["--grid", "grad_loss", option, "", "--list"], capsys)
    assert code == 2
    assert told.startswith(f"error: argument {option}: is empty; is it a shell variable")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (
            ["--storage", "mysql://me:secret@host/db"],
            "a mysql database, expected postgresql",
        ),
        (["--storage", "host:5432"], "expected postgresql+psycopg://"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_runs(
    options, message, capsys, monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told = mistaken([*SMOKE, "--out", str(tmp_path / "out"), *options], capsys)
    assert code == 2
    assert message in told
    assert "secret" not in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("what", [SMOKE, (*SEARCH, "--preset", "smoke")])
@pytest.mark.parametrize(
    ("option", "message"),
    [(["--device", "cuda"], "torch sees no GPU"), (["--tensorboard"], "[tensorboard]")],
)
def test_what_this_machine_lacks_is_no_failure_of_a_cell(
    what, option, message, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(supervise, "run_workers", lambda *_, **__: pytest.fail("a worker began"))
    code, told = mistaken([*what, "--out", str(tmp_path), *option], capsys)
    assert code == 2
    assert message in told


@pytest.mark.parametrize(
    ("images", "texts"),
    [("{}/img", "{}/gts"), ("ch4_{}ing_images", "ch4_{}ing_localization_transcription_gt")],
)
def test_words_are_no_data_of_a_grid_of_masks(images, texts, tmp_path, capsys) -> None:
    for split in ("train", "test"):
        for folder in (images, texts):
            (tmp_path / folder.format(split)).mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(tmp_path / images.format(split) / "a.png")
        (tmp_path / texts.format(split) / "gt_a.txt").write_text("1,1,9,1,9,9,1,9,word")
    code, told = mistaken(["--grid", "grad_loss", "--data", str(tmp_path), "--list"], capsys)
    assert code == 2
    assert "has words and no masks, and 'grad_loss' is a grid of masks; of text: db_loss" in told
