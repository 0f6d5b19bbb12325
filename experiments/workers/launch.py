"""Workers as jobs of a cluster, through submitit: `--launcher slurm`."""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import signals
from experiments.cli.job import Job
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.files import whole
from experiments.grid import Cell
from experiments.ledger.ledger import Ledger
from experiments.ledger.outage import StorageError, has_password, parse
from experiments.workers.progress import Bars
from experiments.workers.supervise import STILLBORN
from experiments.workers.worker import claim_and_run

LOOK = 5.0  # seconds between two looks: the jobs are others' machines
SILENT = 12  # looks in a row at which the cluster knows nothing of a job: it has ended
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
        signals.obey(to=(AGAIN,))  # SIGTERM comes before it: submitit's handler lets it pass
        left = claim_and_run(*self.arguments)
        if signals.asked() == AGAIN and callable(requeue):
            folder, study, storage, *_ = self.arguments
            with suppress(StorageError):  # the job queues again whatever becomes of this
                if left:
                    Ledger(folder, study, storage).enqueue([left], retry="all")
            requeue(AGAIN, None)

    def checkpoint(self) -> Any:
        """The job to submit instead of this one; its runs' checkpoints are on disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def launch(job: Job, settings: Sequence[str], ledger: Ledger, todo: list[Cell], count: int) -> int:
    """Keep up to `count` jobs, with those that an earlier command left, while work waits.

    Args:
        settings: KEY=VALUE of submitit, such as slurm_partition=gpu; cluster=local for jobs that
            are processes of this machine.

    Returns:
        0 when the jobs have ended, 130 if the command was interrupted; the jobs go on then.

    Raises:
        UserError: no submitit, no cluster, an unknown setting, a storage that jobs cannot use;
            jobs that end without taking up anything, again and again.
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
    known = [cell.hash for cell in todo]
    earlier = _earlier(logs / "jobs.json", known)
    try:
        executor = submitit.AutoExecutor(folder=logs / "%j", cluster=cluster)
        executor.update_parameters(**parameters)
    except (NameError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise UserError(f"--launcher slurm: {error}") from error
    worker = Worker(job.folder, job.study, job.storage, todo, job.runtime)
    jobs = [*earlier]

    def submit(number: int) -> None:
        with executor.batch():
            jobs.extend([executor.submit(worker) for _ in range(number)])
        if cluster == "slurm":
            with whole(logs / "jobs.json") as draft:
                draft.write_text(json.dumps({j.job_id: known for j in jobs}), encoding="utf-8")

    if count > len(earlier):
        submit(count - len(earlier))
    print(
        f"{len(jobs) - len(earlier)} jobs submitted, {len(earlier)} of an earlier command; "
        f"logs in {logs}"
    )
    try:
        _show(jobs, ledger, job, count, submit)
    except KeyboardInterrupt:
        print(
            f"the jobs go on: squeue --jobs {','.join(j.job_id for j in jobs)} shows them, "
            "scancel ends them; the same command joins them",
            file=sys.stderr,
        )
        return 130
    return 0


def _show(
    jobs: list[Any], ledger: Ledger, job: Job, count: int, submit: Callable[[int], None]
) -> None:
    """Show progress and replace jobs that ended while work waits, until nothing is left.

    Where the cluster tells nothing of its jobs (no `sacct`), none is replaced: they may live.

    Raises:
        UserError: STILLBORN rounds of new jobs took up nothing.
    """
    silent: dict[str, int] = {}
    begun = rounds = 0
    with Bars("cells") as bars:
        while True:
            live = sum(not _ended(each, silent) for each in jobs)
            now = ledger.pulse(job.chosen)
            bars.show(now)
            begun, rounds = now.begun, 0 if now.begun > begun else rounds
            lost = any(looks > SILENT for looks in silent.values())
            if not live and not now.running and (lost or not now.waiting):
                break
            missing = min(count, now.waiting + len(now.running)) - live
            if now.waiting and missing > 0 and not lost:
                rounds += 1
                if rounds > STILLBORN:
                    raise UserError(
                        f"{STILLBORN} times in a row new jobs ended before they took up anything; "
                        f"their logs are in {job.folder / 'jobs'}"
                    )
                submit(missing)
            time.sleep(LOOK)
    if lost and now.waiting:
        tqdm.write(
            "the cluster does not tell what became of its jobs; squeue shows those that live",
            sys.stderr,
        )


def _ended(job: Any, silent: dict[str, int]) -> bool:
    """Whether a job has ended; `silent` counts the looks at which the cluster knew nothing."""
    looks = silent.get(job.job_id, 0)
    if job.done(force_check=0 < looks <= SILENT):
        silent.pop(job.job_id, None)
        return True
    silent[job.job_id] = looks + 1 if job.state == "UNKNOWN" else 0
    return silent[job.job_id] > SILENT


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
    here = storage is None or parse(storage).get_backend_name() == "sqlite"
    if here and cluster == "slurm":
        raise UserError(
            "jobs on several machines need --storage postgresql+psycopg://user@host/database; a "
            "SQLite file is for one machine"
        )


def _earlier(file: Path, todo: Sequence[str]) -> list[Any]:
    """The live jobs of earlier commands that know the cells of these hashes."""
    if not file.exists():
        return []
    from submitit import SlurmJob

    content = json.loads(file.read_text(encoding="utf-8"))
    known = content if isinstance(content, dict) else {}  # an older version kept no hashes
    mine = [each for each, hashes in known.items() if {*todo} <= {*hashes}]
    found: list[Any] = [SlurmJob(file.parent / "%j", each) for each in mine]
    return [job for job in found if not job.done(force_check=True) and job.state != "UNKNOWN"]
