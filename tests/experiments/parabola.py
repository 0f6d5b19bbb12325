"""A search whose settings' runs are a known parabola, in place of runs that train."""

import json
from pathlib import Path

import optuna

from experiments import grid as grids
from experiments.config import LossConfig
from experiments.grid import Arm
from experiments.results import FINISHED
from experiments.search import worker as search_worker
from experiments.search.plan import Plan
from experiments.search.search import Search
from experiments.search.study import Settings

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
