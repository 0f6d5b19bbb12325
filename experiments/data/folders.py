"""Pairs of image and mask files, matched by stem, and the samples of a split from them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.data import layouts
from experiments.data.decode import Pixels, read_mask, read_pair
from experiments.data.layouts import Folders, is_image
from experiments.data.splits import SPLITS, Find, Place, Split, label, places
from experiments.errors import UserError

SMALL = 1 << 28  # bytes; images of fewer in all are compared by their contents


@dataclass(frozen=True)
class Pair:
    """An image and its mask, or annotation, under a name that is unique in its split."""

    name: str
    image: Path
    mask: Path


Matched = tuple[dict[str, tuple[Path, Path]], list[str]]  # files by their stem, and problems


@dataclass(frozen=True)
class Kind:
    """How a kind of set lies in folders: which they are, and which files in them belong."""

    find: Find
    match: Callable[[Folders], Matched]


@dataclass(frozen=True)
class Files:
    """Pairs of files as the source of samples."""

    pairs: tuple[Pair, ...]

    def pair(self, i: int, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Image (H, W, 3) and mask (H, W) of sample `i` at `size`."""
        return read_pair(self.pairs[i].image, self.pairs[i].mask, size)

    def mask(self, i: int) -> Pixels:
        """The mask of sample `i` at its own resolution."""
        return read_mask(self.pairs[i].mask)


def pairs_of(
    name: str, image_dir: str = "", mask_dir: str = "", kind: Kind | None = None
) -> dict[Split, list[Pair]]:
    """The pairs of each split; without a val split a tenth of train is held out for it.

    `kind` is how the set lies in folders: as masks do, if not given.
    A file is the same however it is spelled: relative, absolute, through a link. A copy of a test
    image elsewhere is noticed only where all images take less than SMALL bytes.

    Raises:
        UserError: folders or files that do not fit; a file in two splits; a copy of a test image.
    """
    kind = kind or Kind(layouts.find, match)
    found_at = places(name, image_dir, mask_dir, kind.find)
    found: dict[Split, list[Pair]] = {s: list(_named(found_at[s], kind)) for s in SPLITS}
    if not found_at["val"]:
        held = [pair for pair in found["train"] if _tenth(pair.image.stem)]
        if not held or len(held) == len(found["train"]):
            raise UserError(
                f"{name} has no val split and too few images to hold some out; "
                "give one: --data train=A,val=B,test=C"
            )
        found["val"] = held
        found["train"] = [pair for pair in found["train"] if not _tenth(pair.image.stem)]
    for split, pairs in found.items():
        twice = [name for name, n in Counter(pair.name for pair in pairs).items() if n > 1]
        if twice:
            raise UserError(f"{split} of {name} has two samples called {twice[0]!r}; rename a set")
    owner = _owners(found)
    _refuse_copies(owner)
    return found


def _owners(found: dict[Split, list[Pair]]) -> dict[Path, Split]:
    """The split of each image file, the test split's last."""
    owner: dict[Path, Split] = {}
    for split in SPLITS:
        for pair in found[split]:
            file = pair.image.resolve()
            if owner.setdefault(file, split) != split:
                raise UserError(f"{pair.image} is in both, {owner[file]} and {split}")
    return owner


def _refuse_copies(owner: dict[Path, Split]) -> None:
    sizes = {file: file.stat().st_size for file in owner}
    if sum(sizes.values()) >= SMALL:
        return
    tested, learned = (
        {sizes[file] for file, split in owner.items() if (split == "test") == test}
        for test in (True, False)
    )
    seen: dict[bytes, Path] = {}
    for file in (f for f in owner if sizes[f] in tested & learned):
        digest = hashlib.sha256(file.read_bytes()).digest()
        if owner[file] != "test":
            seen[digest] = file
        elif digest in seen:
            same = seen[digest]
            raise UserError(f"{file} (test) is a copy of {same} ({owner[same]}); remove one")


def _named(sets: list[Place], kind: Kind) -> Iterator[Pair]:
    """Pairs of one or more sets; the names of several sets begin with the set's."""
    labels = [label(place) for place in sets]
    again = Counter(labels)
    for number, (name, (_, folders)) in enumerate(zip(labels, sets, strict=True)):
        pairs, problems = kind.match(folders)
        if problems:
            raise UserError(problems[0])
        prefix = f"{name}{number + 1}_" if again[name] > 1 else f"{name}_"
        for stem, (image, mask) in pairs.items():
            for file in (image, mask):
                if not file.is_file():
                    raise UserError(f"{file} is no file: a folder, or a link to what is not there")
            yield Pair(stem if len(sets) == 1 else prefix + stem, image, mask)


def match(folders: Folders) -> Matched:
    """Images and masks by their common stem, and what is wrong with the folders."""
    problems: list[str] = []
    images, masks = (_by_stem(f, problems) for f in (folders.images, folders.masks))
    where = f"{folders.images} and {folders.masks}"
    for have, lack, what in ((images, masks, "mask"), (masks, images, "image")):
        alone = sorted(set(have) - set(lack))
        if alone and not (what == "image" and folders.shared):
            problems.append(
                f"{where}: {len(alone)} files have no {what}, the first {have[alone[0]].name!r}; "
                "image and mask must share their name before the ending"
            )
    return {s: (images[s], masks[s]) for s in sorted(set(images) & set(masks))}, problems


def _by_stem(folder: Path, problems: list[str]) -> dict[str, Path]:
    files = [file for file in sorted(folder.iterdir()) if is_image(file.name)]
    if not files:
        problems.append(f"{folder} holds no image (.jpg, .png, .tif, .webp, ...)")
    found: dict[str, Path] = {}
    for file in files:
        if file.stem in found:
            problems.append(f"{file} and {found[file.stem].name} share the name {file.stem!r}")
        found[file.stem] = file
    return found


def _tenth(stem: str) -> bool:
    """Whether an image is held out: a tenth of all, whatever else is in the folder."""
    return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "big") % 10 == 0
