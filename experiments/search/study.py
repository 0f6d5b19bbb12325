"""The ledger of a search: a cell is a numbered setting, its knobs drawn when it is claimed."""

from collections.abc import Sequence
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from experiments.config import code_digest
from experiments.errors import UserError
from experiments.grid import Cell
from experiments.ledger.attempts import STRIKES, Retry, strikes
from experiments.ledger.claim import Claim
from experiments.ledger.ledger import Ledger, Wanted
from experiments.ledger.pulse import Pulse
from experiments.ledger.storage import exclusive
from experiments.search.draw import Drawn, draw, setting
from experiments.search.plan import FIRST_SEED, Plan

SETTING = "setting"  # attribute: identity of the knobs; there once they are all stored
TRIED = (TrialState.COMPLETE, TrialState.PRUNED)


class Settings(Ledger):
    """The settings of a search, and what has become of them.

    An attempt at a setting has the knobs and the curve of the attempt before it, so a setting
    whose worker died or was stopped goes on where it was. A worker gets the slots of the process
    that made them: read anew, they would be others if the code was changed since.

    The budget is never less than what was begun: of fewer settings the best would look better
    than it is.
    """

    def __init__(
        self, plan: Plan, slots: Sequence[Cell] = (), *, make: bool = True, tell: bool = True
    ) -> None:
        super().__init__(plan.folder, plan.study, plan.storage, plan.select, make=make, tell=tell)
        self.plan = plan
        self.slots = slots or plan.slots()
        self._changed: dict[int, bool] = {}  # by trial: whether its knobs make another setting
        if not slots and (begun := self._begun()) > plan.budget:
            self.plan = replace(plan, budget=begun)
            self.slots = self.plan.slots()

    def attempts(self) -> dict[int, list[FrozenTrial]]:
        """The attempts at each setting that has any, by the setting's number."""
        known = self._attempts(self.slots)
        return {cell.seed: known[cell.hash] for cell in self.slots if known[cell.hash]}

    def latest(self) -> dict[int, FrozenTrial]:
        """The latest attempt at each setting that has any, by the setting's number."""
        return {number: trials[-1] for number, trials in self.attempts().items()}

    def tried(self) -> int:
        """How many settings are complete or given up."""
        return sum(trial.state in TRIED for trial in self.latest().values())

    def struck(self) -> int:
        """How many settings failed so often that only `retry="all"` tries them again."""
        ended = [t for t in self.attempts().values() if t[-1].state == TrialState.FAIL]
        return sum(strikes(trials) >= STRIKES for trials in ended)

    def begin(self, retry: Retry) -> list[Cell]:
        """Make waiting trials of the settings that are to be tried, and return those."""
        self.describe([], search=self.plan.search.name, question=self.plan.search.question)
        return self.enqueue(self.slots, retry=retry)

    def superseded_settings(self) -> int:
        """Complete settings of other data, code, scale or definition; they are left alone."""
        complete = super()._trials(TrialState.COMPLETE)
        return sum(not self._mine(trial) or self._stale(trial) for trial in complete)

    def settle(self, claim: Claim) -> FrozenTrial:
        """Draw the knobs of a claimed trial that has none yet, and return it.

        Raises:
            UserError: no setting is left, or the knobs' choices were changed.
        """
        drawn: Drawn | None = None

        def settled() -> FrozenTrial:
            nonlocal drawn
            with exclusive(self.url):  # so that the next one to draw sees this one's
                trial = self.storage.get_trial(claim.trial_id)
                if SETTING in trial.user_attrs:
                    return trial
                drawn = drawn or draw(self.plan, self._seen(), claim.cell.seed)
                params, ranges = drawn
                for name in [name for name in params if name not in trial.params]:
                    inner = ranges[name].to_internal_repr(params[name])
                    self.storage.set_trial_param(claim.trial_id, name, inner, ranges[name])
                key = setting(self.plan, params)
                self.storage.set_trial_user_attr(claim.trial_id, SETTING, key)
                return self.storage.get_trial(claim.trial_id)

        try:
            return self._patiently(settled)
        except ValueError as error:
            raise UserError(
                f"the knobs of search {self.plan.search.name!r} are not those of its study any "
                f"more ({error}); choose another --out"
            ) from error

    def _seen(self) -> list[FrozenTrial]:
        """The settings whose knobs are drawn; one that waits to go on is as good as running."""
        seen = [trial for trial in self.latest().values() if SETTING in trial.user_attrs]
        return [_running(t) if t.state == TrialState.WAITING else t for t in seen]

    def complete_settings(self) -> list[FrozenTrial]:
        """The settings that were tried to their end."""
        return [t for t in self.latest().values() if t.state == TrialState.COMPLETE]

    def end(self, claim: Claim, state: TrialState, value: float, seeds: Sequence[float]) -> None:
        """Close a claimed setting, complete or given up, with the values of its finished seeds.

        Raises:
            LostClaim: it was given to another worker.
        """
        each = {f"seed {FIRST_SEED + k}": value for k, value in enumerate(seeds)}
        claim.close(state, [value], each)

    def pulse(self, cells: Sequence[Cell]) -> Pulse:
        """How things stand; what was given up is done as well."""
        found = super().pulse(cells)
        return replace(
            found,
            done=self.tried(),
            running=tuple(replace(run, label=_setting(run.label)) for run in found.running),
            failures=tuple(_setting(line) for line in found.failures),
        )

    def _here(self, cell: Cell) -> bool:  # noqa: ARG002
        """A setting's result is its value, which the ledger has."""
        return True

    def _enqueue(self, cells: Sequence[Cell], wanted: Wanted) -> list[Cell]:
        def unless_given_up(cell: Cell, past: Sequence[FrozenTrial]) -> bool:
            given_up = bool(past) and past[-1].state == TrialState.PRUNED
            return not given_up and wanted(cell, past)

        return super()._enqueue(cells, unless_given_up)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """In the settings' order, in which they are claimed and drawn; none that is stale."""
        trials = [trial for trial in super()._trials(*states) if not self._stale(trial)]
        return sorted(trials, key=lambda trial: int(trial.user_attrs["seed"]))

    def _begun(self) -> int:
        begun = [t for t in self._trials() if self._mine(t) and t.state != TrialState.WAITING]
        return max((int(t.user_attrs["seed"]) + 1 for t in begun), default=0)

    def _mine(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs["hash"].startswith(self.slots[0].hash.removesuffix("0")))

    def _stale(self, trial: FrozenTrial) -> bool:
        """Whether a trial of these slots has knobs that make another setting than they did."""
        key, number = trial.user_attrs.get(SETTING), trial._trial_id
        if key is None or trial.state == TrialState.RUNNING or not self._mine(trial):
            return False  # of one that runs, this may have come before its last knob
        if number not in self._changed:
            self._changed[number] = setting(self.plan, trial.params) != key
        return self._changed[number]

    def _trial(self, cell: Cell) -> FrozenTrial:
        """A waiting trial; with the attempt before it, with all that one had."""
        settled = [t for t in self._attempts([cell])[cell.hash] if SETTING in t.user_attrs]
        attributes = {"hash": cell.hash, "arm": cell.arm, "seed": cell.seed}
        attributes["code_digest"] = code_digest()
        if not settled:
            return optuna.create_trial(state=TrialState.WAITING, user_attrs=attributes)
        last = settled[-1]
        return optuna.create_trial(
            state=TrialState.WAITING,
            params=last.params,
            distributions=last.distributions,
            user_attrs={**attributes, SETTING: last.user_attrs[SETTING]},
            intermediate_values=last.intermediate_values,
        )


def _setting(text: str) -> str:
    """A cell's label as a setting's: its number stands where a cell's seed does."""
    return text.replace(" seed ", " setting ", 1)


def _running(trial: FrozenTrial) -> FrozenTrial:
    return optuna.create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        intermediate_values=trial.intermediate_values,
    )
