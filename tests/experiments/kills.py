"""Kill a grid's workers at random moments, and see that nothing is lost and nothing doubled.

    python -m tests.experiments.kills --kills 50

Runs the smoke preset of grad_loss twice, with three workers: once left alone, once killed by
SIGKILL, every third time while a process writes a checkpoint, a result or the ledger, every ninth
time the command itself. Prints what was killed where and what was compared.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import psutil
from optuna.trial import TrialState

ROOT = Path(__file__).parent.parent.parent
KILLABLE = Path(__file__).with_name("killable.py")
COMPARED = (
    "checkpoint.safetensors",
    "per_image.parquet",
    "history.csv",
    "gradient_maps.npz",
    "preview.png",
    "thumbnails.parquet",
)
WORKERS = 3


class Killed:
    """The command, started again whenever it ended, and the kills it took."""

    def __init__(self, folder: Path, arms: Sequence[str], seed: int) -> None:
        self.folder, self.pauses = folder, folder.with_name(f"{folder.name}-pauses")
        self.pauses.mkdir(parents=True)
        self.dice = random.Random(seed)
        chosen = [option for arm in arms for option in ("--arm", arm)]
        self.command = [sys.executable, str(KILLABLE), str(self.pauses)]
        self.command += ["--grid", "grad_loss", "--preset", "smoke", "--out", str(folder)]
        self.command += ["--workers", str(WORKERS), "--set", "train.save_seconds=0"]
        self.command += ["--retry", "all", *chosen]  # a cell may be killed more than three times
        self.kills: Counter[str] = Counter()
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """The same command once more."""
        with self.folder.with_name(f"{self.folder.name}.log").open("a") as log:
            return subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log)

    def workers(self) -> list[psutil.Process]:
        """The worker processes of the command that runs now, and of earlier ones still alive."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            line = " ".join(process.info["cmdline"] or ())
            mine = (process.info["environ"] or {}).get("KILLABLE_PAUSES") == str(self.pauses)
            if mine and "spawn_main" in line:
                found.append(process)
        return found

    def kill_one(self) -> None:
        """One kill: every third inside a write, every ninth the command, the rest a worker."""
        number = sum(self.kills.values())
        if number % 3 == 2:
            self.kill_in_write()
            return
        self.wait(self.dice.uniform(0.2, 2.0), lambda: False)
        if number % 9 == 0:
            self.shot(self.process.pid, "command")
        elif workers := self.workers():
            self.shot(self.dice.choice(workers).pid, "worker")

    def kill_in_write(self) -> None:
        """Kill the first process that is seen inside a write, however long it takes to get there.

        Replaced workers import torch first, which takes long on a busy machine: only a grid that
        hangs reaches the bound.

        Raises:
            TimeoutError: nothing was written in ten minutes.
        """

        def killed() -> bool:
            # files first: the ledger is written far more often
            notes = sorted(self.pauses.iterdir(), key=lambda n: n.suffix)
            return bool(notes) and self.shot(int(notes[0].stem), notes[0].suffix[1:])

        if not self.wait(600, killed):
            raise TimeoutError(f"the grid in {self.folder} wrote nothing in ten minutes")

    def wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Keep the command running until something holds or it is complete; whether so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() == 0 or until():
                return True
            if self.process.poll() is not None:
                self.process = self.start()
            time.sleep(0.02)
        return False

    def shot(self, pid: int, what: str) -> bool:
        """Kill a process; whether it was there to be killed."""
        for note in self.pauses.glob(f"{pid}.*"):
            note.unlink(missing_ok=True)
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            return False
        self.kills[what] += 1
        return True

    def finish(self) -> None:
        """Let the command run to its end, which must be a success."""
        while self.process.wait() != 0:
            self.process = self.start()


def compare(whole: Path, killed: Path) -> tuple[int, list[str]]:
    """How many runs were compared, and how they differ: files, and trials by the ledger."""
    found = []
    runs = sorted((killed / "runs").iterdir())
    for run in runs:
        for name in COMPARED:
            if (run / name).read_bytes() != (whole / "runs" / run.name / name).read_bytes():
                found.append(f"{run.name}/{name} differs")
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{killed / 'ledger.db'}")
    trials = optuna.load_study(
        study_name=study.study_name, storage=f"sqlite:///{killed / 'ledger.db'}"
    ).get_trials(states=(TrialState.COMPLETE,))
    done = Counter(trial.user_attrs["hash"] for trial in trials)
    found += [f"{key} is complete {n} times" for key, n in done.items() if n > 1]
    if set(done) != {run.name.rpartition("-")[2] for run in runs}:
        found.append(f"{len(done)} cells are complete, {len(runs)} have a folder")
    return len(runs), found


def kill_often(
    whole: Path, killed: Path, arms: Sequence[str], kills: int, seed: int = 0
) -> tuple[Counter[str], int]:
    """Run the grid under `kills` kills and compare it with the one left alone.

    Returns:
        The kills by place ("file" and "ledger" are writes), and how many runs were compared.

    Raises:
        AssertionError: a run differs, is missing or was completed twice.
    """
    grid = Killed(killed, arms, seed)
    while sum(grid.kills.values()) < kills:
        if grid.process.poll() == 0:
            break  # complete before all kills were spent
        grid.kill_one()
    grid.finish()
    runs, differences = compare(whole, killed)
    assert not differences, "\n".join(differences)
    return grid.kills, runs


def told(kills: Counter[str], runs: int) -> str:
    """The count in a line."""
    spent = ", ".join(f"{n} {what}" for what, n in sorted(kills.items()))
    return f"{sum(kills.values())} kills ({spent}); {runs} runs complete once, all equal"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.experiments.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        command = ["experiments/run.py", "--grid", "grad_loss", "--preset", "smoke"]
        subprocess.run([sys.executable, *command, "--out", str(whole)], cwd=ROOT, check=True)
        print(told(*kill_often(whole, killed, (), options.kills, options.seed)))
        same = (whole / "table.md").read_bytes() == (killed / "table.md").read_bytes()
        print("table.md is " + ("the same" if same else "different"))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
