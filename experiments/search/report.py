"""What a search found: its settings, its budget, and what may be said of it."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from experiments.config import LossConfig
from experiments.files import whole
from experiments.ledger.attempts import OPEN
from experiments.ledger.claim import DIED, ENDED, ERROR, INTERRUPTED
from experiments.search.plan import Plan
from experiments.search.study import SETTING, Settings

TOP = 5
ENOUGH = 10  # complete settings without which importances are noise
STATEMENT = (
    "These are validation scores of a search: the best of many settings looks better than it is, "
    "and the seeds and images that chose it cannot judge it. They are no result for a table. "
    "Paste the arm into a grid and run that: its seeds are others, and the test split is unread."
)


def state(trial: FrozenTrial) -> str:
    """The word for a setting's state."""
    if trial.state == TrialState.PRUNED:
        return "pruned"
    if trial.user_attrs.get(ENDED) == INTERRUPTED:
        return "stopped"
    return OPEN.get(trial.state, "failed")


def listing(settings: Settings) -> str:
    """The settings and their states, a line each; those not begun are counted."""
    plan, latest = settings.plan, settings.latest()
    lines = []
    for number, trial in latest.items():
        if trial.state == TrialState.WAITING and not trial.params:
            continue
        value = "" if trial.value is None else f"{trial.value:.4f}"
        reason = trial.user_attrs.get(ERROR, "")
        told = _told(trial.params, "=", " ")
        lines.append(f"{number:>4}  {state(trial):<9} {value:>8}  {told}  {reason}".rstrip())
    lines.append(f"{settings.tried()} of {plan.budget} settings tried in {plan.folder}")
    if stale := settings.superseded_settings():
        lines.append(
            f"{stale} complete settings belong to earlier data, code, scale or definition; kept"
        )
    return "\n".join(lines)


def summary(settings: Settings) -> dict[str, Any]:
    """The report as plain data."""
    plan, latest = settings.plan, settings.latest()
    words = {number: state(trial) for number, trial in latest.items()}
    count = Counter(words.values())
    failed = [n for n in words if words[n] == "failed"]
    complete = {n: t for n, t in latest.items() if words[n] == "complete"}
    ranked = sorted(complete, key=lambda n: complete[n].value, reverse=not plan.minimises)
    first = [n for n in complete if n < len(plan.search.first)]
    return {
        "search": plan.search.name,
        "preset": plan.preset_name,
        "question": plan.search.question,
        "metric": f"{plan.select}, best on validation, mean of {plan.search.seeds} seeds",
        "statement": STATEMENT,
        "budget": {
            "settings": plan.budget,
            **{word: count[word] for word in ("complete", "pruned", "failed")},
            **_spent(settings),
        },
        "best": [_setting(plan, n, complete[n]) for n in ranked[:TOP]],
        "first": [_setting(plan, n, complete[n]) for n in first],
        "importances": importances(settings),
        "failures": {n: latest[n].user_attrs.get(ERROR, "") for n in failed},
    }


def _spent(settings: Settings) -> dict[str, float]:
    """Of these settings: runs begun in this folder, hours of all attempts whose worker lived."""
    plan = settings.plan
    attempts = [t for trials in settings.attempts().values() for t in trials]
    lasted = [
        t.duration.total_seconds()
        for t in attempts
        if t.duration is not None and t.user_attrs.get(ENDED) != DIED
    ]
    drawn = [trial.params for trial in settings.latest().values() if SETTING in trial.user_attrs]
    runs = [cell for knobs in drawn for cell in plan.cells(plan.search.suggest(FixedTrial(knobs)))]
    begun = [c for c in runs if (settings.folder / "runs" / c.folder / "config.json").exists()]
    return {"runs": len(begun), "hours": round(sum(lasted) / 3600, 3)}


def _setting(plan: Plan, number: int, trial: FrozenTrial) -> dict[str, Any]:
    seeds = {k.removeprefix("seed "): v for k, v in trial.user_attrs.items() if "seed " in k}
    return {
        "setting": number,
        "value": trial.value,
        "seeds": seeds,
        "knobs": trial.params,
        "arm": arm_line(plan, number, trial.params),
    }


def arm_line(plan: Plan, number: int, params: Mapping[str, Any]) -> str:
    """A setting as an arm of a grid, ready to paste."""
    arm = plan.search.suggest(FixedTrial(dict(params)))
    plain = vars(LossConfig())
    parts = [f"{k}={v!r}" for k, v in vars(arm.loss).items() if v != plain[k]]
    model = f", model={dict(arm.model)!r}" if arm.model else ""
    name = f"{plan.search.name}_{number}"
    return f'"{name}": Arm({arm.about!r}, LossConfig({", ".join(parts)}){model}),'


def importances(settings: Settings) -> dict[str, float]:
    """Share of each knob in the spread of values (PED-ANOVA); empty where that were noise."""
    complete = settings.complete_settings()
    if len(complete) < ENOUGH or len({t.value for t in complete}) < 2:
        return {}
    study = optuna.create_study(direction="minimize" if settings.plan.minimises else "maximize")
    study.add_trials(complete)
    found = get_param_importances(study)
    return {name: round(share, 3) for name, share in found.items()}


def markdown(found: Mapping[str, Any]) -> str:
    """The report as one reads it."""
    b = found["budget"]
    lines = [
        f"# Search {found['search']}, preset {found['preset']}",
        found["question"],
        found["statement"],
        f"{b['complete'] + b['pruned']} of {b['settings']} settings tried: {b['complete']} "
        f"complete, {b['pruned']} given up early, {b['failed']} failed; {b['runs']} runs, "
        f"{b['hours']:g} hours of training. Value: {found['metric']}.",
    ]
    if found["best"]:
        arm = f"```python\n{found['best'][0]['arm']}\n```"
        lines += ["## Best settings", _table(found["best"]), "The best as an arm of a grid:", arm]
    if found["first"]:
        lines += ["## Settings to compare with, tried first", _table(found["first"])]
    if found["importances"]:
        shares = [f"| {name} | {share:.2f} |" for name, share in found["importances"].items()]
        about = "Share of each knob in the spread of the complete settings' values (PED-ANOVA)."
        table = "\n".join(["| knob | share |", "|-|-|", *shares])
        lines += ["## Which knobs matter", about, table]
    if found["failures"]:
        reasons = [f"- setting {number}: {why}" for number, why in found["failures"].items()]
        lines += ["## Failed", "\n".join(reasons)]
    return "\n\n".join(lines) + "\n"


def _table(settings: list[dict[str, Any]]) -> str:
    rows = ["| setting | value | each seed | knobs |", "|-|-|-|-|"]
    for s in settings:
        seeds = ", ".join(f"{value:.4f}" for value in s["seeds"].values())
        told = _told(s["knobs"], " ", ", ")
        rows.append(f"| {s['setting']} | {s['value']:.4f} | {seeds} | {told} |")
    return "\n".join(rows)


def _told(knobs: Mapping[str, Any], between: str, after: str) -> str:
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in knobs.items()}
    return after.join(f"{key}{between}{value}" for key, value in shown.items())


def write_summary(settings: Settings) -> dict[str, Any]:
    """Write search.json; returns what it holds."""
    found = summary(settings)
    with whole(settings.folder / "search.json") as draft:
        draft.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def write(settings: Settings) -> str:
    """Write search.json and search.md; returns the latter's text."""
    text = markdown(write_summary(settings))
    with whole(settings.folder / "search.md") as draft:
        draft.write_text(text, encoding="utf-8")
    return text
