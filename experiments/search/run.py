"""A search: which setting of a few knobs is best, by TPE on the validation split.

A setting is one Optuna trial with its seeds inside. The test split is never read and no seed is a
grid's, so a search only proposes arms: what they are worth, a grid decides.
"""

import argparse
from contextlib import suppress

from experiments.errors import UserError
from experiments.ledger.attempts import STRIKES
from experiments.ledger.outage import StorageError
from experiments.search import worker
from experiments.search.plan import Plan, plan
from experiments.search.report import listing, write, write_summary
from experiments.search.study import Settings
from experiments.workers import slots, supervise
from experiments.workers.disk import told_where


def run(options: argparse.Namespace) -> int:
    """Try settings until the budget is spent; the same command goes on where it stopped.

    Returns:
        0 only if every setting was tried; 1 if one failed; 2 if nothing can be stored; 128 + the
        signal that stopped it.

    Raises:
        UserError: a mistake in the options; storage or disk are at fault.
    """
    chosen = plan(options)
    if options.list:
        print(_listed(chosen))
        return 0
    try:
        (chosen.folder / "runs").mkdir(parents=True, exist_ok=True)
        settings = Settings(chosen)
    except OSError as error:
        raise UserError(f"cannot write to {chosen.folder}: {error}") from error
    if (begun := settings.plan.budget) > chosen.budget:
        print(f"{begun} settings were begun here before: they are the budget, not {chosen.budget}")
    with told_where(chosen.folder):
        return _start(settings, options) or _conclude(settings)


def _listed(chosen: Plan) -> str:
    """The settings and their states; one whose worker died is not shown as running."""
    try:
        settings = Settings(chosen, make=False)
    except KeyError:  # nothing is there yet
        return f"0 of {chosen.budget} settings tried in {chosen.folder}"
    except OSError as error:
        raise UserError(f"cannot read {chosen.folder}: {error}") from error
    with suppress(OSError, StorageError):  # what cannot be written may still be read
        settings.revive(())
    return listing(settings)


def _start(settings: Settings, options: argparse.Namespace) -> int:
    """Try what is left of the budget by processes of this machine; its exit code."""
    chosen, todo = settings.plan, settings.begin(options.retry)
    write_summary(settings)  # from here on the folder is this search's
    most = slots.at_once(chosen.preset.train.threads, chosen.runtime.device)
    count = min(options.workers or most, len(todo))
    what = f"trying {len(todo)} with {count} workers" if todo else "nothing to try"
    print(f"{chosen.study}: {chosen.budget} settings, {settings.tried()} tried; {what}")
    if stale := settings.superseded_settings():
        print(f"{stale} complete settings belong to earlier data, code, scale or definition; kept")
    if not todo:
        return 0
    slots.check(chosen.runtime)
    return supervise.run_workers(
        worker.work,
        (chosen, settings.slots),
        count,
        lambda: settings.pulse(settings.slots),
        unit="settings",
    )


def _conclude(settings: Settings) -> int:
    """Write the report, say where it is; 1 if a setting is not tried."""
    print(write(settings))
    print(f"written to {settings.folder}: search.md, search.json")
    print(f"dashboard: {settings.dashboard}")
    if told := untried(settings):
        print(told)
    return int(bool(told))


def untried(settings: Settings) -> str:
    """How many settings are left and what tries them; "" where none is."""
    left, struck = settings.plan.budget - settings.tried(), settings.struck()
    advice = ["the same command goes on"] * (left > struck)
    if struck:
        advice.append(f"{struck} failed {STRIKES} times: --retry all tries them again")
    told = f"{left} of {settings.plan.budget} settings are not tried; {'; '.join(advice)}"
    return told if left else ""
