"""Where a data set's images and masks lie: the folder names that people have.

The names were looked up in the official archives and in the code that reads them: `im`/`gt`
(DIS5K, BiRefNet), `DUTS-TR-Image`/`DUTS-TR-Mask`, `Imgs`/`GT` (COD's TrainDataset, TestDataset),
`Image`/`GT_Object` (COD10K), `Images/{Train,Test}`/`GT` (CAMO), `HRSOD_train`/`HRSOD_train_mask`,
`image`/`mask` (UHRSD), `original_image`/`mask` (P3M-10k), `original`/`mask` (AM-2k),
`DUT-OMRON-image`/`pixelwiseGT-new-PNG`, `imgs`/`gt` (HKU-IS), `images`/`ground_truth_mask`
(ECSSD), `datasets/imgs/pascal`/`datasets/masks/pascal` (PASCAL-S), `images_train`/`masks_train`
(ThinObject5K). In short: two folders whose names differ by a word for image and one for mask.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.errors import UserError

Kind = Literal["image", "mask", ""]
DEPTH = 4  # levels of folders that are searched below a root
ENDINGS = re.compile(r"\.(png|jpe?g|jpe|jfif|bmp|tiff?|webp|avif|gif|p[bgpn]m|jp2|j2k)", re.I)
IMAGE_WORDS = frozenset({"im", "ims", "img", "imgs", "image", "images"})
MASK_WORDS = frozenset({"gt", "gts", "mask", "masks"})
WHOLE_NAMES: dict[str, Kind] = {  # these name a kind and tell nothing else
    "original": "image",
    "original_image": "image",
    "dut-omron-image": "image",
    "gt_object": "mask",
    "ground_truth": "mask",
    "ground_truth_mask": "mask",
    "pixelwisegt-new-png": "mask",
}
LAYOUTS = (
    "im/gt, image/mask, Imgs/GT, Image/GT_Object, DUTS-TR-Image/DUTS-TR-Mask, "
    "HRSOD_train/HRSOD_train_mask and the like"
)


@dataclass(frozen=True)
class Folders:
    """A folder of images and the folder of their masks; `parts` is where, below the root."""

    images: Path
    masks: Path
    parts: tuple[str, ...]
    shared: bool = False  # the masks of other image folders lie in `masks` too


def find(root: Path, image_dir: str = "", mask_dir: str = "") -> list[Folders]:
    """Every pair of image and mask folders at or below `root`, in the order of their names.

    With `image_dir` and `mask_dir` (names or relative paths) only those count, wherever below
    `root` both are; absolute paths are taken as they are.

    Raises:
        UserError: no folder; no pair in it; two pairs of which it cannot tell the right one.
    """
    if bool(image_dir) != bool(mask_dir):
        raise UserError("give both, --image-dir and --mask-dir, or neither")
    if not root.is_dir():
        raise UserError(f"no folder {root}: expected a data set with folders of images and masks")
    found = list(_walk(root, (), image_dir, mask_dir))
    if not found:
        wanted = f"{image_dir} and {mask_dir}" if image_dir else LAYOUTS
        raise UserError(
            f"{root} holds no pair of image and mask folders ({wanted}); "
            "name yours with --image-dir and --mask-dir"
        )
    return found


def _walk(
    folder: Path, parts: tuple[str, ...], image_dir: str, mask_dir: str
) -> Iterator[Folders]:
    below = subfolders(folder)
    pairs: list[tuple[Path, Path, tuple[str, ...]]]
    if image_dir:
        images, masks = folder / image_dir, folder / mask_dir
        pairs = [(images, masks, ())] if images.is_dir() and masks.is_dir() else []
    else:
        pairs = _pairs(folder, below)
    for images, masks, key in pairs:
        yield from _nested(images, masks, (*parts, *key))
    if len(parts) < DEPTH and not (pairs and image_dir):
        taken = {path for images, masks, _ in pairs for path in (images, masks)}
        for path in below:
            if path not in taken:
                yield from _walk(path, (*parts, path.name), image_dir, mask_dir)


def _pairs(folder: Path, below: list[Path]) -> list[tuple[Path, Path, tuple[str, ...]]]:
    """(images, masks, what their names have in common) of the folders right below `folder`."""
    by_key: dict[tuple[Kind, str], list[Path]] = {}
    for path in below:
        kind, key = kind_of(path.name)
        by_key.setdefault((kind, key.lower()), []).append(path)
    pairs: list[tuple[Path, Path, tuple[str, ...]]] = []
    for (kind, key), masks in by_key.items():
        images = by_key.get(("image", key)) or by_key.get(("", key)) or []
        if kind != "mask" or not images:
            continue
        if len(images) + len(masks) > 2:
            names = ", ".join(path.name for path in (*images, *masks))
            raise UserError(
                f"{folder} holds several folders that may be images or masks ({names}); "
                "say which with --image-dir and --mask-dir"
            )
        pairs.append((images[0], masks[0], (kind_of(images[0].name)[1],) if key else ()))
    return pairs


def _nested(images: Path, masks: Path, parts: tuple[str, ...]) -> Iterator[Folders]:
    """The pair itself, or the folders in it: images/train, images/test, ..."""
    deeper = [] if has_images(images) else subfolders(images)
    if not deeper:
        yield Folders(images, masks, parts)
    for path in deeper:
        if (masks / path.name).is_dir():
            yield Folders(path, masks / path.name, (*parts, path.name))
        elif has_images(masks):
            yield Folders(path, masks, (*parts, path.name), shared=True)


def kind_of(name: str) -> tuple[Kind, str]:
    """What a folder's name says it holds, and the rest of the name."""
    if name.lower() in WHOLE_NAMES:
        return WHOLE_NAMES[name.lower()], ""
    parts = words(name)
    kinds: tuple[tuple[Kind, frozenset[str]], ...] = (("mask", MASK_WORDS), ("image", IMAGE_WORDS))
    for kind, known in kinds:
        for word in parts:
            if word.lower() in known:
                parts.remove(word)
                return kind, "-".join(parts)
    return "", "-".join(parts) or name


def words(name: str) -> list[str]:
    """DUTS-TR-Image: DUTS, TR, Image; TrainDataset: Train, Dataset; DIS-TE1: DIS, TE, 1."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)


def subfolders(folder: Path) -> list[Path]:
    """The folders right in a folder, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        raise UserError(f"cannot look into {folder}: {error.strerror}") from error
    return [folder / name for name in sorted(names) if name != "__MACOSX"]


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image; hidden files (macOS leaves `._a.jpg`) are not."""
    return not name.startswith(".") and bool(ENDINGS.fullmatch(Path(name).suffix))


def has_images(folder: Path) -> bool:
    """Whether an image lies right in a folder."""
    with os.scandir(folder) as entries:
        return any(is_image(e.name) for e in entries)
