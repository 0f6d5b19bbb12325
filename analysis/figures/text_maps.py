"""The maps of text detection that runs kept of a few test images: P, T and B of two arms."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis.figures.maps import column
from analysis.figures.style import ORANGE
from analysis.figures.tiles import Column, small, tiled
from analysis.kept import TEXT, Maps, Pixels, all_maps, array, shown_arm, shown_seed
from analysis.metrics import sign
from analysis.summary import Summary

_MOST_IMAGES = 3
_MAPS = {
    "P": ("prediction", "gray", 0, 255),
    "T": ("threshold", "cividis", 0.2, 0.8),  # labels are from .3 to .7
    "B": ("binary", "gray", 0, 255),
}


def text_maps(summary: Summary) -> Figure | None:
    """Draw the maps of a few test images, one without words among them; None if no run kept any.

    Columns: image with the outline of its shrink label, then probability map P, threshold map T
    and approximate binary map B of the baseline and of the arm furthest from it by the primary
    metric, unless all are the same. An arm whose threshold branch is not trained has no T and B.
    All from one seed, the first that is complete in all arms.
    """
    seed = shown_seed(summary.results)
    maps = all_maps(summary.results, seed, TEXT)
    if not maps:
        return None
    shown = shown_arm(summary.results, maps)
    names = [str(name) for name in maps[shown]["names"]]
    rows = _rows(summary, names)
    if not rows:
        return None
    columns = [Column("image, shrink\nlabel", _outlined(maps[shown], rows))]
    arms = [shown, *_furthest(summary, maps, shown)]
    columns += [
        column(maps[arm], f"{name}\n{arm}", *drawn, rows=rows, gap=_gap(maps[arm], drawn[0]))
        for arm in arms
        for name, drawn in _MAPS.items()
    ]
    foot = (
        f"Seed {seed}. Orange: outline of the shrink label. P: probability, T: threshold, "
        "B: approximate binary map. Dark 0, bright 1; of T .2 and .8."
    )
    labels = [_label(summary, names[row]) for row in rows]
    return tiled(summary, "maps", [columns], labels, foot)


def _rows(summary: Summary, names: Sequence[str]) -> list[int]:
    """The first of the kept images with words, then one without, or more where words are few."""
    words = summary.results.images["components"]
    bare = [i for i, name in enumerate(names) if words.get(name, 1) == 0]
    full = [i for i in range(len(names)) if i not in bare]
    return [*full[: _MOST_IMAGES - bool(bare)], *bare][:_MOST_IMAGES]


def _label(summary: Summary, name: str) -> str:
    words = summary.results.images["components"].get(name)
    return f"{name}\nno word" if words == 0 else name


def _furthest(summary: Summary, maps: Mapping[str, Maps], shown: str) -> list[str]:
    """The arm whose primary metric is furthest from the shown arm's, of equals the worse; none
    where all have the same."""
    metric = summary.grid.primary
    means = {arm: summary.arms[arm, metric].mean.mean for arm in maps}
    apart = {arm: sign(metric) * (mean - means[shown]) for arm, mean in means.items()}
    others = {arm: gap for arm, gap in apart.items() if abs(gap) > 0}
    return sorted(others, key=lambda arm: (-abs(others[arm]), others[arm]))[:1]


def _gap(maps: Maps, key: str) -> str:
    """Why a map is not there: runs keep those of a threshold branch only if it is trained."""
    return "not trained" if key in ("threshold", "binary") and key not in maps else "no map"


def _outlined(maps: Maps, rows: Sequence[int]) -> list[Pixels | str]:
    """Images with the outline of their label, as tiles: a line of the full size would vanish."""
    images, labels = array(maps, "image"), array(maps, "target")
    if images is None or labels is None:
        return ["no map"] * len(rows)
    return [_with_edge(small(images[row] / 255), small(labels[row]) >= 127.5) for row in rows]


def _with_edge(picture: Pixels, inside: np.ndarray) -> Pixels:
    """The picture with the inner edge of a region coloured."""
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.where((inside & ~core)[..., None], to_rgb(ORANGE), picture)
