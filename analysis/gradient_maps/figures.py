"""Pictures of gradient labels: their histograms, and label and prediction side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.binariness import binariness
from analysis.figures import COLUMN, TEXT_WIDTH, new_figure, style
from analysis.figures.style import BLUE, fit
from analysis.gradient_maps.labels import Definition, Labels, Maps, stage_maps
from analysis.samples import Images, Outputs

GREY = "0.75"
BINS, LEAST = 50, 1e-5  # bins of a histogram; the smallest share of pixels that is drawn
SMALL = 6.2  # points
MOST_IMAGES = 3
Tile = tuple[str, NDArray[Any]]  # title, and one picture (h, w) or (h, w, 3) for each image


def label_histograms(labels: Sequence[Labels], title: str) -> Figure:
    """Histograms of the labels, log scale, a panel for each definition.

    Grey: all pixels; blue line: those of the object, and above, of these: the shares within .05
    of 0 and of 1, and the entropy floor in nats.
    """
    columns = 2
    rows = -(-len(labels) // columns)
    with style():
        figure = new_figure(COLUMN, 0.75 + 0.88 * rows)
        title += "\nGrey: all pixels. Blue, of the object: shares within"
        title += "\n.05 of 0 and of 1, and entropy floor (nats)."
        panels = panel_grid(figure, rows, columns, title, foot=0.25, lines=2)
        for axes, one in zip(panels.ravel(), labels, strict=False):
            _label_panel(axes, one)
        for axes in panels.ravel()[len(labels) :]:
            axes.set_visible(False)
            panels[-2, -1].tick_params(labelbottom=True)
    return figure


def panel_grid(
    figure: Figure, rows: int, columns: int, title: str, *, foot: float, lines: int = 1
) -> NDArray[Any]:
    """Axes (rows, columns) of shared histograms below a title, `foot` inches above the edge, each
    with a title of its own of `lines` lines."""
    height = figure.get_figheight()
    head = 0.12 + 0.13 * (lines + len(title.split("\n")))
    room: dict[str, float] = {"left": 0.16, "right": 0.975, "hspace": 0.62, "wspace": 0.12}
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(top=1 - head / height, bottom=foot / height, **room)
    figure.text(0.02, 1 - 0.05 / height, title, va="top", linespacing=1.25)
    middle = (1 - head / height + foot / height) / 2
    figure.text(0.015, middle, "share of pixels", rotation=90, va="center", ha="left")
    panels: NDArray[Any] = grid
    return panels


def _label_panel(axes: Axes, one: Labels) -> None:
    inside = one.region("object")
    draw_histogram(axes, np.histogram(one.values, BINS, (0, 1))[0], fill=True, color=GREY)
    draw_histogram(axes, np.histogram(inside, BINS, (0, 1))[0], color=BLUE)
    found = binariness(inside)
    facts = "no object"
    if found.count:
        low, high = (f"{100 * share:.0f} %" for share in (found.near_zero, found.near_one))
        facts = f"0: {low}, 1: {high}, floor {found.floor:.2f}"
    axes.set_title(f"{one.name}\n{facts}", loc="left", fontsize=SMALL, linespacing=1.2, pad=2)
    frame(axes)


def draw_histogram(
    axes: Axes, counts: NDArray[np.int64], *, color: Any, fill: bool = False, label: str = ""
) -> None:
    """Shares of the counts in equal bins over [0, 1], on a log scale; empty bins are gaps."""
    shares = counts / max(1, counts.sum())
    edges = np.linspace(0, 1, len(counts) + 1)
    drawn = np.where(shares > 0, np.maximum(shares, LEAST), LEAST if fill else np.nan)
    axes.stairs(drawn, edges, baseline=LEAST, fill=fill, color=color, lw=0.9, label=label or None)


def frame(axes: Axes) -> None:
    """The axes of a histogram over [0, 1]."""
    axes.set(xlim=(0, 1), ylim=(LEAST, 1.5), yscale="log")
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_yticks([1e-4, 1e-2, 1], ["10⁻⁴", "10⁻²", "1"])
    axes.minorticks_off()


def label_pictures(images: Images, labels: Sequence[Labels], title: str) -> Figure:
    """Image, target and the label of up to six definitions, black 0 and white 1."""
    shown = _picked(labels)
    tiles: list[Tile] = given(images)
    tiles += [(one.name.replace(", ", "\n"), one.values) for one in shown]
    return pictures(tiles, images.names, title)


def _picked(labels: Sequence[Labels]) -> list[Labels]:
    """Six at most: what looks like another one is left out."""
    alike = ("repaired, true gate", "as released, logits ±1")
    return [one for one in labels if one.name not in alike][:6]


def stage_pictures(images: Images, outputs: Outputs, own: Definition, title: str) -> Figure:
    """A run's own gradient label and its prediction at every stage, black 0 and white 1."""
    labels = stage_maps(images, outputs, own)
    tiles = given(images)
    for stage, (label, found) in enumerate(zip(labels, predictions(outputs), strict=True), 1):
        tiles += [(f"label\nstage {stage}", label), (f"prediction\nstage {stage}", found)]
    return pictures(tiles, images.names, title)


def predictions(outputs: Outputs) -> list[Maps]:
    """The predicted gradient maps (K, H, W) in [0, 1], for each stage."""
    return [torch.sigmoid(z)[:, 0].numpy() for z in outputs.gradients]


def given(images: Images) -> list[Tile]:
    """The tiles of images and targets."""
    pixels = images.pixels.permute(0, 2, 3, 1).numpy()
    return [("image", pixels), ("target", images.targets[:, 0].numpy())]


def pictures(
    tiles: Sequence[Tile],
    names: Sequence[str],
    title: str,
    ranges: Mapping[str, tuple[float, float, str]] | None = None,
) -> Figure:
    """A row for each of the first images, a column for each tile.

    `ranges` gives tiles by title other limits and colours than 0 to 1 in grey.
    """
    rows = min(MOST_IMAGES, len(names))
    with style():
        head = 0.25 + 0.1 * max(1 + name.count("\n") for name, _ in tiles)
        head += 0.13 * title.count("\n")
        left, gap = 0.18, 0.04
        side = (TEXT_WIDTH - left - 0.02) / len(tiles) - gap
        shape = tiles[0][1].shape
        tall = side * shape[1] / shape[2]
        height = head + rows * (tall + gap)
        figure = new_figure(TEXT_WIDTH, height)
        figure.text(0.004, 1 - 0.04 / height, title, va="top", linespacing=1.25)
        for column, (name, maps) in enumerate(tiles):
            x = left + column * (side + gap)
            place = ((x + side / 2) / TEXT_WIDTH, 1 - (head - 0.03) / height)
            figure.text(*place, name, ha="center", va="bottom", linespacing=1.1, fontsize=SMALL)
            low, high, colours = (ranges or {}).get(name, (0, 1, "gray"))
            for row in range(rows):
                y = height - head - row * (tall + gap) - tall
                box = (x / TEXT_WIDTH, y / height, side / TEXT_WIDTH, tall / height)
                axes = figure.add_axes(box, xticks=[], yticks=[])
                axes.imshow(maps[row], cmap=colours, vmin=low, vmax=high, aspect="auto")
                for spine in axes.spines.values():
                    spine.set(linewidth=0.4, color="0.6", visible=True)
                if column == 0:
                    axes.set_ylabel(fit(names[row], tall), labelpad=1.5)
    return figure
