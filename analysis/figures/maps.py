"""The maps that runs kept of a few test images: edge weights, gradient labels and predictions."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.figures.tiles import Column, coloured, tiled
from analysis.kept import Maps, Pixels, all_maps, array, other_label, shown_arm, shown_seed
from analysis.shares import taught
from analysis.summary import Summary

_MOST_IMAGES = 3


def kept_maps(summary: Summary) -> Figure | None:
    """Draw the maps of the first test images; None if no run kept any or taught the gradient.

    Columns: image, target and edge-weight map, then gradient label and prediction (finest stage)
    of the baseline and, if its label differs, of the arm whose label differs most. All from one
    seed, the first that is complete in all arms.
    """
    seed = shown_seed(summary.results)
    maps = all_maps(summary.results, seed)
    if not maps or not taught(summary.results):
        return None
    shown = shown_arm(summary.results, maps)
    names = [str(name) for name in maps[shown]["names"][:_MOST_IMAGES]]
    if not names:
        return None
    weights = array(maps[shown], "edge_weight")
    heaviest = max(1.01, float(weights.max())) if weights is not None else 1.01
    columns = _columns(maps, shown, other_label(maps, shown), heaviest, len(names))
    foot = f"The first test images, seed {seed}. Edge weight: dark 1, bright {heaviest:.1f}"
    gradients = "; gradient label and prediction (finest stage): dark 0, bright 1"
    foot += f"{gradients if len(columns) > 3 else ''}."
    return tiled(summary, "maps", [columns], names, foot)


def _columns(
    maps: Mapping[str, Maps], shown: str, other: str | None, heaviest: float, count: int
) -> list[Column]:
    own, rows = maps[shown], range(count)
    found = [
        column(own, "image", "image", "", 0, 255, rows=rows),
        column(own, "target", "target", "gray", 0, 255, rows=rows),
        column(own, "edge weight", "edge_weight", "magma", 1, heaviest, rows=rows),
    ]
    for arm in (shown, other):
        if arm and array(maps[arm], "gradient_label") is not None:
            label, prediction = f"gradient label\n{arm}", f"gradient pred.\n{arm}"
            for title, key in ((label, "gradient_label"), (prediction, "gradient_prediction")):
                found.append(column(maps[arm], title, key, "cividis", 0, 1, rows=rows))
    return found


def column(
    maps: Maps,
    title: str,
    key: str,
    colours: str,
    low: float,
    high: float,
    *,
    rows: Sequence[int],
    gap: str = "no map",
) -> Column:
    """The kept maps `rows` under `key`, coloured from `low` to `high`; images have colours. `gap`
    says why there are none."""
    values = array(maps, key)
    pictures: list[Pixels | str] = [gap] * len(rows)
    if values is not None:
        drawn = [values[row] for row in rows]
        pictures = [x / high if x.ndim == 3 else coloured(x, colours, low, high) for x in drawn]
    return Column(title, pictures)
