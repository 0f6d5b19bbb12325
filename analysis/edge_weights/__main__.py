"""The command line: `python -m analysis.edge_weights`."""

import argparse
import sys
from functools import partial
from pathlib import Path

import pandas as pd

from analysis import edge_weights as edges
from analysis.samples import Images, add_options, read_images, status, write
from analysis.spelling import number

OUT = Path("results/edge_weights")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 for input that cannot be."""
    p = argparse.ArgumentParser(
        prog="python -m analysis.edge_weights",
        description="Draw F3Net's edge weights: maps, their profile against the distance to the "
        "edge, what gamma, window, border and image size do, and the schedules of losses.",
        epilog="example: python -m analysis.edge_weights --data thin3d --size 1024 1024",
    )
    add_options(p, images=8, data="embedded")
    p.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(512, 512),
        metavar=("H", "W"),
        help="default: 512 512",
    )
    p.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=edges.SIZES,
        metavar="N",
        help=f"sides of the square images compared (default: {' '.join(map(str, edges.SIZES))})",
    )
    p.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    return status(partial(draw, p.parse_args(arguments)))


def draw(options: argparse.Namespace) -> list[Path]:
    """Write the figures and the table of settings; returns the files written."""

    def at(height: int, width: int) -> Images:
        folders = (options.image_dir, options.mask_dir)
        return read_images(options.data, (height, width), options.images, *folders)

    images = at(*options.size)
    by_size = [at(side, side) for side in options.sizes]
    rows = edges.settings(images, by_size)
    figures = {
        "weight_maps": edges.weight_maps(images),
        "profiles": edges.profiles(images),
        "borders": edges.borders(images),
        "sizes": edges.sizes(by_size),
        "schedules": edges.schedules(),
    }
    return write(options.out, "edge_weights", rows, _markdown(images, rows), figures)


def _markdown(images: Images, rows: pd.DataFrame) -> str:
    height, width = images.size
    lines = [
        f"# Edge weights of {len(images.names)} images of {images.data}, {height} x {width} px",
        "",
        "| knob | value | size, px | edge share of weight | at the edge | at the border |",
        "|-|-|-|-|-|-|",
    ]
    for row in rows.to_dict("records"):
        cells = [row["knob"], row["value"], row["size"], f"{100 * row['edge_share']:.1f} %"]
        cells += [number(row[key], 2) for key in ("edge", "frame")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    notes = (
        "Weight w = 1 + gamma |box(t) - t|; unless said gamma 5, window 31, padding counted. "
        "Edge share: S(w - 1) / S(w). At the edge: mean weight within 1 px of it. At the border: "
        "mean weight of the object's pixels in the picture's outermost rows and columns.",
    )
    return "\n".join([*lines, "", *notes, ""])


if __name__ == "__main__":
    sys.exit(main())
