"""Files that are either whole or not there, and what is in them."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import Any

WEIGHTS = ("pretrained", "bb_pretrained", "backbone")  # switches of a model that may be paths


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
    found = file.stat()
    return _digest(file, found.st_size, found.st_mtime_ns)


def weights_digest(model: Mapping[str, Any]) -> str:
    """Digest of the files and folders that a model's weights come from, "" if there are none.

    A folder counts where it holds a config.json, without which it is not taken for a model.
    """
    paths = [Path(value) for key in WEIGHTS if isinstance(value := model.get(key), str)]
    files = [path for path in paths if _there(path)]
    for folder in (path for path in paths if _there(path / "config.json")):
        files += sorted(file for file in folder.rglob("*") if file.is_file())
    return "-".join(file_digest(file) for file in files)


def _there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that is too long
        return False


@lru_cache(maxsize=256)
def _digest(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
