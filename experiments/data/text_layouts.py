"""Where a text set's images and annotations lie: told by the files' names, and not the folders'.

A folder of images belongs to the folder with a `gt_a.txt`, `a.txt`, `a.jpg.txt` or
`poly_gt_a.txt` for its `a.jpg`, and of several to the one whose name tells the same split. So
ICDAR 2015's `ch4_training_images` finds `ch4_training_localization_transcription_gt`, and
Total-Text's `Images/Train` finds `Polygon/Train`. Of MhLiao/DB's `train_images` only those in
`train_list.txt` beside it are taken, where there is one.
"""

import os
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.data import layouts
from experiments.data.folders import Kind, Matched
from experiments.data.layouts import DEPTH, Folders, has_images, is_image, kind_of, subfolders
from experiments.data.splits import Split, split_of
from experiments.errors import UserError

SAMPLE = 200  # images of a folder whose annotations are looked for
LAYOUTS = "img/a.jpg with gts/gt_a.txt, train_images/a.jpg with train_gts/a.jpg.txt and the like"


@dataclass(frozen=True)
class Listing:
    """A folder below the root by `parts`, and the names of the files in it."""

    folder: Path
    parts: tuple[str, ...]
    images: tuple[str, ...]
    texts: frozenset[str]

    @property
    def split(self) -> Split | None:
        """What the names of the folders below the root tell."""
        return split_of(Path("/"), Folders(self.folder, self.folder, self.parts))


def find(root: Path, image_dir: str = "", mask_dir: str = "") -> list[Folders]:
    """Every folder of images with that of its annotations at or below `root`, in order.

    With `image_dir` and `mask_dir`, the annotations' folder, as `layouts.find`.

    Raises:
        UserError: no folder; no such pair in it; two of which it cannot tell the right one.
    """
    if image_dir or mask_dir:
        return layouts.find(root, image_dir, mask_dir)
    if not root.is_dir():
        raise UserError(f"no folder {root}: expected a text set with images and annotations")
    listings = list(_walk(root, ()))
    pairs = [(images, texts) for images in listings if (texts := _texts_of(images, listings))]
    pairs = [pair for pair in pairs if not _is_copy(pair, pairs)]
    if not pairs:
        raise UserError(
            f"{root} holds no images with an annotation of the same name ({LAYOUTS}); "
            "name the folders with --image-dir and --mask-dir"
        )
    shared = {texts.folder: sum(t is texts for _, t in pairs) > 1 for _, texts in pairs}
    return [
        Folders(images.folder, texts.folder, _telling(images.parts), shared[texts.folder])
        for images, texts in pairs
    ]


def holds(root: Path, image_dir: str = "", mask_dir: str = "") -> Literal["masks", "text"] | None:
    """Whether images in a folder have masks, or else annotations; None: neither is found."""
    with suppress(UserError):
        if any(has_images(f.masks) for f in layouts.find(root, image_dir, mask_dir)):
            return "masks"
    with suppress(UserError):
        if any(match(f)[0] for f in find(root, image_dir, mask_dir)):
            return "text"
    return None


def match(folders: Folders) -> Matched:
    """Images and annotations by the image's stem, and what is wrong with the folders."""
    problems: list[str] = []
    images = {f.name: f for f in sorted(folders.images.iterdir()) if is_image(f.name)}
    texts = {f.name for f in folders.masks.iterdir() if _is_text(f.name)}
    if not images:
        problems.append(f"{folders.images} holds no image (.jpg, .png, .tif, .webp, ...)")
    names = _listed(folders.images)
    if names is not None:
        problems += [
            f"{_list_file(folders.images)} names {n!r}, which is not in {folders.images}"
            for n in names
            if n not in images
        ]
        images = {n: images[n] for n in names if n in images}
    found: dict[str, tuple[Path, Path]] = {}
    for name, file in images.items():
        text = _text_of(name, texts)
        if text is None:
            problems.append(f"{file} has no annotation in {folders.masks} ({LAYOUTS})")
        elif file.stem in found:
            problems.append(f"{file} and {found[file.stem][0].name} share the name {file.stem!r}")
        else:
            found[file.stem] = file, folders.masks / text
    unused = sorted(texts - {text.name for _, text in found.values()})
    if unused and names is None and not folders.shared:
        problems.append(
            f"{folders.masks}: {len(unused)} text files have no image in {folders.images}, "
            f"the first {unused[0]!r}; move away what is no annotation"
        )
    return found, problems


TEXT = Kind(find, match)


def _walk(folder: Path, parts: tuple[str, ...]) -> Iterator[Listing]:
    below = subfolders(folder)
    names = [file.name for file in folder.iterdir()]
    yield Listing(
        folder,
        parts,
        tuple(name for name in names if is_image(name)),
        frozenset(name for name in names if _is_text(name)),
    )
    if len(parts) < DEPTH:
        for path in below:
            yield from _walk(path, (*parts, path.name))


def _texts_of(images: Listing, listings: list[Listing]) -> Listing | None:
    """The folder with most annotations of these images, of the same split, nearest to them."""

    def fit(texts: Listing) -> tuple[int, int]:
        if texts.split not in (None, images.split):
            return 0, 0
        count = sum(
            _text_of(name, texts.texts) is not None for name in sorted(images.images)[:SAMPLE]
        )
        near = len(os.path.commonpath([images.folder, texts.folder]))
        return count, near

    best = sorted(((fit(t), i) for i, t in enumerate(listings)), reverse=True)
    if not best or best[0][0][0] == 0:
        return None
    if len(best) > 1 and best[0][0] == best[1][0]:
        names = " and ".join(str(listings[i].folder) for _, i in best[:2])
        raise UserError(
            f"{images.folder} has its annotations in both, {names}; "
            "say which with --image-dir and --mask-dir"
        )
    return listings[best[0][1]]


def _is_copy(pair: tuple[Listing, Listing], pairs: list[tuple[Listing, Listing]]) -> bool:
    """Whether a folder holds drawings or masks of images that lie in one called images."""
    images, texts = pair
    if kind_of(images.folder.name)[0] == "image" or images.folder == texts.folder:
        return False
    stems = {Path(name).stem for name in images.images}
    return any(
        other is not images
        and of is texts
        and kind_of(other.folder.name)[0] == "image"
        and stems & {Path(name).stem for name in other.images}
        for other, of in pairs
    )


def _telling(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The folders' names without the word for images: `train_images` tells train."""
    return tuple(rest for part in parts if (rest := kind_of(part)[1]))


def _is_text(name: str) -> bool:
    return name.endswith(".txt") and not name.startswith(".")


def _text_of(image: str, texts: Container[str]) -> str | None:
    """The annotation of an image by their names."""
    stem = Path(image).stem
    forms = (f"gt_{stem}", stem, image, f"gt_{image}", f"poly_gt_{stem}")
    return next((f"{form}.txt" for form in forms if f"{form}.txt" in texts), None)


def _list_file(images: Path) -> Path:
    """DB's list of the images in `train_images`: `train_list.txt`."""
    return images.parent / f"{images.name.removesuffix('_images')}_list.txt"


def _listed(images: Path) -> list[str] | None:
    """The names in the list file beside a folder, if there is one."""
    file = _list_file(images)
    if not images.name.endswith("_images") or not file.is_file():
        return None
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))
