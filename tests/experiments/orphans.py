"""Runs that are killed: no process of theirs stays behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def ends_with_its_run(folder: Path, code: str) -> int:
    """Run a script that prints its processes' numbers and kills itself: how many there were.

    Fails if one of them is alive a while later.
    """
    script = folder / "run.py"
    script.write_text(code)
    found = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    pids = [int(word) for word in found.stdout.split()]
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(alive, pids)), "killed with SIGKILL, a run leaves no process behind"
    return len(pids)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().split()[2] != "Z"
