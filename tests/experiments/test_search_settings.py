"""A search's settings: given up, gone on with, failed, and left by a worker that is killed."""

import os
import signal
from dataclasses import replace
from functools import partial

import pytest
from optuna.trial import TrialState

from experiments.errors import UserError
from experiments.grid import Cell
from experiments.search import report as search_report
from experiments.search import setting as search_setting
from experiments.search import worker as search_worker
from experiments.search.plan import Plan
from experiments.search.run import untried
from experiments.search.study import TRIED, Settings
from experiments.workers import supervise
from tests.experiments.parabola import BEST, parabola, plan_in, searched, told_by


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
        again = "1 failed 3 times: --retry all tries them again"
        assert untried(settings) == "1 of 3 settings are not tried; " + (
            again if attempts == 3 else "the same command goes on"
        )
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
