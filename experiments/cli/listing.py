"""What `--list` shows: each cell and what has become of it."""

from contextlib import suppress

from experiments.cli.job import Job
from experiments.errors import UserError
from experiments.ledger.attempts import CellState
from experiments.ledger.ledger import Ledger
from experiments.ledger.outage import StorageError

HEAD = ("arm", "seed", "state", "hash", "seconds", "")
Row = tuple[str, str, str, str, str, str]


def opened(job: Job) -> Ledger | None:
    """The job's ledger; None where there is none yet, and none is made.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return Ledger(job.folder, job.study, job.storage, make=False)
    except KeyError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {job.folder}: {error}") from error


def cell_states(job: Job, ledger: Ledger | None) -> dict[str, CellState]:
    """State of each chosen cell by hash; a cell whose worker died is not shown as running."""
    if ledger:
        with suppress(OSError, StorageError):  # what cannot be written may still be read
            ledger.revive(())
        return ledger.states(job.chosen)
    return {c.hash: CellState(c.arm, c.seed, c.hash, "missing") for c in job.chosen}


def listing(job: Job) -> str:
    """The cells and their states, a line each, then those of earlier definitions."""
    ledger = opened(job)
    states = cell_states(job, ledger)
    old = ledger.superseded(job.cells) if ledger else []
    rows = [row(states[cell.hash], cell.config.train.steps) for cell in job.chosen]
    rows += [(*row(state, 0)[:2], "superseded", *row(state, 0)[3:]) for state in old]
    done = sum(state.state == "complete" for state in states.values())
    lines = [*table(rows), f"{done} of {len(job.chosen)} cells complete in {job.folder}"]
    if old:
        lines.append(
            f"{len(old)} superseded: complete by an earlier definition of arm, data or code, or "
            "of an arm that this command leaves out; kept"
        )
    return "\n".join(lines)


def row(found: CellState, steps: int) -> Row:
    """A cell's columns."""
    seconds = f"{found.seconds:.0f}" if found.seconds is not None else ""
    return found.arm, str(found.seed), found.state, found.hash, seconds, note(found, steps)


def note(found: CellState, steps: int) -> str:
    """What is to be said of a cell beside its state."""
    if found.state == "running":
        return f"step {found.step} of {steps}, {found.where}"
    if found.state == "elsewhere":
        return f"its files are at {found.where}"
    times = f" ({found.attempts} attempts)" if found.attempts > 1 else ""
    return f"{found.reason}{times}" if found.state != "complete" else ""


def table(rows: list[Row]) -> list[str]:
    """Aligned columns under their names."""
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    lined = [zip(one, widths, strict=True) for one in (HEAD, *rows)]
    return ["  ".join(text.ljust(width) for text, width in one).rstrip() for one in lined]
