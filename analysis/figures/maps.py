"""The maps that runs kept (gradient_maps.npz), and which seed, arms and images are shown."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.load import Results, image_means
from analysis.metrics import sign

Maps = Mapping[str, NDArray[np.generic]]
MOST_IMAGES = 3
OTHER_LABEL = 0.02  # mean difference of two gradient labels that are worth showing side by side


def read_maps(results: Results, arm: str, seed: int, *, keys: str = "") -> Maps:
    """The arrays of a run whose names begin with `keys`; none if the run kept no maps."""
    run = results.run_folder(arm, seed)
    path: Path | None = run / "gradient_maps.npz" if run else None
    if path is None or not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files if key.startswith(keys)}


def shown_seed(results: Results) -> int:
    """The first seed complete in all arms, else the first with the most arms."""
    done = [cell.seed for cell in results.grid.cells if cell.state == "complete"]
    return max(results.grid.seeds, key=lambda seed: (done.count(seed), -seed))


def all_maps(results: Results, seed: int) -> dict[str, Maps]:
    """The maps of every arm that kept images in this seed."""
    maps = {arm: read_maps(results, arm, seed) for arm in results.grid.arms}
    return {arm: found for arm, found in maps.items() if "names" in found}


def shown_arm(results: Results, maps: Mapping[str, Maps]) -> str:
    """The baseline, or the first arm with maps."""
    baseline = results.grid.baseline
    return baseline if baseline in maps else next(iter(maps))


def other_label(maps: Mapping[str, Maps], shown: str) -> str | None:
    """The arm whose gradient label is furthest from the shown arm's, if far enough to see."""
    own = array(maps[shown], "gradient_label")
    distances: dict[str, float] = {}
    for arm, found in maps.items():
        label = array(found, "gradient_label")
        if own is not None and label is not None and label.shape == own.shape and np.ptp(label):
            distances[arm] = float(np.abs(label - own).mean())
    far = max(distances, key=lambda arm: distances[arm], default=shown)
    return far if distances.get(far, 0.0) > OTHER_LABEL else None


def array(maps: Maps, key: str) -> NDArray[np.float64] | None:
    """A map as float64; None where the run has none (a model without gradient prediction)."""
    if key not in maps or maps[key].size == 0:
        return None
    values = maps[key].astype(np.float64)
    return values if np.isfinite(values).all() else None


def choose_images(results: Results, arm: str, names: list[str]) -> list[tuple[str, str]]:
    """(name, row label) of the worst, the middle and the best image for which maps were kept,
    by the arm's primary metric averaged over its seeds; all of them if three or fewer, the first
    three if images do not have that metric."""
    metric = results.grid.primary
    if metric not in results.image_metrics:
        return [(name, name) for name in names[:MOST_IMAGES]]
    scores = image_means(results, metric, arm)
    known = [name for name in names if name in scores.index]
    if not known:
        return [(name, name) for name in names[:MOST_IMAGES]]
    turn = sign(metric)
    ranked = sorted(known, key=lambda name: (turn * float(scores[name]), name))
    words = {ranked[len(ranked) // 2]: "median", ranked[-1]: "best", ranked[0]: "worst"}
    picked = sorted(words, key=ranked.index)
    if len(picked) == 1:
        words[picked[0]] = "only"
    return [(name, f"{words[name]}\n{float(scores[name]):.3f}") for name in picked]
