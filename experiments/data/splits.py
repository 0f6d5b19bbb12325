"""Which folders of images and masks make up each split of a data set, by its name."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

from experiments.data import layouts
from experiments.data.layouts import Folders, words
from experiments.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Place = tuple[Path, Folders]  # the root that was named, and what was found in it
Find = Callable[[Path, str, str], list[Folders]]
SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "tr", "trn", "training"), "train"),
    **dict.fromkeys(("val", "vd", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "te", "tst", "testing"), "test"),
}
# The field never trains on these, so they need no "TE" in their name.
TEST_SETS = frozenset({"chameleon", "nc4k", "davis-s", "dut-omron", "ecssd", "hku-is", "pascal-s"})


def places(
    name: str, image_dir: str = "", mask_dir: str = "", find: Find = layouts.find
) -> dict[Split, list[Place]]:
    """The folders of each split, each with the root they were found under; val may be empty.

    `name` is a root folder, several joined by `+`, or `train=A+B,val=C,test=D`; one root may have
    a label before it, as in `DIS5K=/data/DIS5K`. `find` finds the folders below a root.

    Raises:
        UserError: a split that is missing or that no folder name tells.
    """
    found: dict[Split, list[Place]] = {split: [] for split in SPLITS}
    for split, root in terms(name):
        folders = find(root, image_dir, mask_dir)
        if split is None:
            _by_name(root, folders, found)
        else:
            told = [split_of(root, f) for f in folders]
            fits = [f for f, s in zip(folders, told, strict=True) if s == split]
            if not fits and len(set(told)) > 1:
                raise UserError(f"{split}={root}: none of the folders in it is a {split} split")
            found[split] += [(root, f) for f in fits or folders]
    for needed in ("train", "test"):
        if not found[needed]:
            have = "; ".join(f"{s}: {', '.join(map(label, fs))}" for s, fs in found.items() if fs)
            raise UserError(
                f"{name} has no {needed} split (found {have}); say where each split is: "
                "--data train=A+B,val=C,test=D, where val may be missing"
            )
    return found


def terms(name: str) -> Iterator[tuple[Split | None, Path]]:
    """(split or None, folder) of each part of a data set's name."""
    if re.match(r"(train|val|test)=", name):
        for part in name.split(","):
            split = next((s for s in SPLITS if part.startswith(f"{s}=")), None)
            if split is None:
                raise UserError(f"--data {name}: {part!r} is not train=..., val=... or test=...")
            yield from ((split, path) for path in _joined(part.partition("=")[2]))
    else:
        yield from ((None, path) for path in _joined(re.sub(r"^[\w.-]+=", "", name)))


def _joined(text: str) -> list[Path]:
    if text and Path(text).is_dir():  # a folder may have a + in its name
        return [Path(text)]
    parts = text.split("+")
    if not all(parts):  # an empty path is the current folder
        raise UserError(f"--data names no folder in {text!r}: is a variable empty?")
    return [Path(part).expanduser() for part in parts]


def _by_name(root: Path, folders: list[Folders], found: dict[Split, list[Place]]) -> None:
    unknown = [f for f in folders if split_of(root, f) is None]
    if unknown:
        names = ", ".join(label((root, f)) for f in unknown)
        raise UserError(
            f"no folder name tells which split this is: {names} in {root}; say it: "
            "--data train=A+B,val=C,test=D"
        )
    for f in folders:
        split = split_of(root, f)
        if split:
            found[split].append((root, f))


def label(place: Place) -> str:
    """A short name for a set: DIS-TE1, DUTS-TR, or the root's where folders tell only a split."""
    root, folders = place
    return next(filter(_telling, reversed(folders.parts)), "") or _root_name(root)


def _root_name(root: Path) -> str:
    """The root's name, or of one called train or test the name of the folder above."""
    path = root.resolve()
    return next((p.name for p in (path, *path.parents) if _telling(p.name)), path.name)


def _telling(name: str) -> bool:
    """Whether a folder's name tells more than a split."""
    return not {word.lower() for word in words(name)} <= {*SPLIT_WORDS, "dataset"}


def split_of(root: Path, folders: Folders) -> Split | None:
    """The split that the folders' names tell, the outermost first, the root's own last."""
    for part in (*folders.parts, root.resolve().name):
        if part.lower() in TEST_SETS:
            return "test"
        for word in words(part):
            if word.lower() in SPLIT_WORDS:
                return SPLIT_WORDS[word.lower()]
    return None
