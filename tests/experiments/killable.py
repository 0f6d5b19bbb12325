"""`experiments/run.py` with pauses in its writes, so that a killer finds workers inside them.

    python tests/experiments/killable.py PAUSES --grid grad_loss ...

A worker that pauses names itself by a file `PAUSES/<pid>.<what>`. Workers are spawned, and a
spawned process runs this file's top level too: that is how the pauses come to be there.
"""

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

import sqlalchemy  # noqa: E402

from experiments import checkpoint, run  # noqa: E402

SECONDS = 0.4  # of a pause
SHARES = {"file": 0.4, "ledger": 0.05}  # of the writes of a kind, this share pauses
PAUSES = Path(os.environ.setdefault("KILLABLE_PAUSES", sys.argv[1] if sys.argv[1:] else ""))
_dice = random.Random(os.getpid())


def pause(what: str) -> None:
    """Now and then say that this process is inside a write, and stay there for a moment."""
    if _dice.random() < SHARES[what]:
        note = PAUSES / f"{os.getpid()}.{what}"
        note.touch()
        time.sleep(SECONDS)
        note.unlink()


def _replace(self: Path, target: Any) -> Path:
    pause("file")  # the draft is written, the file still the one before
    return _real_replace(self, target)


def _fsync(descriptor: int) -> None:
    pause("file")
    _real_fsync(descriptor)


_real_replace, _real_fsync = Path.replace, os.fsync
Path.replace = _replace  # type: ignore[method-assign,assignment]
os.fsync = _fsync
checkpoint.SHARE = 0  # a checkpoint after each step, whatever it costs


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "commit")
def _commit(_connection: Any) -> None:
    pause("ledger")  # inside the transaction, SQLite's write lock held


if __name__ == "__main__":
    sys.exit(run.main(sys.argv[2:]))
