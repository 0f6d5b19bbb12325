"""What a grid will cost, told before it runs: `--dry-run`."""

import json
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import mean

import torch

from experiments import grid as grids
from experiments import task as tasks
from experiments.cli.job import Job
from experiments.cli.listing import cell_states, opened
from experiments.cli.options import duration
from experiments.config import RunConfig, Runtime
from experiments.errors import UserError
from experiments.ledger.attempts import RUN_BY, Retry
from experiments.results import FINISHED
from experiments.train import train
from experiments.watch import Watch
from experiments.workers.slots import at_once

STEPS = 4  # that are timed; the first starts everything and counts for itself
IMAGES = 8  # of the validation and of the test split: one forward pass of an evaluation
PATIENCE = 60.0  # seconds after which what is known has to do
OF_MOMENT = 2.0  # steps that a moment costs more: two backward passes and some validation images


@dataclass(frozen=True)
class Cost:
    """What one cell costs on this machine."""

    seconds: float
    least: bool  # it is more than that
    how: str  # where the number comes from
    bytes: float | None  # of its folder when it is finished; None: not known


def report(job: Job, retry: Retry = "failed") -> str:
    """What is there, what would run, for how long and where; nothing is written.

    Raises:
        UserError: a run cannot even start, with its reason.
    """
    states = cell_states(job, opened(job))
    counts = Counter(found.state for found in states.values())
    lines = [
        f"{job.study}: {len(job.chosen)} cells: "
        + ", ".join(f"{count} {state}" for state, count in counts.most_common()),
        f"results: {job.folder}",
    ]
    waiting = sum(counts[state] for state in RUN_BY[retry])
    if not waiting:
        return "\n".join([*lines, "nothing would run"])
    cost = finished(job) or measured(job)
    most = job.workers or at_once(job.preset.train.threads, job.runtime.device)
    count = min(most, waiting)
    about = "more than" if cost.least else "about"
    total = duration(cost.seconds * waiting / count)
    lines += [
        f"a run: {about} {duration(cost.seconds)} on {device(job.runtime)} ({cost.how})",
        f"{waiting} runs, {count} at once: {about} {total}",
    ]
    if cost.bytes is not None:
        free = shutil.disk_usage(_existing(job.folder.absolute())).free
        lines.append(f"disk: about {size(cost.bytes * waiting)}; {size(free)} are free")
    return "\n".join(lines)


def device(runtime: Runtime) -> str:
    """The device in words."""
    if runtime.device == "cpu" or not torch.cuda.is_available():
        return "the CPU"
    return str(torch.cuda.get_device_name())


def finished(job: Job) -> Cost | None:
    """The mean of the job's finished cells; None where there is none."""
    folders = [job.folder / "runs" / cell.folder for cell in job.cells]
    folders = [folder for folder in folders if (folder / FINISHED).exists()]
    if not folders:
        return None
    seconds = [json.loads((f / FINISHED).read_text(encoding="utf-8"))["seconds"] for f in folders]
    how = f"mean of {len(folders)} finished"
    return Cost(mean(seconds), False, how, mean(map(_size_of, folders)))


# --- measured: the baseline's run, shortened, in a process and a folder of its own ---------------


def measured(job: Job) -> Cost:
    """What a run takes here, from a few steps and images of the baseline's.

    Raises:
        UserError: it cannot run here.
    """
    config = grids.resolve(job.grid, job.preset, job.grid.baseline, seed=0)
    _, val, test = tasks.find(config.task).splits(config.data)
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        events = _events(_short(config, len(val), len(test)), Path(folder), job.runtime)
    return cost(events, config, len(val), len(test))


def cost(events: dict[str, float], config: RunConfig, val: int, test: int) -> Cost:
    """A whole run's cost from the seconds at which a shortened one was somewhere.

    `events`: "step 1" to "step 4", "validated", "done"; "bytes" is its folder's size.
    """
    t = config.train
    at = [events[f"step {k}"] for k in range(1, STEPS) if f"step {k}" in events]  # validated last
    if len(at) < 2:
        step = PATIENCE - sum(at)
        return Cost(t.steps * step, True, f"a step takes more than {step:.0f} s", None)
    step = (at[-1] - at[0]) / (len(at) - 1)
    seconds = at[0] + (t.steps - 1 + OF_MOMENT * t.moments) * step
    how = f"measured alone: {step:.2g} s a step"
    if "validated" in events:
        image = max(0.0, events["validated"] - at[-1] - step) / min(IMAGES, val)
        seconds += t.validations * val * image
        how += f", {image:.2g} s an image validated"
    if "done" in events:
        seconds += test * (events["done"] - events["validated"]) / min(IMAGES, test)
    return Cost(seconds, "done" not in events, how, events.get("bytes"))


def _short(config: RunConfig, val: int, test: int) -> RunConfig:
    counts = replace(config.data.counts, val=min(IMAGES, val), test=min(IMAGES, test))
    shorter = replace(
        config.train, steps=STEPS, warmup=0, validations=1, moments=1, save_seconds=1e6
    )
    return replace(config, data=replace(config.data, counts=counts), train=shorter)


def _events(config: RunConfig, folder: Path, runtime: Runtime) -> dict[str, float]:
    """Where the run was after how many seconds, for as long as patience lasts."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(config, folder, runtime, theirs))
    process.start()
    theirs.close()  # so that the pipe ends when the process does
    events: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE
    try:
        while "done" not in events and ours.poll(max(0.0, deadline - time.monotonic())):
            name, value = ours.recv()
            if name == "failed":
                raise UserError(f"a run of this grid fails here: {value}")
            events[name] = value
    except EOFError:
        process.join()
        raise UserError(
            f"a run of this grid ended with exit code {process.exitcode} (-9: the system had no "
            f"memory left for a batch of {config.train.batch} at {config.data.size} px)"
        ) from None
    finally:
        process.kill()
        process.join()
    return events


class _Stopwatch(Watch):
    """Tells its process's parent how far the run is."""

    def __init__(self, tell: Connection) -> None:
        self.tell, self.started = tell, time.monotonic()

    def at(self, name: str) -> None:
        """The run is there now."""
        self.tell.send((name, time.monotonic() - self.started))

    def stepped(self, step: int) -> None:
        """A step is done."""
        self.at(f"step {step}")

    def validated(self, step: int, value: float) -> None:  # noqa: ARG002
        """The validation is done."""
        self.at("validated")


def _run(config: RunConfig, folder: Path, runtime: Runtime, tell: Connection) -> None:
    with suppress(OSError):  # if memory runs out, Linux is to end this process and no other
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    watch = _Stopwatch(tell)
    try:
        train(config, folder / "run", watch, runtime=runtime)
    except Exception as error:
        tell.send(("failed", str(error) or type(error).__name__))
    else:
        tell.send(("bytes", _size_of(folder)))
        watch.at("done")


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def size(count: float) -> str:
    """A number of bytes as one reads it.

    >>> size(3_200_000), size(4.9e10)
    ('3 MB', '49 GB')
    """
    return f"{count / 1e9:.0f} GB" if count > 9.95e8 else f"{max(1, count / 1e6):.0f} MB"
