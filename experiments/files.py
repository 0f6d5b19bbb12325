"""Files that are either whole or not there, and what is in them."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends without an error.

    The bytes are on the disk before the name is, so that not even a power cut leaves half a file.
    """
    draft = path.with_name(f".{path.name}.{gethostname()}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def file_digest(file: Path) -> str:
    """SHA-256 of a file's bytes, 16 digits of it."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
