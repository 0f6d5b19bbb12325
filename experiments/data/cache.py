"""Resized samples kept on disk, for sets that do not fit into memory.

A folder for each set and training size, a file for each sample: raw bytes, image then mask. Any
number of processes share it; the page cache is their common memory. It lies in
`$XDG_CACHE_HOME/seglossary` (`~/.cache/seglossary` if unset), holds at most LIMIT bytes, leaves
SPARE of the disk free, and may be deleted at any time.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import PIL

from experiments.data import decode
from experiments.data.decode import Pixels
from experiments.files import whole

LIMIT = 100 << 30  # DIS5K takes 23 GB at 1024 x 1024
SPARE = 5 << 30


def root() -> Path:
    """The folder of all caches."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "seglossary"


class Shelf:
    """The resized samples of one set at one size (H, W); it fails silently, as it only saves time.

    `files` are what the samples are decoded from: a file that changes makes another shelf.
    """

    def __init__(self, files: Iterable[Path], size: tuple[int, int], count: int) -> None:
        key = hashlib.sha256(f"{size} {_decoder()}".encode())
        for file in files:
            found = file.stat()
            key.update(f"{file.absolute()} {found.st_size} {found.st_mtime_ns}\n".encode())
        self.folder = root() / key.hexdigest()[:20]
        self.size = size
        self.bytes = count * 4 * size[0] * size[1]
        self.open: bool | None = None  # None: not asked for yet
        self.used = False  # whether this process has read from it

    def get(self, index: int) -> tuple[Pixels, Pixels] | None:
        """Image (H, W, 3) and mask (H, W), or None where they are not kept."""
        height, width = self.size
        try:
            raw = np.fromfile(self.folder / f"{index}.raw", np.uint8)
        except OSError:
            return None
        if len(raw) != 4 * height * width:
            return None
        if not self.used:
            self.used = True
            with suppress(OSError):  # the folder's time is that of its last use, see _make_room
                os.utime(self.folder)
        split = 3 * height * width
        return raw[:split].reshape(height, width, 3), raw[split:].reshape(height, width)

    def put(self, index: int, image: Pixels, mask: Pixels) -> None:
        """Keep a sample, where there is room."""
        if self.open is None:
            self.open = self._make_room()
        if not self.open:
            return
        try:
            with whole(self.folder / f"{index}.raw") as draft, draft.open("wb") as file:
                file.write(image.tobytes() + mask.tobytes())
        except OSError:  # disk full, folder deleted: decoding goes on
            self.open = False

    def _make_room(self) -> bool:
        """Delete the shelves used longest ago until this one fits, if it can; whether it does."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.utime(self.folder)
            others = sorted(root().iterdir(), key=lambda path: path.stat().st_mtime)
            sizes = {path: _bytes(path) for path in others}
            missing = self.bytes - sizes.pop(self.folder)
            reach = shutil.disk_usage(self.folder).free - SPARE + sum(sizes.values())
            if self.bytes > LIMIT or missing > reach:
                return False
            for path in list(sizes):
                free = shutil.disk_usage(self.folder).free - SPARE
                if missing <= free and self.bytes + sum(sizes.values()) <= LIMIT:
                    break
                shutil.rmtree(path, ignore_errors=True)
                del sizes[path]
            return missing <= shutil.disk_usage(root()).free - SPARE
        except OSError:
            return False


def _bytes(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries)


@cache
def _decoder() -> str:
    """What else decides the pixels: the code that decodes, and Pillow."""
    code = Path(decode.__file__).read_bytes()
    return f"{hashlib.sha256(code).hexdigest()} {PIL.__version__}"
