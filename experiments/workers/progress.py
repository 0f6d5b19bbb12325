"""The bars that a supervisor draws: one for everything, one for each run."""

import sys
import time
from typing import Any, Self

from tqdm import tqdm

from experiments.ledger.pulse import Pulse, Running

BARS = 16  # runs with a bar of their own; more would not fit a screen


class Bars:
    """A bar for everything and one for each run; without a terminal a line now and then."""

    def __init__(self, unit: str) -> None:
        form = "{l_bar}{bar}| {n:.1f}/{total} " + unit + " [{elapsed} < {remaining}]"
        # smoothing 0: what is left is told from the mean rate since the start
        self.whole = tqdm(bar_format=form, disable=None, smoothing=0, total=0, position=0)
        self.runs: dict[str, tqdm[Any]] = {}
        self.told = 0
        self.unit = unit
        self.began = time.monotonic()
        self.told_done: list[int] = []  # how many were done at the start and at each line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in (*self.runs.values(), self.whole):
            bar.close()

    def show(self, pulse: Pulse) -> None:
        """Draw the bars anew, and tell the failures that are new."""
        for line in pulse.failures[self.told :]:
            tqdm.write(line, sys.stderr)
        self.told = len(pulse.failures)
        if self.whole.disable:
            self._tell(pulse)
            return
        now = {run.key: run for run in pulse.running}
        for key in [key for key in self.runs if key not in now]:
            self.runs.pop(key).close()
        for key, run in now.items():
            if key not in self.runs and len(self.runs) < BARS:
                self.runs[key] = self._bar(run)
            if key in self.runs:
                self._move(self.runs[key], run.step)
        part = sum(run.step / max(1, run.steps) for run in pulse.running)
        if not self.whole.total:
            self.whole.initial = pulse.done + part
        self.whole.total = pulse.total
        self._move(self.whole, pulse.done + part)

    def _tell(self, pulse: Pulse) -> None:
        """A line for each further tenth that is done: what a log file is looked into for."""
        known = self.told_done or [pulse.done]
        gone, new = time.monotonic() - self.began, pulse.done - known[0]
        if new and pulse.done - known[-1] >= pulse.total / 10:
            left = tqdm.format_interval(gone / new * (pulse.total - pulse.done))
            tqdm.write(
                f"{pulse.done} of {pulse.total} {self.unit} done "
                f"[{tqdm.format_interval(gone)} < {left}]",
                sys.stderr,
            )
            known.append(pulse.done)
        self.told_done = known

    def _bar(self, run: Running) -> "tqdm[Any]":
        free = set(range(1, BARS + 1)) - {-bar.pos for bar in self.runs.values()}
        form = "{desc} {bar:30} {n_fmt}/{total_fmt} [{elapsed} < {remaining}]"
        return tqdm(
            bar_format=form,
            desc=f"  {run.label:<28}",
            total=run.steps,
            initial=run.step,
            position=min(free),
            leave=False,
            smoothing=0,
        )

    @staticmethod
    def _move(bar: "tqdm[Any]", n: float) -> None:
        bar.n = max(bar.initial, n)
        bar.refresh()
