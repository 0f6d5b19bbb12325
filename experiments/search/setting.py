"""One setting of a search: its seeds' runs one after the other, and its curve over all of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

import optuna
import pandas as pd
from optuna.trial import FixedTrial, FrozenTrial

from experiments import checkpoint, history
from experiments.grid import Cell
from experiments.ledger.claim import Claim
from experiments.results import FINISHED
from experiments.search.study import Settings
from experiments.train import train
from experiments.watch import Stopped, Watch

STARTUP = 5  # complete settings before any is given up


class SettingRun(Watch):
    """A claimed setting; each of its runs is watched by it.

    The curve at index seed * validations + v is the mean over the seeds so far of their best
    validation value, the running seed's after its validation v; it ends at the setting's value.
    """

    def __init__(self, settings: Settings, claim: Claim, trial: FrozenTrial) -> None:
        self.settings, self.claim, self.plan = settings, claim, settings.plan
        self.cells = self.plan.cells(self.plan.search.suggest(FixedTrial(trial.params)))
        self.curve = dict(trial.intermediate_values)  # with that of earlier attempts
        self.values: list[float] = []  # of the finished seeds

    def run(self) -> float:
        """Train the seeds and return the mean of their best validation values.

        A run that is finished is read, one that was interrupted goes on from its checkpoint.

        Raises:
            TrialPruned: given up; what was trained stays.
            Stopped, LostClaim, UserError: as `train`.
        """
        for cell in self.cells:
            if self.stop():
                raise Stopped(f"stopped after {len(self.values)} of {len(self.cells)} seeds")
            folder = self.plan.folder / "runs" / cell.folder
            value = self._read(folder)
            self.values.append(self._trained(cell, folder) if value is None else value)
            if len(self.values) == 1:
                self.settings.show(self.claim, folder / "preview.png")
        return fmean(self.values)

    def stop(self) -> bool:
        """As the claim says."""
        return self.claim.stop()

    def before_write(self) -> None:
        """As the claim says."""
        self.claim.before_write()

    def stepped(self, step: int) -> None:
        """Steps count over all seeds."""
        self.claim.stepped(len(self.values) * self.plan.preset.train.steps + step)

    def validated(self, step: int, value: float) -> None:
        """Draw the curve on.

        Raises:
            TrialPruned: the setting is not worth going on.
        """
        at = self._tell(step, value)
        spared = at < self.plan.preset.train.validations // 2  # half of the first seed
        if not spared and self._behind(at, self.settings.complete_settings()):
            raise optuna.TrialPruned

    def _tell(self, step: int, value: float) -> int:
        """Add a validation to the curve; the index it has there."""
        t = self.plan.preset.train
        first = len(self.values) * t.validations
        at = first + round(step * t.validations / t.steps) - 1
        so_far = fmean([*self.values, value])
        if at > first and at - 1 in self.curve:
            so_far = self.plan.best(self.curve[at - 1], so_far)
        self.curve[at] = so_far
        self.claim.validated(at, so_far)
        return at

    def _behind(self, at: int, complete: Sequence[FrozenTrial]) -> bool:
        """Whether the curve is worse than the median of the complete settings at this index.

        Settings share their seeds, so values at one index are pairs. Optuna's own MedianPruner
        compares a trial's best value at any index, which breaks the pairs, and would give up none
        in its second seed, as each seed starts low.
        """
        others = [t.intermediate_values[at] for t in complete if at in t.intermediate_values]
        if len(others) < STARTUP:
            return False
        middle = float(median(others))
        return self.curve[at] != middle and self.plan.best(self.curve[at], middle) == middle

    def _read(self, folder: Path) -> float | None:
        """The best validation value of a finished run, its curve told; None of another one."""
        if not (folder / FINISHED).exists():
            return None
        name = f"val_{self.plan.select}"
        rows = pd.read_csv(folder / history.FILE).dropna(subset=[name])
        for step, value in zip(rows["step"], rows[name], strict=True):
            self._tell(int(step) + 1, float(value))
        summary = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        return float(summary["validation"])

    def _trained(self, cell: Cell, folder: Path) -> float:
        about, runtime = cell.identity(), self.plan.runtime
        try:
            return train(cell.config, folder, self, identity=about, runtime=runtime, test=False)
        except optuna.TrialPruned:
            (folder / checkpoint.FILE).unlink(missing_ok=True)  # nothing goes on from it any more
            raise
