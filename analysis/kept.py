"""What runs kept to look at: maps (.npz) and thumbnails.parquet, and which seed is shown."""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from analysis.load import Results

Maps = Mapping[str, NDArray[np.generic]]
Counts = NDArray[np.int64]
Pixels = NDArray[np.float64]
OTHER_LABEL = 0.02  # mean difference of two gradient labels that are worth showing side by side
GRADIENTS, TEXT, _PICTURES = "gradient_maps.npz", "text_maps.npz", "thumbnails.parquet"
_COUNTS = ("hist_label", "hist_prediction")
_KEPT = ("image", "target", "prediction", "edge_weight", "gradient_label", "gradient_prediction",
         "threshold", "threshold_label", "binary")  # fmt: skip


@dataclass(frozen=True)
class Histograms:
    """Counts (moments, stages, bins) over [0, 1], stages coarse to fine; `steps` are how many
    steps of training were done at each moment."""

    steps: tuple[int, ...]
    labels: Counts
    predictions: Counts


@dataclass(frozen=True)
class Thumbnail:
    """A test image (H, W, 3), its target and a run's prediction (H, W), in [0, 1]."""

    image: Pixels
    target: Pixels
    prediction: Pixels


def read_maps(run: Path | None, *keys: str, file: str = GRADIENTS) -> Maps:
    """The arrays of a run's `file` under `keys` (default: all); none of it if the run kept none.

    Raises:
        ValueError: a file that cannot be read, or lacks arrays that its others belong to.
    """
    path = run / file if run else None
    if path is None or not path.is_file():
        return {}
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            found = {key: kept[key] for key in kept.files if not keys or key in keys}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if "names" in found:
        count = len(found["names"])
        for key in _KEPT:
            shape = found[key].shape if key in found else None
            if shape is not None and 0 not in shape and (len(shape) < 3 or shape[0] != count):
                raise _damaged(path, f"{key} is {shape}, expected {count} maps")
    return found


def histograms(run: Path | None) -> Histograms | None:
    """What a run recorded of its gradient maps; None if nothing.

    Raises:
        ValueError: a file that cannot be read, or whose counts do not fit its moments.
    """
    found = read_maps(run, "moments", "hist_label", "hist_prediction")
    if run is None or "hist_label" not in found or not found["hist_label"].size:
        return None
    try:
        moments, labels, predictions = (found[k] for k in ("moments", *_COUNTS))
    except KeyError as error:
        raise _damaged(run / GRADIENTS, f"lacks {error}") from error
    shape = labels.shape
    if len(shape) != 3 or predictions.shape != shape or moments.shape != shape[:1]:
        seen = f"{moments.shape}, {shape} and {predictions.shape}"
        raise _damaged(
            run / GRADIENTS, f"moments and counts are {seen}, expected (K,), (K, S, bins)"
        )
    return Histograms(
        tuple(int(step) for step in moments),
        labels.astype(np.int64),
        predictions.astype(np.int64),
    )


def pooled(results: Results, arm: str) -> Histograms | None:
    """The counts of an arm summed over its seeds; None if no seed recorded any.

    Raises:
        ValueError: as `histograms`, and for seeds recorded at other moments or stages.
    """
    total: Histograms | None = None
    for seed in results.grid.seeds:
        run = results.run_folder(arm, seed)
        one = histograms(run)
        if run is None or one is None:
            continue
        if total is None:
            total = one
            continue
        if (one.steps, one.labels.shape) != (total.steps, total.labels.shape):
            seen = f"{one.labels.shape} counts after steps {one.steps}"
            expected = f"{total.labels.shape} after {total.steps}, as other seeds of {arm!r}"
            raise _damaged(run / GRADIENTS, f"{seen}, expected {expected}")
        total = Histograms(
            one.steps, total.labels + one.labels, total.predictions + one.predictions
        )
    return total if total is not None and total.labels.any() else None


def thumbnails(results: Results, arm: str, seed: int, names: Sequence[str]) -> list[Thumbnail]:
    """A run's small pictures of the named test images; none at all if it kept none.

    Raises:
        ValueError: a file that cannot be read, or lacks an image.
    """
    run = results.run_folder(arm, seed)
    path = run / _PICTURES if run else None
    if path is None or not path.is_file():
        return []
    columns = ["picture", "target", "prediction"]
    try:
        wanted = [("image", "in", list(names))]
        rows = pd.read_parquet(path, columns=["image", *columns], filters=wanted)
        rows = rows.set_index("image").loc[list(names), columns]
        return [Thumbnail(*map(_decoded, row)) for row in rows.to_numpy()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error


def _decoded(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture, dtype=np.float64) / 255


def has_thumbnails(results: Results, arm: str, seed: int) -> bool:
    """Whether a run kept small pictures."""
    run = results.run_folder(arm, seed)
    return run is not None and (run / _PICTURES).is_file()


def shown_seed(results: Results) -> int:
    """The first seed complete in all arms, else the first with the most arms."""
    done = [cell.seed for cell in results.grid.cells if cell.state == "complete"]
    return max(results.grid.seeds, key=lambda seed: (done.count(seed), -seed))


def all_maps(results: Results, seed: int, file: str = GRADIENTS) -> dict[str, Maps]:
    """The maps of every arm that kept images in this seed."""
    folders = {arm: results.run_folder(arm, seed) for arm in results.grid.arms}
    maps = {arm: read_maps(run, file=file) for arm, run in folders.items()}
    return {arm: found for arm, found in maps.items() if "names" in found}


def shown_arm(results: Results, arms: Collection[str]) -> str:
    """The baseline, or the first of `arms`, which are not empty, if it is none of them."""
    baseline = results.grid.baseline
    return baseline if baseline in arms else next(iter(arms))


def label_distances(maps: Mapping[str, Maps], shown: str) -> dict[str, float]:
    """Mean difference of each arm's gradient label from the shown arm's, of those with one."""
    own = array(maps[shown], "gradient_label")
    distances: dict[str, float] = {}
    for arm, found in maps.items():
        label = array(found, "gradient_label")
        if own is not None and label is not None and label.shape == own.shape and np.ptp(label):
            distances[arm] = float(np.abs(label - own).mean())
    return distances


def other_label(maps: Mapping[str, Maps], shown: str) -> str | None:
    """The arm whose gradient label is furthest from the shown arm's, if far enough to see."""
    distances = label_distances(maps, shown)
    far = max(distances, key=lambda arm: distances[arm], default=shown)
    return far if distances.get(far, 0.0) > OTHER_LABEL else None


def with_other_labels(results: Results) -> frozenset[str]:
    """The arms whose gradient label is known to differ from the baseline's."""
    maps = all_maps(results, shown_seed(results))
    if not maps:
        return frozenset()
    distances = label_distances(maps, shown_arm(results, maps))
    return frozenset(arm for arm, distance in distances.items() if distance > OTHER_LABEL)


def array(maps: Maps, key: str) -> Pixels | None:
    """A map as float64; None where the run has none (a model without gradient prediction)."""
    if key not in maps or maps[key].size == 0:
        return None
    values = maps[key].astype(np.float64)
    return values if np.isfinite(values).all() else None


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} {what}; delete the run's folder and run the grid again")
