"""What the attempts at a cell, trials of its hash in their order, say about it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from optuna.trial import FrozenTrial, TrialState

from experiments.ledger.claim import DIED, ENDED, ERROR, FAILED, INTERRUPTED, RUN, machine
from experiments.ledger.pulse import Running

if TYPE_CHECKING:  # a ledger needs no torch
    from experiments.grid import Cell

Retry = Literal["failed", "all", "none"]
State = Literal["complete", "running", "failed", "missing", "struck", "elsewhere"]
STRIKES = 3  # before a cell is given up
RUN_BY: dict[Retry, tuple[State, ...]] = {  # the states of cells that a --retry runs
    "none": ("missing",),
    "failed": ("missing", "failed"),
    "all": ("missing", "failed", "struck", "elsewhere"),
}
OPEN: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "missing",
}


@dataclass(frozen=True)
class CellState:
    """What has become of a cell, by its latest attempt."""

    arm: str
    seed: int
    hash: str
    state: State = "missing"
    reason: str = ""
    seconds: float | None = None  # from claim to end, of a complete attempt
    attempts: int = 0
    where: str = ""  # "host:folder" of the latest attempt
    step: int = 0  # that it reached


def state_of(arm: str, seed: int, key: str, attempts: Sequence[FrozenTrial]) -> CellState:
    """The state of a cell that was attempted so often, as far as the ledger knows."""
    if not attempts:
        return CellState(arm, seed, key)
    last, failed = attempts[-1], [trial for trial in attempts if _failed(trial)]
    run = last.user_attrs.get(RUN, {})
    complete = last.state == TrialState.COMPLETE
    state = OPEN.get(last.state) or _unsuccessful(attempts)
    return CellState(
        arm=arm,
        seed=seed,
        hash=key,
        state=state,
        reason=(failed[-1] if state in ("failed", "struck") else last).user_attrs.get(ERROR, ""),
        seconds=last.duration.total_seconds() if complete and last.duration else None,
        attempts=sum(trial.state != TrialState.WAITING for trial in attempts),
        where=f"{run['host']}:{run['folder']}" if run else "",
        step=run.get("step", 0),
    )


def strikes(attempts: Sequence[FrozenTrial]) -> int:
    """How many attempts failed, or died without a checkpoint beyond those of earlier ones."""
    count, furthest = 0, 0
    for trial in attempts:
        saved = trial.user_attrs.get(RUN, {}).get("saved", 0)
        if trial.state == TrialState.FAIL:
            ended = trial.user_attrs.get(ENDED, FAILED)
            count += ended == FAILED or (ended == DIED and saved <= furthest)
        furthest = max(furthest, saved)
    return count


def abandoned(attempts: Sequence[FrozenTrial]) -> bool:
    """Whether the latest attempt left a cell that nobody gave up: its worker died, or another
    machine gave it back. What was stopped on this machine, a person stopped."""
    if not attempts:
        return False
    last = attempts[-1].user_attrs
    there = last.get(RUN, {}).get("machine", machine()) != machine()
    left = last.get(ENDED) == DIED or (last.get(ENDED) == INTERRUPTED and there)
    return left and strikes(attempts) < STRIKES


def running(trial: FrozenTrial, steps: int) -> Running:
    """A running attempt at a cell of so many steps."""
    run = trial.user_attrs.get(RUN, {})
    here = run.get("machine") == machine()
    return Running(
        key=str(trial._trial_id),
        label="{arm} seed {seed}".format(**trial.user_attrs)
        + ("" if here else f" @{run.get('host', '?')}"),
        step=run.get("step", 0),
        steps=steps,
        pid=run["pid"] if here else None,
    )


def failures(trials: Iterable[FrozenTrial]) -> tuple[str, ...]:
    """A line for each of the attempts that failed or died, in the order of their ends."""
    bad = [t for t in trials if t.datetime_complete and t.user_attrs.get(ENDED) in (FAILED, DIED)]
    bad.sort(key=lambda t: t.datetime_complete)
    form = "{ended}: {arm} seed {seed}: {error}"
    return tuple(form.format(**{ERROR: "", **trial.user_attrs}) for trial in bad)


def settings(cells: Sequence["Cell"]) -> dict[str, dict[str, Any]]:
    """The leaves of the configuration in which arms differ, by arm: {"loss.pixel.name": "bce"}.

    An arm without a leaf that another has lacks it here too.
    """
    first = min((cell.seed for cell in cells), default=0)
    leaves = {c.arm: dict(_leaves(c.config.as_dict())) for c in cells if c.seed == first}
    keys = {key for found in leaves.values() for key in found}
    apart = sorted(k for k in keys if len({repr(f.get(k, ...)) for f in leaves.values()}) > 1)
    return {
        arm: {key: found[key] for key in apart if key in found} for arm, found in leaves.items()
    }


def _failed(trial: FrozenTrial) -> bool:
    ended: str = trial.user_attrs.get(ENDED, FAILED)
    return trial.state == TrialState.FAIL and ended != INTERRUPTED


def _unsuccessful(attempts: Sequence[FrozenTrial]) -> State:
    """An interruption neither is a failure nor undoes one."""
    if not any(map(_failed, attempts)):
        return "missing"
    return "struck" if strikes(attempts) >= STRIKES else "failed"


def _leaves(tree: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{above}{key}.")
        else:
            plain = isinstance(value, str | int | float | None)
            found.append((f"{above}{key}", value if plain else json.dumps(value)))
    return found
