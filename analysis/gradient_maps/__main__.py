"""The command line: `python -m analysis.gradient_maps`."""

import argparse
import sys
from functools import partial
from pathlib import Path

from analysis import gradient_maps as maps
from analysis.figures.style import fit
from analysis.gradient_maps.figures import predictions
from analysis.gradient_maps.labels import Labels, own_definition
from analysis.load import load
from analysis.samples import Images, add_options, outputs, read_images, status, trained_on, write

OUT, IMAGES = Path("results/gradient_maps"), 16


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 for input that cannot be."""
    options = parser().parse_args(arguments)
    return status(partial(of_grid if options.grid else of_images, options))


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="python -m analysis.gradient_maps",
        description="Are BiRefNet's gradient labels nearly binary? Histograms, pictures and "
        "numbers of the labels of a data set, under the released and repaired definitions. "
        "Labels gated by the network's logits take a stand-in that knows the mask, or --run.",
        epilog="example: python -m analysis.gradient_maps --data thin3d --size 512 512",
    )
    add_options(p, images=IMAGES, data=None)
    p.set_defaults(images=None)  # so that --grid can tell
    p.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="size of images and labels (default: the run's, else 256 256)",
    )
    which = p.add_mutually_exclusive_group()
    which.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        help="labels and predictions of this run's checkpoint, and its histograms over training",
    )
    which.add_argument(
        "--grid",
        type=Path,
        metavar="DIR",
        help="of a grid's folder: predictions of every arm over training, and its excess BCE",
    )
    p.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    return p


def of_images(options: argparse.Namespace) -> list[Path]:
    """Labels of a data set; with a run, its predictions too. Returns the files written."""
    run: Path | None = options.run
    data, size = trained_on(run) if run else ("embedded", (256, 256))
    size = tuple(options.size) if options.size else size
    count = IMAGES if options.images is None else options.images
    images = read_images(options.data or data, size, count, options.image_dir, options.mask_dir)
    found = outputs(run, images) if run else None
    labels = maps.label_maps(images, found)
    title = f"Labels: {fit(images.data, 1)}, {len(images.names)} images, {size[0]} x {size[1]} px"
    title += f"\nlogits of {fit(run.name, 2.6)}" if run else ""
    figures = {
        "label_histograms": maps.label_histograms(labels, title),
        "labels": maps.label_pictures(images, labels, title),
    }
    if run and found and found.gradients:
        own, name = own_definition(run), fit(run.name, 3)
        title = f"Gradient labels and predictions of {name}: {fit(images.data, 1.5)}"
        figures["stages"] = maps.stage_pictures(images, found, own, title)
        figures["training"] = maps.training_histograms(run, f"{name}\nvalidation images")
        stages = enumerate(predictions(found), 1)
        inside = labels[0].inside
        labels += tuple(Labels(f"prediction, stage {i}", m, inside) for i, m in stages)
    rows = maps.table(labels)
    text = maps.markdown(rows, _heading(images, run))
    return write(options.out, "labels", rows, text, figures)


def _heading(images: Images, run: Path | None) -> str:
    whose = f"logits of {run.name}, finest stage" if run else "stand-in logits where needed"
    height, width = images.size
    many = len(images.names)
    return f"Gradient labels of {many} images of {images.data}, {height} x {width} px; {whose}"


def of_grid(options: argparse.Namespace) -> list[Path]:
    """Predictions and excess BCE of a grid's arms over training. Returns the files written."""
    unused = [
        f"--{name.replace('_', '-')}"
        for name in ("data", "size", "images", "image_dir", "mask_dir")
        if getattr(options, name) not in (None, "")
    ]
    if unused:
        raise ValueError(f"--grid takes what the runs recorded; leave out {', '.join(unused)}")
    results = load(options.grid)
    rows = maps.prediction_table(results)
    figure = maps.excess_curves(results)
    if rows.empty and figure is None:
        raise ValueError(
            f"{options.grid}: no run kept gradient maps or measured excess BCE; does the model "
            "predict gradients?"
        )
    heading = f"Gradient maps of {results.grid.name}, preset {results.grid.preset}"
    figures = {"excess_bce": figure} if figure else {}
    text = maps.markdown(rows, heading) if len(rows) else ""
    return write(options.out, "predictions", rows, text, figures)


if __name__ == "__main__":
    sys.exit(main())
