"""Look at a data set before training on it.

    python -m experiments.data check PATH [--image-dir DIR --mask-dir DIR]

Decodes every pair below PATH (or of all sets in train=A+B,val=C,test=D), and prints the counts,
sizes and problems. The exit code is 1 if there is a problem or a run would refuse the splits that
PATH names; a PATH that names none may be a part of a set, and what it lacks is only said.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from experiments import servants
from experiments.data import DataConfig, decode, describe, layouts
from experiments.data.folders import match
from experiments.data.splits import Place, label, split_of, terms
from experiments.errors import UserError

Files = tuple[Path, Path]
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
    p.add_argument("path", metavar="PATH", help="as run.py's --data, or a folder with one set")
    p.add_argument("--image-dir", default="", metavar="DIR", help="the folder with the images")
    p.add_argument("--mask-dir", default="", metavar="DIR", help="the folder with the masks")
    p.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N")
    options = p.parse_args(arguments)
    try:
        sets = [
            (root, folders)
            for _, root in terms(options.path)
            for folders in layouts.find(root, options.image_dir, options.mask_dir)
        ]
        bad = sum(check(place, options.workers) for place in sets)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not bad:
        line, refused = usable(options.path, options.image_dir, options.mask_dir)
        print(line)
        bad = int(refused and any(split for split, _ in terms(options.path)))
    print(f"{bad} problems" if bad else "no problem")
    return 1 if bad else 0


def check(place: Place, workers: int) -> int:
    """Print what one set holds; returns the number of its problems."""
    pairs, problems = match(place[1])
    sizes, remarks = [], []
    files = list(pairs.values())
    for size, lines in tqdm(
        look_all(files, workers),
        label(place),
        len(files),
        unit=" pairs",
        leave=False,
        disable=None,
    ):
        if size is None:
            problems += lines
        else:
            sizes.append(size)
            remarks += lines
    smallest, largest = (f(sizes, key=lambda s: s[0] * s[1], default=(0, 0)) for f in (min, max))
    print(
        f"{label(place)} ({split_of(*place) or 'no split told'}): {len(sizes)} pairs, "
        f"{smallest[1]} x {smallest[0]} to {largest[1]} x {largest[0]} px"
    )
    for kind, lines in (("problem", problems), ("note", remarks)):
        for line in lines[:SHOWN]:
            print(f"  {kind}: {line}")
        if len(lines) > SHOWN:
            print(f"  ... and {len(lines) - SHOWN} more of the kind")
    return len(problems)


def look_all(files: list[Files], workers: int) -> Iterator[decode.Finding]:
    """A finding for each pair, in order, from several processes if there are many."""
    if len(files) <= FEW or workers < 2:
        yield from map(decode.inspect, files)
        return
    with ProcessPoolExecutor(workers, servants.context(), servants.end_with_parent) as pool:
        yield from pool.map(decode.inspect, files, chunksize=16)


def usable(name: str, image_dir: str, mask_dir: str) -> tuple[str, bool]:
    """How a run would split this, or what it lacks for a run; whether a run would refuse it."""
    data = DataConfig(name=name, image_dir=image_dir, mask_dir=mask_dir)
    try:
        return f"as --data: {describe(data)}", False
    except UserError as error:
        return f"not usable as --data by itself: {error}", True


if __name__ == "__main__":
    sys.exit(main())
