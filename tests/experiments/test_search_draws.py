"""Searches: which settings are drawn."""

from dataclasses import replace
from statistics import fmean

import optuna
import pytest
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from experiments import grid as grids
from experiments.config import LossConfig
from experiments.errors import UserError
from experiments.grid import Arm
from experiments.objective import Objective
from experiments.search import search as searches
from experiments.search.draw import draw, setting
from experiments.search.plan import Plan
from tests.experiments.parabola import SEARCH, plan_in, score, suggest


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
