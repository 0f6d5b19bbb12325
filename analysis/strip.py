"""The qualitative strip: test images with their maps and what every arm predicts for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures import TEXT_WIDTH, new_figure, style
from analysis.load import Results, image_means
from analysis.metrics import sign
from analysis.notes import shorten
from analysis.summary import Summary

Maps = Mapping[str, NDArray[np.generic]]
_MOST_ROWS, _MOST_COLUMNS, _THUMB = 3, 8, 256
_OTHER_LABEL = 0.02  # mean difference of two gradient labels that are worth showing side by side


@dataclass(frozen=True)
class _Tile:
    """One column of the figure: its title, and which array of which arm's maps it shows."""

    title: str
    arm: str
    key: str


def strip(summary: Summary) -> Figure | None:
    """Draw worst, middle and best test image of the baseline; None if no run kept its maps.

    First block: image, target, edge-weight map, gradient label and prediction of the baseline
    and, if its label differs, of the arm whose label differs most. Next blocks: target and the
    prediction of every arm. All from one seed, the first that is complete in all arms.
    """
    results = summary.results
    seed = _seed(results)
    maps = {arm: _read_maps(results, arm, seed) for arm in results.grid.arms}
    maps = {arm: found for arm, found in maps.items() if found}
    if not maps:
        return None
    shown = results.grid.baseline if results.grid.baseline in maps else next(iter(maps))
    images = _choose_images(results, shown, [str(name) for name in maps[shown]["names"]])
    blocks = _blocks(list(results.grid.arms), shown, _other_label(maps, shown))
    with style():
        return _draw(maps, images, blocks, _caption(results, shown, seed, maps))


def _seed(results: Results) -> int:
    """The first seed complete in all arms, else the first with the most arms."""
    done = [cell.seed for cell in results.grid.cells if cell.state == "complete"]
    return max(results.grid.seeds, key=lambda seed: (done.count(seed), -seed))


def _read_maps(results: Results, arm: str, seed: int) -> dict[str, NDArray[np.generic]]:
    run = results.run_folder(arm, seed)
    path: Path | None = run / "gradient_maps.npz" if run else None
    if path is None or not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _choose_images(results: Results, arm: str, names: list[str]) -> list[tuple[str, str]]:
    """(name, row label) of the worst, the middle and the best image for which maps were kept,
    by the arm's primary metric averaged over its seeds; all of them if three or fewer."""
    metric = results.grid.primary
    scores = image_means(results, metric, arm)
    known = [name for name in names if name in scores.index]
    if not known:
        return [(name, name) for name in names[:_MOST_ROWS]]
    turn = sign(metric)
    ranked = sorted(known, key=lambda name: (turn * float(scores[name]), name))
    words = {ranked[len(ranked) // 2]: "median", ranked[-1]: "best", ranked[0]: "worst"}
    picked = sorted(words, key=ranked.index)
    if len(picked) == 1:
        words[picked[0]] = metric
    return [(name, f"{words[name]}\n{float(scores[name]):.3f}") for name in picked]


def _other_label(maps: Mapping[str, Maps], shown: str) -> str | None:
    """The arm whose gradient label is furthest from the shown arm's, if far enough to see."""
    own = _array(maps[shown], "gradient_label")
    distances: dict[str, float] = {}
    for arm, found in maps.items():
        label = _array(found, "gradient_label")
        if own is not None and label is not None and label.shape == own.shape and np.ptp(label):
            distances[arm] = float(np.abs(label - own).mean())
    far = max(distances, key=lambda arm: distances[arm], default=shown)
    return far if distances.get(far, 0.0) > _OTHER_LABEL else None


def _array(maps: Maps, key: str) -> NDArray[np.float64] | None:
    """A map as float64; None where the run has none (a model without gradient prediction)."""
    if key not in maps or maps[key].size == 0:
        return None
    array = maps[key].astype(np.float64)
    return array if np.isfinite(array).all() else None


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
    predictions = [_Tile(f"prediction\n{arm}", arm, "prediction") for arm in arms]
    step = _MOST_COLUMNS - 1
    parts = [predictions[at : at + step] for at in range(0, len(predictions), step)]
    return [first, *([_Tile("target", shown, "target"), *part] for part in parts)]


def _caption(results: Results, shown: str, seed: int, maps: Mapping[str, Maps]) -> str:
    grid = results.grid
    weight = _array(maps[shown], "edge_weight")
    heaviest = f"{weight.max():.1f}" if weight is not None else "its maximum"
    return (
        f"{grid.name}, preset {grid.preset}, seed {seed}. Rows: test images with kept maps, by "
        f"{grid.primary} of {shown} over its seeds.\nEdge weight from 1 (dark) to {heaviest}; "
        "gradient label and prediction (finest stage) from 0 (dark) to 1 (bright)."
    )


_LEFT, _GAP, _TITLE, _FOOT = 0.42, 0.04, 0.34, 0.34  # inches


def _draw(
    maps: Mapping[str, Maps],
    images: list[tuple[str, str]],
    blocks: list[list[_Tile]],
    caption: str,
) -> Figure:
    columns = max(len(block) for block in blocks)
    side = min(1.1, (TEXT_WIDTH - _LEFT - 0.02) / columns - _GAP)
    tall = side * _aspect(maps)
    width = _LEFT + columns * (side + _GAP) + 0.02
    height = _FOOT + len(blocks) * (_TITLE + len(images) * (tall + _GAP))
    figure = new_figure(width, height)

    def text(x: float, y: float, words: str, **look: Any) -> None:
        figure.text(x / width, y / height, words, **look)

    y = height
    for block in blocks:
        y -= _TITLE
        places = [_LEFT + column * (side + _GAP) for column in range(len(block))]
        for x, tile in zip(places, block, strict=True):
            words = "\n".join(shorten(line, 16) for line in tile.title.split("\n"))
            size = 6.2 if max(map(len, words.split("\n"))) > 14 else 7
            text(x + side / 2, y + 0.03, words, ha="center", fontsize=size, linespacing=1.1)
        for name, label in images:
            y -= tall
            text(0.03, y + tall / 2, label, va="center")
            for x, tile in zip(places, block, strict=True):
                box = (x / width, y / height, side / width, tall / height)
                _show(figure.add_axes(box), maps.get(tile.arm, {}), tile, name)
            y -= _GAP
    text(0.03, 0.04, caption, va="bottom", fontsize=6.2, linespacing=1.2)
    return figure


def _aspect(maps: Mapping[str, Maps]) -> float:
    """Height over width of the kept images."""
    height, width = next(iter(maps.values()))["target"].shape[1:3]
    return float(height) / float(width)


def _show(axes: Axes, maps: Maps, tile: _Tile, name: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(linewidth=0.4, color="0.6")
    names = [str(n) for n in maps.get("names", np.array([]))]
    array = _array(maps, tile.key)
    if array is None or name not in names:
        axes.annotate(
            "no map" if maps else "no run",
            (0.5, 0.5),
            xycoords="axes fraction",
            ha="center",
            va="center",
        )
        return
    picture = _thumb(array[names.index(name)])
    if tile.key == "image":
        axes.imshow(np.clip(picture / 255, 0, 1), aspect="auto")
    elif tile.key in ("target", "prediction"):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto")
    elif tile.key == "edge_weight":
        axes.imshow(picture, cmap="magma", vmin=1, vmax=max(1.01, array.max()), aspect="auto")
    else:
        axes.imshow(picture, cmap="cividis", vmin=0, vmax=1, aspect="auto")


def _thumb(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most about 256 px a side, by block means: a strip of full maps would fill megabytes."""
    step = max(1, -(-max(picture.shape[:2]) // _THUMB))
    height, width = (size // step for size in picture.shape[:2])
    cut = picture[: height * step, : width * step]
    blocks = cut.reshape(height, step, width, step, *picture.shape[2:])
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return means
