"""Cells that cost nothing and workers that need no torch, to try what carries the real ones."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from experiments import signals
from experiments.ledger.claim import Claim
from experiments.ledger.ledger import Ledger
from experiments.workers.supervise import HALT, run_workers


@dataclass(frozen=True)
class Cell:
    """What a ledger asks of a cell."""

    arm: str
    seed: int
    hash: str
    code: str = "c"

    @property
    def folder(self) -> str:
        return f"{self.arm}-seed{self.seed}-{self.hash}"

    @property
    def config(self) -> SimpleNamespace:
        content = {"seed": self.seed, "loss": {"pixel": {"name": self.arm}, "weight": 1.0}}
        return SimpleNamespace(train=SimpleNamespace(steps=10), as_dict=lambda: content)

    def identity(self) -> dict[str, str]:
        return {"arm": self.arm, "hash": self.hash, "data_digest": "d", "code_digest": self.code}


def cells(count: int, arm: str = "a") -> list[Cell]:
    """The seeds of an arm."""
    return [Cell(arm, seed, f"{arm}{seed:03d}") for seed in range(count)]


def states(ledger: Ledger, todo: Sequence[Cell]) -> list[str]:
    """What the ledger says of each cell."""
    found = ledger.states(todo)
    return [found[cell.hash].state for cell in todo]


def finish(ledger: Ledger, claim: Claim, value: float) -> None:
    """Leave what a finished run leaves, and close the cell."""
    run = ledger.folder / "runs" / claim.cell.folder
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.json").touch()
    claim.complete(value)


def drain(
    folder: Path, url: str | None, todo: Sequence[Cell], parent: int = 0, _index: int = 0
) -> None:
    """Claim cells until none waits; each leaves a line in `folder`/ran."""
    signals.obey(parent or None)
    ledger = Ledger(folder, "study", url)
    while not signals.stopping():
        with ledger.claim(todo) as claim:
            if claim is None:
                return
            with (folder / "ran").open("a") as log:
                log.write(f"{claim.cell.hash}\n")
            finish(ledger, claim, float(claim.cell.seed))


def slow(folder: Path, url: str | None, todo: Sequence[Cell], parent: int, _index: int) -> None:
    """As `drain`, ten steps of 0.1 s a cell; asked to stop it gives its cell back."""
    signals.obey(parent)
    ledger = Ledger(folder, "study", url, tell=False)
    while not signals.stopping():
        with ledger.claim(todo) as claim:
            if claim is None:
                return
            for step in range(1, 11):
                time.sleep(0.1)
                claim.stepped(step)
                claim.before_write()
                if claim.stop():
                    claim.give_back("asked to stop")
                    return
            claim.validated(10, 0.5)
            with (folder / "ran").open("a") as log:
                log.write(f"{claim.cell.hash}\n")
            finish(ledger, claim, float(claim.cell.seed))


def dies_at_seed_0(
    folder: Path, url: str | None, todo: Sequence[Cell], parent: int, _index: int
) -> None:
    """As `drain`, but the first attempt at seed 0 is killed after its checkpoint."""
    signals.obey(parent)
    ledger = Ledger(folder, "study", url)
    while True:
        with ledger.claim(todo) as claim:
            if claim is None:
                return
            if claim.cell.seed == 0 and not (folder / "killed").exists():
                (folder / "killed").touch()
                claim.stepped(5)
                claim.before_write()
                os.kill(os.getpid(), signal.SIGKILL)
            finish(ledger, claim, 1.0)


def hold(folder: Path, url: str | None, todo: Sequence[Cell], step: int = 0) -> None:
    """Claim a cell, get to a step, save, and stay there."""
    with Ledger(folder, "study", url).claim(todo) as claim:
        assert claim is not None
        claim.stepped(step)
        if step:
            claim.before_write()
        (folder / "held").touch()
        time.sleep(60)


def broken(_parent: int, _index: int) -> None:
    """A worker that cannot even begin."""
    raise SystemExit("no such library")


def idle(_parent: int, _index: int) -> None:
    """A worker that finds nothing to do, whatever waits."""


def halts(_parent: int, _index: int) -> None:
    """A worker that finds that nothing can be stored."""
    raise SystemExit(HALT)


def stuck(folder: Path, url: str | None, todo: Sequence[Cell], parent: int, _index: int) -> None:
    """Claim a cell and stay in its first step, whoever asks to stop."""
    signals.obey(parent)
    hold(folder, url, todo)


if __name__ == "__main__":  # FOLDER WORKER: run eight cells by three of these workers
    folder, todo = Path(sys.argv[1]), cells(8)
    ledger = Ledger(folder, "study")
    ledger.enqueue(todo)
    target = {"slow": slow, "stuck": stuck}[sys.argv[2]]
    sys.exit(run_workers(target, (folder, None, todo), 3, lambda: ledger.pulse(todo)))
