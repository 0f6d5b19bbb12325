"""The qualitative strip: test images with their maps, and where each arm errs on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.maps import (
    MOST_IMAGES,
    Maps,
    all_maps,
    array,
    choose_images,
    other_label,
    shown_arm,
    shown_seed,
)
from analysis.figures.style import (
    SKY,
    TEXT_WIDTH,
    VERMILION,
    add_axes,
    fit,
    new_figure,
    style,
    text_width,
    write,
)
from analysis.load import Results
from analysis.summary import Summary

_MOST_ARMS = 7  # side by side
_DPI, _THUMB = 170, 160  # a tile is under an inch wide; full maps would fill megabytes
_LEFT, _GAP, _TITLE, _FOOT = 0.42, 0.04, 0.32, 0.47  # inches


@dataclass(frozen=True)
class _Tile:
    """One column of the figure: its title, and which array of which arm's maps it shows."""

    title: str
    arm: str
    key: str


def qualitative(summary: Summary) -> Figure | None:
    """Draw worst, middle and (up to seven arms) best test image of the baseline; None if no run
    kept its maps.

    First block: image, target, edge-weight map, gradient label and prediction of the baseline
    and, if its label differs, of the arm whose label differs most. Next blocks: target and, for
    every arm, prediction and error in one picture (`errors`). All from one seed, the first that
    is complete in all arms.
    """
    results = summary.results
    seed = shown_seed(results)
    maps = all_maps(results, seed)
    if not maps:
        return None
    shown = shown_arm(results, maps)
    images = choose_images(results, shown, [str(name) for name in maps[shown]["names"]])
    images = images[: MOST_IMAGES - (len(results.grid.arms) > _MOST_ARMS)]
    blocks = _blocks(list(results.grid.arms), shown, other_label(maps, shown))
    with style():
        return _draw(maps, images, blocks, _caption(results, shown, seed, maps))


def errors(target: NDArray[np.float64], prediction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Target t and prediction p in [0, 1] (H, W) as one colour image (H, W, 3) in [0, 1].

    min(t, p), found, is white; max(p - t, 0), wrongly added, vermilion; max(t - p, 0), missed,
    sky blue; 1 - max(t, p), rightly left, black. The four shares of a pixel add up to 1, so soft
    edges and unsure predictions are mixtures.
    """
    shares = np.stack(
        [np.minimum(target, prediction), np.maximum(prediction - target, 0),
         np.maximum(target - prediction, 0)],
        axis=-1,
    )  # fmt: skip
    colours = np.array([to_rgb("white"), to_rgb(VERMILION), to_rgb(SKY)])
    mixed: NDArray[np.float64] = shares @ colours
    return np.clip(mixed, 0, 1)


def _blocks(arms: list[str], shown: str, other: str | None) -> list[list[_Tile]]:
    first = [
        _Tile("image", shown, "image"),
        _Tile("target", shown, "target"),
        _Tile("edge weight", shown, "edge_weight"),
    ]
    for arm in (shown, other):
        if arm:
            first.append(_Tile(f"gradient label\n{arm}", arm, "gradient_label"))
            first.append(_Tile(f"gradient pred.\n{arm}", arm, "gradient_prediction"))
    predictions = [_Tile(arm, arm, "prediction") for arm in arms]
    count = -(-len(arms) // _MOST_ARMS)
    step = -(-len(arms) // count)
    parts = [predictions[at : at + step] for at in range(0, len(predictions), step)]
    return [first, *([_Tile("target", shown, "target"), *part] for part in parts)]


def _caption(results: Results, shown: str, seed: int, maps: Mapping[str, Maps]) -> str:
    grid = results.grid
    weight = array(maps[shown], "edge_weight")
    heaviest = f"{weight.max():.1f}" if weight is not None else "its maximum"
    where = f"{fit(grid.name, 1.5)}, preset {fit(grid.preset, 1.0)}, seed {seed}"
    return (
        f"{where}. Rows: test images with kept maps, by {grid.primary} of {fit(shown, 1.2)} over "
        f"its seeds.\nEdge weight from 1 (dark) to {heaviest}; gradient label and prediction "
        "(finest stage) from 0 (dark) to 1 (bright).\nPredictions: white found, black left; "
        "vermilion added wrongly, blue missed; soft values are mixtures."
    )


def _draw(
    maps: Mapping[str, Maps],
    images: list[tuple[str, str]],
    blocks: list[list[_Tile]],
    caption: str,
) -> Figure:
    columns = max(len(block) for block in blocks)
    side = min(1.1, (TEXT_WIDTH - _LEFT - 0.02) / columns - _GAP)
    tall = side * _aspect(maps)
    height = _FOOT + len(blocks) * (_TITLE + len(images) * (tall + _GAP))
    width = max(_LEFT + columns * (side + _GAP) + 0.02, 0.06 + text_width(caption))
    figure = new_figure(width, height, dpi=_DPI)
    y = height
    for block in blocks:
        y -= _TITLE
        places = [_LEFT + column * (side + _GAP) for column in range(len(block))]
        for x, tile in zip(places, block, strict=True):
            words = "\n".join(fit(line, side + 0.02) for line in tile.title.split("\n"))
            write(figure, x + side / 2, y + 0.03, words, ha="center", linespacing=1.1)
        for name, label in images:
            y -= tall
            write(figure, 0.03, y + tall / 2, "\n".join(fit(s, 0.38) for s in label.split("\n")),
                  va="center")  # fmt: skip
            for x, tile in zip(places, block, strict=True):
                _show(add_axes(figure, x, y, side, tall), maps.get(tile.arm, {}), tile, name)
            y -= _GAP
    write(figure, 0.03, 0.04, caption, va="bottom", linespacing=1.2)
    return figure


def _aspect(maps: Mapping[str, Maps]) -> float:
    """Height over width of the kept images."""
    height, width = next(iter(maps.values()))["target"].shape[1:3]
    return float(height) / float(width)


def _show(axes: Axes, maps: Maps, tile: _Tile, name: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(linewidth=0.4, color="0.6", visible=True)
    names = [str(n) for n in maps.get("names", np.array([]))]
    values = array(maps, tile.key)
    if values is None or name not in names:
        words = "no map" if maps else "no run"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center")
        return
    picture = _thumb(values[names.index(name)])
    if tile.key == "image":
        axes.imshow(np.clip(picture / 255, 0, 1), aspect="auto")
    elif tile.key == "target":
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto")
    elif tile.key == "prediction":
        target = _thumb(maps["target"][names.index(name)].astype(np.float64))
        axes.imshow(errors(target / 255, picture / 255), aspect="auto")
    elif tile.key == "edge_weight":
        axes.imshow(picture, cmap="magma", vmin=1, vmax=max(1.01, values.max()), aspect="auto")
    else:
        axes.imshow(picture, cmap="cividis", vmin=0, vmax=1, aspect="auto")


def _thumb(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most about 160 px a side, by block means."""
    step = max(1, -(-max(picture.shape[:2]) // _THUMB))
    height, width = (max(1, size // step) for size in picture.shape[:2])
    step_down, step_across = (min(step, size) for size in picture.shape[:2])
    cut = picture[: height * step_down, : width * step_across]
    blocks = cut.reshape(height, step_down, width, step_across, *picture.shape[2:])
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return means
