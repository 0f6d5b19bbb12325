"""Searches: what is drawn, given up, kept and told; the settings' runs are a known parabola."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import optuna
import pytest
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from analysis.load import load
from experiments import grid as grids
from experiments import run as cli
from experiments.artifacts import FOLDER
from experiments.config import PROJECT, LossConfig
from experiments.errors import UserError
from experiments.grid import Arm, Cell
from experiments.objective import Objective
from experiments.results import FINISHED
from experiments.search import report as search_report
from experiments.search import run as searches
from experiments.search import setting as search_setting
from experiments.search import study as search_study
from experiments.search import worker as search_worker
from experiments.search.draw import draw, setting
from experiments.search.run import Plan, Search
from experiments.search.study import TRIED, Settings
from experiments.workers import supervise

BEST = 7.0  # the gamma at which the parabola is least


def suggest(trial: optuna.trial.BaseTrial) -> Arm:
    """Two branches: one has the knob that matters, the other one is worse by one."""
    if trial.suggest_categorical("kind", ("structure", "tversky")) == "structure":
        gamma = trial.suggest_float("gamma", 0.0, 20.0)
        return Arm("weighted", LossConfig(pixel={"name": "structure", "gamma": gamma}))
    alpha = trial.suggest_float("alpha", 0.1, 0.9)
    return Arm("unweighted", LossConfig(pixel={"name": "tversky", "alpha": alpha}))


def score(loss: LossConfig) -> float:
    """What a setting is worth."""
    if loss.pixel["name"] == "tversky":
        return -1.0
    return float(-(((loss.pixel["gamma"] - BEST) / 10) ** 2))


SEARCH = Search(
    name="parabola",
    question="Where is the top of a parabola?",
    grid="which_loss",
    suggest=suggest,
    first=({"kind": "structure", "gamma": 20.0},),
    trials={"smoke": 12},
)


def plan_in(folder: Path, budget: int = 12, search: Search = SEARCH) -> Plan:
    grid = grids.find(search.grid)
    return Plan(search, grid, "smoke", grid.presets["smoke"], folder, budget, "data")


def seen_by(plan: Plan, count: int) -> list[FrozenTrial]:
    """The trials of a search whose runs are the parabola itself, one worker."""
    seen: list[FrozenTrial] = []
    for slot in range(count):
        params, ranges = draw(plan, seen, slot)
        found = create_trial(
            state=TrialState.COMPLETE,
            value=score(suggest(FixedTrial(params)).loss),
            params=params,
            distributions=ranges,
            user_attrs={"setting": setting(plan, params)},
        )
        seen.append(found)
    return seen


@pytest.mark.parametrize("name", searches.names())
def test_a_search_of_the_project_draws_only_losses_that_can_be_built(name, tmp_path) -> None:
    search = searches.find(name)
    plan = plan_in(tmp_path, search=search)
    assert search.name == name
    assert set(search.trials) == set(plan.grid.presets)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(60):
        Objective(search.suggest(study.ask()).loss)
    for params in search.first:
        Objective(search.suggest(FixedTrial(dict(params))).loss)


def test_the_first_setting_of_grad_hybrid_is_the_baseline_of_its_grid() -> None:
    search, grid = searches.find("grad_hybrid"), grids.find("grad_loss")
    arm = search.suggest(FixedTrial(dict(search.first[0])))
    assert arm.loss == grid.arms[grid.baseline].loss


def test_a_search_finds_better_settings_than_draws_from_the_prior(
    tmp_path,
) -> None:
    plan = plan_in(tmp_path)
    found = seen_by(plan, 30)
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [score(suggest(random.ask()).loss) for _ in range(30)]
    late = [t.value for t in found[10:]]
    assert fmean(late) > fmean(drawn) + 0.2
    assert max(t.value for t in found) > -0.001


def test_a_knob_exists_only_where_its_loss_does(tmp_path) -> None:
    for trial in seen_by(plan_in(tmp_path), 15):
        own = {"structure": "gamma", "tversky": "alpha"}[trial.params["kind"]]
        assert set(trial.params) == {"kind", own}


def test_draws_depend_on_the_search_and_what_was_seen_alone(tmp_path) -> None:
    plan = plan_in(tmp_path)
    params = [t.params for t in seen_by(plan, 15)]
    assert params == [t.params for t in seen_by(plan, 15)]
    assert params[0] == SEARCH.first[0]
    assert len({str(p) for p in params}) == 15
    other = replace(plan, preset_name="laptop")
    assert params[1:] != [t.params for t in seen_by(other, 15)][1:]


def choose(trial: optuna.trial.BaseTrial) -> Arm:
    """Three settings in all, one of them with a knob that nothing depends on."""
    names = ("bce", "dice", "focal")
    name = trial.suggest_categorical("name", names)
    trial.suggest_float("idle", 0, 1)
    return Arm(name, LossConfig(pixel={"name": name}))


def test_a_look_at_a_search_that_was_never_run_makes_nothing(tmp_path) -> None:
    assert searches._listed(plan_in(tmp_path)) == f"0 of 12 settings tried in {tmp_path}"
    assert not list(tmp_path.iterdir())


def test_no_setting_is_tried_twice_and_an_exhausted_space_is_told(tmp_path) -> None:
    search = replace(SEARCH, suggest=choose, first=())
    plan, seen = plan_in(tmp_path, search=search), []
    for slot in range(3):
        params, ranges = draw(plan, seen, slot)
        attributes = {"setting": setting(plan, params)}
        seen.append(
            create_trial(value=0.0, params=params, distributions=ranges, user_attrs=attributes)
        )
    assert {t.params["name"] for t in seen} == {"bce", "dice", "focal"}
    with pytest.raises(UserError, match="exhausted"):
        draw(plan, seen, 3)


def told_by(folder: Path) -> list[str]:
    """The runs that were trained, in their order."""
    file = folder / "trained"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def parabola(config, folder, watch, *, identity, runtime, test) -> float:  # noqa: ARG001
    """Stands for `train`: two validations, the second one at the setting's value."""
    assert not test
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    value = score(config.loss) + (config.seed - 1000) / 100
    half = config.train.steps // 2
    watch.stepped(half)
    watch.validated(half, value - 0.5)
    watch.before_write()
    watch.stepped(2 * half)
    watch.validated(2 * half, value)
    rows = f"step,val_F_weighted\n{half - 1},{value - 0.5}\n{half},\n{2 * half - 1},{value}\n"
    (folder / "history.csv").write_text(rows, encoding="utf-8")
    (folder / FINISHED).write_text(json.dumps({"validation": value}), encoding="utf-8")
    with (folder.parent.parent / "trained").open("a", encoding="utf-8") as log:
        log.write(f"{folder.name}\n")
    return value


def searched(plan: Plan) -> Settings:
    """A search run by one worker in this process."""
    (plan.folder / "runs").mkdir(parents=True, exist_ok=True)
    settings = Settings(plan)
    settings.begin("failed")
    search_worker.claim_and_run(plan, settings.slots)
    return settings


def outcome(settings: Settings) -> list[tuple]:
    return [
        (number, trial.state, trial.params, trial.values, trial.intermediate_values)
        for number, trial in settings.latest().items()
    ]


@pytest.fixture(scope="module")
def whole_search(tmp_path_factory) -> tuple[Settings, list[str]]:
    """A search of 16 settings, each a parabola, and the runs it trained."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_setting, "train", parabola)
        return searched(plan_in(folder, 16)), told_by(folder)


def test_a_setting_behind_the_median_is_given_up_and_keeps_what_it_had(whole_search) -> None:
    settings, trained = whole_search
    latest = settings.latest()
    assert len(latest) == 16
    states = [trial.state for trial in latest.values()]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    assert states.index(TrialState.PRUNED) >= search_setting.STARTUP
    best = max(latest.values(), key=lambda trial: trial.value)
    assert best.state == TrialState.COMPLETE
    assert abs(best.params["gamma"] - BEST) < 1.5
    for trial in latest.values():
        given_up = trial.state == TrialState.PRUNED
        assert (len(trial.intermediate_values) == 4) is not given_up
        assert trial.value == trial.intermediate_values[trial.last_step]
    assert len(trained) < 32


def test_a_settings_curve_is_the_mean_over_its_seeds_so_far(whole_search) -> None:
    first = whole_search[0].latest()[0]  # gamma 20: -1.69, and .01 more with the second seed
    expected = {0: -2.19, 1: -1.69, 2: -1.935, 3: -1.685}
    assert first.intermediate_values == pytest.approx(expected)
    assert first.value == pytest.approx(-1.685)
    assert first.user_attrs["seed 1001"] == pytest.approx(-1.68)


def test_the_same_command_goes_on_until_the_budget_and_repeats_nothing(
    whole_search, monkeypatch
) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    settings, trained = whole_search
    before = outcome(settings)
    assert outcome(searched(settings.plan)) == before
    assert told_by(settings.folder) == trained
    more = searched(replace(settings.plan, budget=18))
    assert more.superseded_settings() == 0
    assert Settings(replace(settings.plan, data_digest="other")).superseded_settings() > 5
    assert outcome(more)[:16] == before
    assert len(more.latest()) == 18


def test_a_search_is_the_same_twice_also_across_a_stop(
    whole_search, tmp_path, monkeypatch
) -> None:
    settings, trained = whole_search
    plan = replace(settings.plan, folder=tmp_path)
    calls = iter(range(100))

    def interrupt() -> None:
        raise KeyboardInterrupt

    def stopped(config, folder, watch, **others) -> float:
        if next(calls) == 7:  # the second seed of the fourth setting, after a validation
            watch.before_write = interrupt
        return parabola(config, folder, watch, **others)

    monkeypatch.setattr(search_setting, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        searched(plan)
    assert search_report.state(Settings(plan).latest()[3]) == "stopped"
    monkeypatch.setattr(search_setting, "train", parabola)
    assert outcome(searched(plan)) == outcome(settings)
    assert told_by(tmp_path) == trained


BY_HAND = """
from experiments.config import LossConfig
from experiments.grid import Arm
from experiments.search.run import Search

def suggest(trial):
    gamma = trial.suggest_float("gamma", 0.0, {top})
    return Arm("weighted", LossConfig(pixel={{"name": "structure", "gamma": gamma}}))

SEARCH = Search(
    "by_hand", "{question}", "which_loss", suggest, {{"smoke": {trials}}}, seeds={seeds}
)
"""


def by_hand(file: Path, **changed: object) -> Search:
    """The search that somebody wrote into a file."""
    written = {"top": 20.0, "seeds": 2, "question": "Which gamma?", "trials": 3, **changed}
    file.write_text(BY_HAND.format(**written), encoding="utf-8")
    names: dict[str, object] = {"__name__": "by_hand"}
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), names)
    return names["SEARCH"]


@pytest.mark.parametrize(("change", "runs"), [({"top": 10.0}, 6), ({"seeds": 3}, 9)])
def test_an_edited_search_makes_new_settings_and_the_old_ones_are_superseded(
    tmp_path, monkeypatch, change, runs
) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    file = tmp_path / "by_hand.py"
    before = searched(plan_in(tmp_path, 3, by_hand(file)))
    after = searched(plan_in(tmp_path, 3, by_hand(file, **change)))
    assert not {slot.hash for slot in before.slots} & {slot.hash for slot in after.slots}
    assert (len(after.latest()), after.tried(), after.superseded_settings()) == (3, 3, 3)
    assert search_report.summary(after)["budget"]["runs"] == runs  # of the folder's 9 or 12


def test_another_question_or_budget_makes_no_new_settings(tmp_path) -> None:
    file = tmp_path / "by_hand.py"
    before = plan_in(tmp_path, 3, by_hand(file)).slots()
    other = by_hand(file, question="Which one?", trials=40)
    assert [slot.hash for slot in plan_in(tmp_path, 3, other).slots()] == [s.hash for s in before]


def test_a_setting_whose_knobs_make_another_run_by_now_is_not_reported(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    plan = searched(plan_in(tmp_path, 2)).plan
    monkeypatch.setattr(search_study, "setting", lambda *_: "another")
    settings = Settings(plan)
    assert settings.latest() == {}
    assert settings.superseded_settings() == 2


def test_a_smaller_budget_hides_no_setting_that_was_tried(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    searched(plan_in(tmp_path, 3))
    settings = searched(plan_in(tmp_path, 1))
    found = search_report.summary(settings)["budget"]
    assert (found["settings"], found["complete"], found["runs"]) == (3, 3, 6)
    assert "3 of 3 settings tried" in search_report.listing(settings)


def test_a_setting_that_fails_is_told_with_its_reason_and_not_for_ever(
    tmp_path, monkeypatch
) -> None:
    def fails(config, folder, watch, **others) -> float:
        if config.loss.pixel.get("gamma") == 20.0:
            raise UserError("loss is not finite at step 2")
        return parabola(config, folder, watch, **others)

    monkeypatch.setattr(search_setting, "train", fails)
    plan = plan_in(tmp_path, 3)
    for attempts in (1, 2, 3, 3):
        settings = searched(plan)
        assert len(settings.attempts()[0]) == attempts
    found = search_report.summary(settings)
    assert found["failures"] == {0: "loss is not finite at step 2"}
    assert found["budget"]["failed"] == 1
    assert found["budget"]["complete"] == 2
    assert "failed" in search_report.listing(settings).splitlines()[0]


def mortal(plan: Plan, slots: list[Cell], parent: int, index: int) -> None:
    """A worker's process whose third run is the end of it, once."""

    def dies(config, folder, watch, **others) -> float:
        try:
            if len(told_by(plan.folder)) >= 3:
                (plan.folder / "died").touch(exist_ok=False)
                watch.stepped(1)
                os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            pass
        return parabola(config, folder, watch, **others)

    search_setting.train = dies
    search_worker.work(plan, slots, parent, index)


def test_three_processes_spend_the_budget_exactly_though_one_is_killed(tmp_path) -> None:
    plan = plan_in(tmp_path, 9)
    (tmp_path / "runs").mkdir()
    settings = Settings(plan)
    settings.begin("failed")
    pulse = partial(settings.pulse, settings.slots)
    assert supervise.run_workers(mortal, (plan, settings.slots), 3, pulse) == 0
    assert all(trial.state in TRIED for trial in settings.latest().values())
    assert len({trial.user_attrs["setting"] for trial in settings.latest().values()}) == 9
    [attempts] = [found for found in settings.attempts().values() if len(found) > 1]
    assert [trial.state in TRIED for trial in attempts] == [False, True]
    assert attempts[0].params == attempts[1].params
    assert len(told_by(tmp_path)) == len(set(told_by(tmp_path)))


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two real settings of two seeds at the smallest scale, by the command."""
    folder = tmp_path_factory.mktemp("real")
    options = ["--search", "structure", "--preset", "smoke", "--trials", "2", "--out", str(folder)]
    command = [sys.executable, "experiments/run.py", *options, "--workers", "1"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_a_real_search_tells_its_best_setting_and_what_that_is_not(real) -> None:
    folder, done = real
    told = (folder / "search.md").read_text(encoding="utf-8")
    assert told in done.stdout
    assert "no result for a table" in told
    assert "2 of 2 settings tried: 2 complete, 0 given up early, 0 failed; 4 runs" in told
    assert "optuna-dashboard sqlite:///" in done.stdout
    found = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    best, search = found["best"][0], searches.find("structure")
    assert best["value"] == pytest.approx(fmean(best["seeds"].values()))
    arm = search.suggest(FixedTrial(best["knobs"]))
    line = best["arm"].rstrip(",")
    assert eval(f"{{{line}}}") == {f"structure_{best['setting']}": arm}


def test_a_real_search_reads_no_test_split_and_shows_a_preview(real) -> None:
    folder, _ = real
    runs = list((folder / "runs").iterdir())
    assert len(runs) == 4
    for run in runs:
        metrics = json.loads((run / FINISHED).read_text(encoding="utf-8"))
        assert metrics["validation"] > 0
        assert "test" not in metrics
        assert not (run / "per_image.parquet").exists()
    shown = [file.read_bytes() for file in (folder / FOLDER).iterdir()]
    assert len(shown) == 2
    assert all(image.startswith(b"\x89PNG") for image in shown)


def test_a_search_is_listed_and_its_folder_is_no_grids(real, capsys) -> None:
    folder, _ = real
    options = ["--search", "structure", "--preset", "smoke", "--trials", "3"]
    assert cli.main([*options, "--out", str(folder), "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["complete"] * 2
    assert "gamma=5" in lines[0]
    assert lines[-1].startswith("2 of 3 settings tried")
    assert cli.main([*options[:-1], "1", "--out", str(folder), "--list"]) == 0
    assert "2 of 2 settings tried" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"grid\.json not found"):
        load(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "structur"], "did you mean 'structure'"),
        (["--search", "structure", "--trials", "0"], "expected 1 or more"),
        (["--search", "structure", "--preset", "smok"], "did you mean 'smoke'"),
        (["--search", "structure", "--launcher", "slurm"], "--storage"),
        (["--search", "structure", "--set", "loss.gradient_weight=2"], "draws its losses"),
    ],
)
def test_a_mistake_in_a_search_is_named_with_its_fix(options, message, capsys) -> None:
    assert cli.main(options) == 2
    assert message in capsys.readouterr().err


def test_a_search_does_not_write_into_a_grids_folder(tmp_path, capsys) -> None:
    theirs = '{"grid": "structure", "preset": "smoke"}'
    (tmp_path / "grid.json").write_text(theirs, encoding="utf-8")
    options = ["--search", "structure", "--preset", "smoke", "--out", str(tmp_path)]
    assert cli.main(options) == 2
    assert "a folder of its own" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["grid.json"]


def test_a_search_interrupted_at_once_keeps_its_folder_from_another_one(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(supervise, "run_workers", lambda *_, **__: 130)
    options = ["--preset", "smoke", "--trials", "1", "--out", str(tmp_path)]
    assert cli.main(["--search", "structure", *options]) == 130
    before = (tmp_path / "search.json").read_bytes()
    assert cli.main(["--search", "structure", *options]) == 130
    capsys.readouterr()
    assert cli.main(["--search", "pixel_mix", *options]) == 2
    assert "holds search structure/smoke" in capsys.readouterr().err
    assert (tmp_path / "search.json").read_bytes() == before
