"""Pictures side by side in blocks of columns, as the strip and the maps are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from analysis.figures.style import (
    TEXT_WIDTH,
    add_axes,
    fit,
    headline,
    new_figure,
    style,
    text_width,
    write,
)
from analysis.kept import Pixels
from analysis.summary import Summary

MOST_COLUMNS = 9
_DPI, _THUMB = 170, 160  # a tile is under an inch wide; full maps would fill megabytes
_GAP, _LINE, _SIDE, _LABEL = 0.04, 0.115, 1.1, 1.2  # inches
_FLATTEST, _TALLEST = 0.4, 1.5  # height over width of a tile; others have bands beside them


@dataclass(frozen=True)
class Column:
    """A title, and under it for each row a picture (H, W, 3) in [0, 1], or why there is none;
    `notes`, if any, stand in the corners of the pictures."""

    title: str
    pictures: Sequence[Pixels | str]
    notes: Sequence[str] = ()


def tiled(
    summary: Summary,
    subject: str,
    blocks: Sequence[Sequence[Column]],
    labels: Sequence[str],
    foot: str,
) -> Figure:
    """Blocks of columns below each other, rows named by `labels`, `foot` below them all."""
    with style():
        labels = ["\n".join(fit(part, _LABEL) for part in label.split("\n")) for label in labels]
        left = 0.12 + max(text_width(label) for label in labels)
        columns = max(map(len, blocks))
        side = min(_SIDE, (TEXT_WIDTH - left - 0.02) / columns - _GAP)
        talls = [side * _aspect(blocks, row) for row in range(len(labels))]
        heads = [0.06 + _LINE * max(1 + c.title.count("\n") for c in block) for block in blocks]
        width = min(TEXT_WIDTH, max(left + columns * (side + _GAP), 0.18 + text_width(foot)))
        title = headline(summary, subject, width - 0.12)
        top, bottom = 0.08 + 0.13 * len(title), 0.09 + _LINE * (1 + foot.count("\n"))
        body = len(blocks) * sum(tall + _GAP for tall in talls) + sum(heads)
        figure = new_figure(width, top + body + bottom, dpi=_DPI)
        y = top + body + bottom
        write(figure, 0.06, y - 0.05, "\n".join(title), va="top")
        y -= top
        for block, head in zip(blocks, heads, strict=True):
            y -= head
            _titles(figure, block, left, y, side)
            for row, (label, tall) in enumerate(zip(labels, talls, strict=True)):
                y -= tall
                write(figure, 0.06, y + tall / 2, label, va="center")
                for column, one in enumerate(block):
                    box = (left + column * (side + _GAP), y, side, tall)
                    _show(figure, box, one.pictures[row], one.notes[row] if one.notes else "")
                y -= _GAP
        write(figure, 0.06, 0.05, foot, va="bottom", linespacing=1.2)
    return figure


def _titles(figure: Figure, block: Sequence[Column], left: float, y: float, side: float) -> None:
    for column, one in enumerate(block):
        words = "\n".join(fit(line, side - 0.05) for line in one.title.split("\n"))
        x = left + column * (side + _GAP) + side / 2
        write(figure, x, y + 0.03, words, ha="center", linespacing=1.1)


def _aspect(blocks: Sequence[Sequence[Column]], row: int) -> float:
    """Height over width of a row's tiles."""
    pictures = [one.pictures[row] for block in blocks for one in block]
    shapes = [found.shape for found in pictures if not isinstance(found, str)]
    height, width = shapes[0][:2] if shapes else (1, 1)
    return float(np.clip(height / width, _FLATTEST, _TALLEST))


def _show(
    figure: Figure, box: tuple[float, float, float, float], picture: Pixels | str, note: str
) -> None:
    axes = add_axes(figure, *box)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(linewidth=0.4, color="0.6", visible=True)
    if isinstance(picture, str):
        axes.text(0.5, 0.5, picture, transform=axes.transAxes, ha="center", va="center")
        return
    if note:
        axes.text(0.03, 0.04, note, transform=axes.transAxes, color="white", size=6,
                  bbox={"facecolor": "black", "edgecolor": "none", "pad": 0.8})  # fmt: skip
    height, width = picture.shape[:2]
    axes.imshow(np.clip(small(picture), 0, 1), extent=(0, width, height, 0))
    axes.set_facecolor("0.85")  # beside pictures flatter or taller than their tile
    across = max(width, height * box[2] / box[3])
    down = max(height, width * box[3] / box[2])
    axes.set_xlim(width / 2 - across / 2, width / 2 + across / 2)
    axes.set_ylim(height / 2 + down / 2, height / 2 - down / 2)


def coloured(values: Pixels, colours: str, low: float, high: float) -> Pixels:
    """Values (H, W) as colours (H, W, 3) of a colour map from `low` to `high`."""
    shares = np.clip((small(values) - low) / (high - low), 0, 1)
    found: Pixels = colormaps[colours](shares)[..., :3]
    return found


def small(picture: Pixels) -> Pixels:
    """At most about 160 px a side, by block means."""
    step = max(1, -(-max(picture.shape[:2]) // _THUMB))
    height, width = (max(1, size // step) for size in picture.shape[:2])
    step_down, step_across = (min(step, size) for size in picture.shape[:2])
    cut = picture[: height * step_down, : width * step_across]
    blocks = cut.reshape(height, step_down, width, step_across, *picture.shape[2:])
    means: Pixels = blocks.mean(axis=(1, 3))
    return means
