"""Which setting a search tries next: a function of what it has seen."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FixedTrial, FrozenTrial

from experiments.errors import UserError
from experiments.search.plan import Plan
from experiments.seeding import stream_seed

TRIES = 30  # draws of a setting that was not tried yet

Drawn = tuple[dict[str, Any], dict[str, BaseDistribution]]  # parameters and their ranges


def draw(plan: Plan, seen: Sequence[FrozenTrial], slot: int) -> Drawn:
    """The parameters of setting number `slot`, which no trial in `seen` has.

    TPE in a study in memory, so that it depends on the search, the slot and `seen` alone; those
    running in other workers count as bad (constant liar), which keeps workers apart. A repetition
    would cost its runs and tell nothing; where TPE insists on one, a random draw comes instead.

    Raises:
        UserError: every setting seems to have been tried.
    """
    if slot < len(plan.search.first):
        return _kept(plan, FixedTrial(dict(plan.search.first[slot])))
    tried = {t.user_attrs["setting"] for t in seen}
    for attempt in range(TRIES):
        seed = stream_seed(0, plan.study, slot, attempt) % 2**32
        study = optuna.create_study(
            direction="minimize" if plan.minimises else "maximize",
            sampler=TPESampler(seed=seed) if attempt < TRIES // 2 else RandomSampler(seed=seed),
        )
        study.add_trials(seen)
        trial = study.ask()
        drawn = _kept(plan, trial)
        if setting(plan, drawn[0]) not in tried:
            return drawn
    raise UserError(f"{TRIES} draws gave no setting that was not tried: the space is exhausted")


def _kept(plan: Plan, trial: optuna.trial.BaseTrial) -> Drawn:
    plan.search.suggest(trial)
    return trial.params, trial.distributions


def setting(plan: Plan, params: dict[str, Any]) -> str:
    """Identity of a setting: the hash of its first run, so that knobs without effect are none."""
    return plan.cells(plan.search.suggest(FixedTrial(params)))[0].hash
