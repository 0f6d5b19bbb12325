"""Look at a data set before training on it.

    python -m experiments.data check PATH [--image-dir DIR --mask-dir DIR]

Decodes every image with its mask, or with its words, below PATH (or of all sets in
train=A+B,val=C,test=D), and prints the counts, sizes and problems. The exit code is 1 if there is
a problem or a run would refuse the splits that PATH names; a PATH that names none may be a part of
a set, and what it lacks is only said.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from tqdm import tqdm

from experiments import servants
from experiments.data import (
    DataConfig,
    decode,
    describe,
    folders,
    layouts,
    text_check,
    text_layouts,
)
from experiments.data.annotations import try_words
from experiments.data.splits import Place, label, split_of, terms
from experiments.data.text_sets import describe_text
from experiments.errors import UserError

Item = TypeVar("Item")
Finding = TypeVar("Finding")
FEW = 64  # pairs up to here are not worth the start of processes
SHOWN = 20  # lines of a kind and set


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("command", choices=["check"])
    p.add_argument(
        "path", metavar="PATH", help="folders as run.py's --data takes them, or one with one set"
    )
    p.add_argument("--image-dir", default="", metavar="DIR", help="the folder with the images")
    p.add_argument(
        "--mask-dir", default="", metavar="DIR", help="the folder with the masks or annotations"
    )
    p.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N")
    options = p.parse_args(arguments)
    try:
        roots = [root for _, root in terms(options.path)]
        given = options.image_dir, options.mask_dir
        text = any(text_layouts.holds(root, *given) == "text" for root in roots)
        find, look = (text_layouts.find, check_text) if text else (layouts.find, check)
        sets = [(root, found) for root in roots for found in find(root, *given)]
        bad = sum(look(place, options.workers) for place in sets)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not bad:
        line, refused = usable(options.path, *given, describe_text if text else describe)
        print(line)
        bad = int(refused and any(split for split, _ in terms(options.path)))
    print(f"{bad} problem{'s' * (bad != 1)}" if bad else "no problem")
    return 1 if bad else 0


def check(place: Place, workers: int) -> int:
    """Print what one set of masks holds; returns the number of its problems."""
    pairs, problems = folders.match(place[1])
    found = look_all(decode.inspect, list(pairs.values()), workers, label(place))
    problems += [line for size, lines in found if size is None for line in lines]
    remarks = [line for size, lines in found if size is not None for line in lines]
    sizes = [size for size, _ in found if size is not None]
    return report(place, f"{len(sizes)} pairs", sizes, problems, remarks)


def check_text(place: Place, workers: int) -> int:
    """Print what one set of words holds; returns the number of its problems."""
    pairs, problems = text_layouts.match(place[1])
    words = try_words([text for _, text in pairs.values()], problems)
    items = [(*files, found) for files, found in zip(pairs.values(), words, strict=True)]
    found = look_all(text_check.inspect, items, workers, label(place))
    problems += [line for size, lines, _ in found if size is None for line in lines]
    remarks = [line for size, lines, _ in found if size is not None for line in lines]
    sizes = [size for size, *_ in found if size is not None]
    counts = sum((c for *_, c in found), Counter[str]())
    what = f"{len(sizes)} image{'s' * (len(sizes) != 1)}, {text_check.told(counts)}"
    return report(place, what, sizes, problems, remarks)


def report(
    place: Place,
    what: str,
    sizes: list[tuple[int, ...]],
    problems: list[str],
    remarks: list[str],
) -> int:
    """Print what a set holds, its problems and notes; returns the number of problems."""
    smallest, largest = (f(sizes, key=lambda s: s[0] * s[1], default=(0, 0)) for f in (min, max))
    print(
        f"{label(place)} ({split_of(*place) or 'no split told'}): {what}, "
        f"{smallest[1]} x {smallest[0]} to {largest[1]} x {largest[0]} px"
    )
    for kind, lines in (("problem", problems), ("note", remarks)):
        for line in lines[:SHOWN]:
            print(f"  {kind}: {line}")
        if len(lines) > SHOWN:
            print(f"  ... and {len(lines) - SHOWN} more of the kind")
    return len(problems)


def look_all(
    look: Callable[[Item], Finding], items: list[Item], workers: int, name: str
) -> list[Finding]:
    """A finding for each item, in order, from several processes if there are many."""
    bar = partial(tqdm, desc=name, total=len(items), unit=" images", leave=False, disable=None)
    if len(items) <= FEW or workers < 2:
        return list(bar(map(look, items)))
    with ProcessPoolExecutor(workers, servants.context(), servants.end_with_parent) as pool:
        return list(bar(pool.map(look, items, chunksize=16)))


def usable(
    name: str, image_dir: str, mask_dir: str, describe: Callable[[DataConfig], str]
) -> tuple[str, bool]:
    """How a run would split this, or what it lacks for a run; whether a run would refuse it."""
    data = DataConfig(name=name, image_dir=image_dir, mask_dir=mask_dir)
    try:
        return f"as --data: {describe(data)}", False
    except UserError as error:
        return f"not usable as --data by itself: {error}", True


if __name__ == "__main__":
    sys.exit(main())
