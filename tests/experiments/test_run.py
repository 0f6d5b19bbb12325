"""The command line, as a newcomer uses it: the smoke grid, mistakes, kills and second runs."""

import doctest
import errno
import importlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from PIL import Image

from analysis import report
from experiments import errors
from experiments import grid as grids
from experiments import run as cli
from experiments.cli import estimate, values
from experiments.cli import job as job_module
from experiments.cli import options as options_module
from experiments.cli.job import Job, prepare
from experiments.cli.listing import listing
from experiments.cli.options import parser
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.ledger import registration
from experiments.ledger.attempts import CellState
from experiments.ledger.ledger import Ledger
from experiments.search import run as search
from experiments.workers import worker

ROOT = Path(__file__).parent.parent.parent
SEARCH = ["--search", "grad_hybrid"]
SMOKE = ("--grid", "grad_loss", "--preset", "smoke")
THIN = "experiments/data/thin3d"
NEITHER = ("train=tests,test=tests", "--image-dir", "experiments", "--mask-dir", "laws")


def job_of(*options: str) -> Job:
    return prepare(parser().parse_args(options))


def test_the_smoke_grid_runs_and_its_table_prints_no_test(smoke) -> None:
    folder, done = smoke
    assert done.returncode == 0, done.stdout + done.stderr
    table = (folder / "table.md").read_text(encoding="utf-8")
    for arm in grids.find("grad_loss").arms:
        assert arm in table
    assert report.essential(table) in done.stdout
    assert f"the whole report: {folder / 'report.html'}\n" in done.stdout
    assert "not evidence" in table
    assert not any(word in table for word in ("adjusted", "| verdict", "undecided"))
    for name in ("table.tex", "table.csv", "numbers.tex", "differences.png", "strip.png"):
        assert (folder / name).stat().st_size > 200


def test_a_second_command_trains_nothing_and_writes_the_same_table(smoke, capsys) -> None:
    folder, _ = smoke
    before = {file: file.stat().st_mtime_ns for file in folder.glob("runs/*/*")}
    table = (folder / "table.md").read_bytes()
    assert cli.main([*SMOKE, "--out", str(folder)]) == 0
    assert "14 cells, 14 complete; nothing to run\n" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in folder.glob("runs/*/*")} == before
    assert (folder / "table.md").read_bytes() == table


def test_the_page_gives_the_command_that_names_the_same_cells(smoke) -> None:
    folder, _ = smoke
    html = (folder / "report.html").read_text(encoding="utf-8")
    out = shlex.quote(str(folder))
    assert f"python experiments/run.py --grid grad_loss --preset smoke --out {out}\n" in html
    assert f"python -m analysis.report {out}<" in html


@pytest.mark.parametrize(
    "more",
    [
        ["--data", "thin3d", "--deterministic"],
        ["--loss", "focal", "--loss", "tversky", "--set", "train.lr=1e-3", "--set", "seeds=3"],
        ["--data", "thin3d", "--arm", "bce", "--workers", "2", "--set", "data.size=96,96"],
        ["--out", "results/of mine"],
    ],
)
def test_a_job_s_command_names_its_cells_and_folder_and_nothing_of_this_machine(
    more: list[str],
) -> None:
    job = job_of(*SMOKE, *more)
    program, script, *words = shlex.split(job.command)
    assert (program, script) == ("python", "experiments/run.py")
    again = job_of(*words)
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in job.cells]
    assert (again.study, again.command) == (job.study, job.command)
    assert again.folder == job.folder
    assert not {"--arm", "--workers"} & {*words}


def test_a_report_that_fails_is_no_failed_run(tmp_path, monkeypatch, capsys) -> None:
    job = replace(job_of(*SMOKE), folder=tmp_path / "some where")
    done = {cell.hash: CellState(cell.arm, cell.seed, cell.hash, "complete") for cell in job.cells}
    ledger = SimpleNamespace(states=lambda _: done, shown="sqlite:///ledger.db")
    for error in (ValueError("two codes"), RuntimeError("no font")):
        monkeypatch.setattr(report, "report", Mock(side_effect=error))
        assert cli.conclude(job, ledger) == 3
        told = capsys.readouterr()
        assert "the runs are kept, but their report failed" in told.err
        assert f"{type(error).__name__}: {error}" in told.err
        assert f"python -m analysis.report '{job.folder}'" in told.err
        assert "not complete" not in told.out


def test_the_list_shows_every_cell_with_its_state(smoke, capsys) -> None:
    folder, _ = smoke
    assert cli.main([*SMOKE, "--out", str(folder), "--list"]) == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["arm", "seed", "state", "hash", "seconds"]
    assert [row.split()[2] for row in rows] == ["complete"] * 14
    assert {row.split()[3] for row in rows} == {c.hash for c in job_of(*SMOKE).cells}
    assert all(float(row.split()[4]) > 0 for row in rows)
    assert max(map(len, rows)) <= 100
    assert "14 of 14 cells complete" in last


def test_the_list_tells_what_an_earlier_definition_completed(smoke) -> None:
    folder, _ = smoke
    other = job_of(*SMOKE, "--set", "train.lr=2e-3")
    rows = listing(replace(other, preset_name="smoke", folder=folder)).splitlines()
    assert sum("superseded" in row for row in rows) == 14 + 1
    assert rows[-2].startswith("0 of 14 cells complete")


def test_other_data_take_all_there_is_and_a_study_of_their_own() -> None:
    job = job_of("--grid", "grad_loss", "--data", "thin3d", "--arm", "none")
    assert job.folder.name == "laptop-thin3d"
    assert job.study == "grad_loss/laptop-thin3d"
    assert {cell.arm for cell in job.chosen} == {"none"}
    assert len(job.cells) == 56
    assert job_of("--grid", "grad_loss", "--data", "embedded").study == "grad_loss/laptop"
    back = grids.find_preset(job.grid, "bench", "embedded")
    assert back.data.counts.train > 0


def test_two_arms_of_one_setting_are_refused() -> None:
    grid = grids.find("grad_loss")
    twins = replace(grid, arms={**grid.arms, "bce_again": grid.arms["bce"]})
    with pytest.raises(UserError, match=r"'bce' and 'bce_again'.* are the same setting"):
        grids.cells(twins, grid.presets["smoke"])


def test_a_failed_cell_is_reported_and_the_grid_goes_on(tmp_path, monkeypatch, capsys) -> None:
    options = [*SMOKE, "--out", str(tmp_path), "--arm", "mae"]
    job = job_of(*options)
    ledger = Ledger(job.folder, job.study)
    ledger.enqueue(job.chosen)

    def fails_for_seed_0(config, folder, *_args, **_more):
        if config.seed == 0:
            raise UserError("loss is not finite\nat step 2")
        folder.mkdir(parents=True)
        (folder / "metrics.json").touch()
        return 0.5

    monkeypatch.setattr(worker, "train", fails_for_seed_0)
    worker.claim_and_run(job.folder, job.study, None, job.chosen, Runtime())
    states = [ledger.states(job.chosen)[cell.hash] for cell in job.chosen]
    assert [(s.state, s.reason) for s in states] == [
        ("failed", "loss is not finite at step 2"),
        ("complete", ""),
    ]
    assert cli.main([*options, "--list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split()[:4] == ["mae", "0", "failed", job.chosen[0].hash]
    assert rows[1].endswith("loss is not finite at step 2")
    assert rows[2].split()[:3] == ["mae", "1", "complete"]


@pytest.mark.parametrize("storage", [False, True])
@pytest.mark.parametrize("flag", ["--list", "--dry-run"])
def test_a_look_at_a_grid_that_was_never_run_makes_no_folder(
    flag: str, storage: bool, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(estimate, "measured", lambda _job: estimate.Cost(60.0, False, "", None))
    more = ["--storage", f"sqlite:///{tmp_path / 'mine.db'}"] if storage else []
    assert cli.main([*SMOKE, *more, "--out", str(tmp_path / "new"), flag]) == 0
    assert "14 missing" in capsys.readouterr().out or flag == "--list"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("retry", "count"), [("none", 0), ("failed", 0), ("all", 2)])
def test_the_estimate_counts_what_the_retry_would_run(retry, count, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(estimate, "measured", lambda _job: estimate.Cost(60.0, False, "", None))
    job = job_of(*SMOKE, "--out", str(tmp_path), "--arm", "mae")
    struck = {c.hash: CellState(c.arm, c.seed, c.hash, "struck") for c in job.chosen}
    monkeypatch.setattr(estimate, "cell_states", lambda *_: struck)
    told = estimate.report(job, retry)
    assert (f"{count} runs" in told) if count else ("nothing would run" in told)


@pytest.mark.parametrize("flag", ["--list", "--dry-run"])
def test_only_the_first_rank_tells(flag: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main([*SMOKE, "--out", str(tmp_path), flag]) == 0
    assert capsys.readouterr().out == ""


def test_a_full_disk_is_told_before_anything_runs(tmp_path, monkeypatch, capsys) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(registration, "write_grid", full)
    assert cli.main([*SMOKE, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"error: cannot write to {tmp_path}" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"), [("{}", "holds results of None/None"), ("{", "is no JSON")]
)
def test_a_folder_s_grid_file_of_something_else_is_refused(
    content: str, told: str, tmp_path, capsys
) -> None:
    (tmp_path / "grid.json").write_text(content, encoding="utf-8")
    assert cli.main([*SMOKE, "--out", str(tmp_path), "--list"]) == 2
    assert told in capsys.readouterr().err


def test_jobs_of_a_cluster_are_not_counted_by_this_machine_s_cores(tmp_path) -> None:
    assert job_of(*SMOKE, "--launcher", "slurm", "--out", str(tmp_path)).workers == 1
    assert job_of(*SMOKE, "--out", str(tmp_path)).workers is None


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
        assert "holds results of grad_loss/smoke" in capsys.readouterr().err


def test_the_estimate_of_a_grid_that_ran_is_the_mean_of_its_cells(smoke, capsys) -> None:
    folder, _ = smoke
    options = [*SMOKE, "--out", str(folder), "--set", "seeds=3", "--workers", "2", "--dry-run"]
    assert cli.main(options) == 0
    told = capsys.readouterr().out
    assert "21 cells: 14 complete, 7 missing" in told
    assert "mean of 14 finished" in told
    assert "7 runs, 2 at once" in told


def test_the_estimate_of_a_new_grid_is_measured_and_near_the_truth(smoke, tmp_path) -> None:
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


def test_help_names_grids_and_searches_with_question_cells_and_time(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for name in grids.names():
        assert grids.find(name).question in told
    assert "56 cells, about 29 min" in told
    assert "not measured" in told
    searches = told.partition("\nsearches:\n")[2].splitlines()
    assert [line.split()[0] for line in searches] == search.names()
    for line in searches:
        docstring = importlib.import_module(f"experiments.searches.{line.split()[0]}").__doc__
        assert docstring.splitlines()[0] in line


def test_help_does_not_wait_for_what_only_runs_need() -> None:
    script = (
        "import sys; from experiments import run\n"
        "try: run.main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'optuna', 'models', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [errors, estimate, job_module, options_module, values])
def test_the_examples_in_the_docstrings_hold(module) -> None:
    failed, tried = doctest.testmod(module)
    assert not failed
    assert tried
