"""Workers as jobs of a cluster, through submitit: `--launcher slurm`."""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.cli.job import Job
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.files import whole
from experiments.grid import Cell
from experiments.ledger.ledger import Ledger
from experiments.ledger.outage import has_password
from experiments.workers import signals
from experiments.workers.progress import Bars
from experiments.workers.worker import claim_and_run

LOOK = 5.0  # seconds between two looks: the jobs are others' machines
AGAIN = signal.SIGUSR2  # submitit's signal for a job that is preempted or out of time


class Worker:
    """What one job does: claim cells and run them; submitted again if it is ended early."""

    def __init__(
        self,
        folder: Path,
        study: str,
        storage: str | None,
        cells: Sequence[Cell],
        runtime: Runtime,
    ) -> None:
        self.arguments = (folder, study, storage, cells, runtime)

    def __call__(self) -> None:
        """Run until no cell waits; asked to make room, save the checkpoint and queue again."""
        requeue = signal.getsignal(AGAIN)
        signals.obey(also=(AGAIN,))
        claim_and_run(*self.arguments)
        if signals.asked() == AGAIN and callable(requeue):
            requeue(AGAIN, None)

    def checkpoint(self) -> Any:
        """The job to submit instead of this one; its runs' checkpoints are on disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def launch(job: Job, settings: Sequence[str], ledger: Ledger, todo: list[Cell], count: int) -> int:
    """Submit up to `count` jobs, fewer by those that an earlier command left, and show progress.

    Args:
        settings: KEY=VALUE of submitit, such as slurm_partition=gpu; cluster=local for jobs that
            are processes of this machine.

    Returns:
        0 when the jobs have ended, 130 if the command was interrupted; the jobs go on then.

    Raises:
        UserError: no submitit, no cluster, an unknown setting, a storage that jobs cannot use.
    """
    try:
        import submitit
    except ImportError as error:
        message = '--launcher slurm needs submitit: pip install -e ".[slurm]"'
        raise UserError(message) from error
    parameters = _defaults(job) | {
        k: _value(v) for k, _, v in (s.partition("=") for s in settings)
    }
    cluster = parameters.pop("cluster", "slurm")
    _check_storage(job.storage, cluster)
    logs = job.folder / "jobs"
    earlier = [j for j in _earlier(logs / "jobs.json") if not j.done()]
    try:
        executor = submitit.AutoExecutor(folder=logs / "%j", cluster=cluster)
        executor.update_parameters(**parameters)
    except (NameError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise UserError(f"--launcher slurm: {error}") from error
    worker = Worker(job.folder, job.study, job.storage, todo, job.runtime)
    with executor.batch():
        new = [executor.submit(worker) for _ in range(count - len(earlier))]
    jobs = [*earlier, *new]
    ids = [each.job_id for each in jobs]
    if cluster == "slurm":
        with whole(logs / "jobs.json") as draft:
            draft.write_text(json.dumps(ids), encoding="utf-8")
    print(f"{len(new)} jobs submitted, {len(earlier)} of an earlier command; logs in {logs}")
    try:
        _show(jobs, ledger, job)
    except KeyboardInterrupt:
        print(
            f"the jobs go on: squeue --jobs {','.join(ids)} shows them, scancel ends them; the "
            "same command joins them",
            file=sys.stderr,
        )
        return 130
    return 0


def _show(jobs: list[Any], ledger: Ledger, job: Job) -> None:
    with Bars("cells") as bars:
        while True:
            ended = all(each.done() for each in jobs)
            now = ledger.pulse(job.chosen)
            bars.show(now)
            if ended and not now.running:
                return
            time.sleep(LOOK)


def _defaults(job: Job) -> dict[str, Any]:
    return {
        "name": job.grid.name,
        "timeout_min": 24 * 60,  # submitit's own is 5 minutes
        "cpus_per_task": job.preset.train.threads + job.preset.data.workers,
        "gpus_per_node": int(job.runtime.device != "cpu"),
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_storage(storage: str | None, cluster: str) -> None:
    if storage is not None and has_password(storage):
        raise UserError(
            "--storage holds a password, which would be written into the jobs' files; put it into "
            "~/.pgpass (host:port:database:user:password, mode 600) and leave it out here"
        )
    if storage is None and cluster == "slurm":
        raise UserError(
            "jobs on several machines need --storage postgresql+psycopg://user@host/database; a "
            "SQLite file is for one machine"
        )


def _earlier(file: Path) -> list[Any]:
    """The jobs that earlier commands submitted to the cluster."""
    if not file.exists():
        return []
    from submitit import SlurmJob

    ids = json.loads(file.read_text(encoding="utf-8"))
    return [SlurmJob(file.parent / "%j", each) for each in ids]
