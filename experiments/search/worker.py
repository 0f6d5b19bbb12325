"""A process that claims settings of a search and runs them until none is left."""

import sys
from collections.abc import Sequence
from contextlib import suppress

import optuna
from optuna.trial import TrialState
from tqdm import tqdm

from experiments import signals
from experiments.errors import UserError
from experiments.grid import Cell
from experiments.ledger.claim import Claim
from experiments.ledger.outage import StorageError
from experiments.search.plan import Plan
from experiments.search.setting import SettingRun
from experiments.search.study import Settings
from experiments.watch import LostClaim
from experiments.workers.slots import deal_gpu
from experiments.workers.supervise import HALT
from experiments.workers.worker import close


def work(plan: Plan, slots: Sequence[Cell], parent: int, index: int) -> None:
    """The life of a worker process, in slot `index` of the process `parent`."""
    signals.obey(parent)
    if plan.runtime.device != "cpu":
        deal_gpu(index)
    try:
        claim_and_run(plan, slots)
    except UserError as error:
        tqdm.write(f"error: {error}", sys.stderr)
        raise SystemExit(HALT) from None


def claim_and_run(plan: Plan, slots: Sequence[Cell]) -> None:
    """Run waiting settings one after another until none waits or this process is to stop.

    Raises:
        UserError: storage or disk are at fault; the setting is given back.
    """
    settings = Settings(plan, slots, tell=False)
    while not signals.stopping():
        with settings.claim(settings.slots) as claim:
            if claim is None:
                return
            attempt(settings, claim)


def attempt(settings: Settings, claim: Claim) -> None:
    """Run a claimed setting and close it: complete, given up, failed or given back.

    Raises:
        UserError: storage or disk are at fault.
    """
    run = None
    try:
        run = SettingRun(settings, claim, settings.settle(claim))
        settings.end(claim, TrialState.COMPLETE, run.run(), run.values)
    except optuna.TrialPruned:
        assert run is not None
        with suppress(LostClaim):
            settings.end(claim, TrialState.PRUNED, run.curve[max(run.curve)], run.values)
    except (SystemExit, KeyboardInterrupt):
        claim.give_back(f"interrupted at step {claim.step}")
        raise
    except StorageError:
        raise
    except Exception as error:
        with suppress(LostClaim):
            close(settings, claim, settings.folder / "runs" / claim.cell.folder, error)
