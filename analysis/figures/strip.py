"""The qualitative strip: where each arm errs on the worst, the median and the best test image."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis.figures.maps import (
    Pixels,
    Thumbnail,
    has_thumbnails,
    shown_arm,
    shown_seed,
    thumbnails,
)
from analysis.figures.style import SKY, VERMILION, fit
from analysis.figures.tiles import MOST_COLUMNS, Column, coloured, tiled
from analysis.load import Results, image_means
from analysis.metrics import sign
from analysis.spelling import count
from analysis.summary import Summary


def qualitative(summary: Summary) -> Figure | None:
    """Draw the worst, the median and the best test image; None if no run kept small pictures.

    Of the whole test set, by the baseline's primary metric averaged over its seeds (the first,
    the middle and the last by name for a metric that images do not have). Columns: image,
    target, and for every arm, prediction and error in one picture (`errors`), of one seed, the
    first that is complete in all arms.
    """
    results = summary.results
    seed = shown_seed(results)
    arms = [arm for arm in results.grid.arms if has_thumbnails(results, arm, seed)]
    if not arms:
        return None
    shown = shown_arm(results, arms)
    rows = choose_images(results, shown)
    names = [name for name, _ in rows]
    kept = {arm: thumbnails(results, arm, seed, names) for arm in results.grid.arms}
    gaps = {arm: "no picture" if results.run_folder(arm, seed) else "no run" for arm in kept}
    ranked = f" by {results.grid.primary} of {fit(shown, 1.2)} over its seeds"
    foot = (
        f"Of {count(len(results.images), 'test image')}{ranked * (rows[0][1] != names[0])}; "
        f"pictures of seed {seed}.\n"
        "White: found; black: left; vermilion: added wrongly; blue: missed; mixed: unsure."
    )
    return tiled(
        summary, "test images", _blocks(kept, shown, gaps), [row[1] for row in rows], foot
    )


def choose_images(results: Results, arm: str) -> list[tuple[str, str]]:
    """(name, row label) of the worst, the median and the best of all test images, by the arm's
    primary metric averaged over its seeds; rank 1 is the best. Without such a metric the first,
    the middle and the last by name."""
    metric = results.grid.primary
    scores = image_means(results, metric, arm) if metric in results.image_metrics else None
    names = sorted(results.images.index.astype(str))
    if scores is not None:
        turn = sign(metric)
        names = sorted(scores.index, key=lambda name: (turn * float(scores[name]), name))
    last = len(names) - 1
    words = {last // 2: "median", last: "best", 0: "worst"} if last else {0: "only"}
    if scores is None:
        return [(names[i], names[i]) for i in sorted(words)]
    return [
        (names[i], f"{words[i]}\n{float(scores[names[i]]):.3f}\n#{last + 1 - i} of {last + 1}")
        for i in sorted(words)
    ]


def errors(target: Pixels, prediction: Pixels) -> Pixels:
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
    mixed: Pixels = shares @ colours
    return np.clip(mixed, 0, 1)


def _blocks(
    kept: dict[str, list[Thumbnail]], shown: str, gaps: dict[str, str]
) -> list[list[Column]]:
    """Image and target, then as many arms as fit; the other arms below, beside both again."""
    own = kept[shown]
    given = [
        Column("image", [one.image for one in own]),
        Column("target", [coloured(one.target, "gray", 0, 1) for one in own]),
    ]
    found = [
        Column(arm, [errors(one.target, one.prediction) for one in pictures]
               or [gaps[arm]] * len(own))
        for arm, pictures in kept.items()
    ]  # fmt: skip
    parts = -(-len(found) // (MOST_COLUMNS - len(given)))
    step = -(-len(found) // parts)
    return [[*given, *found[at : at + step]] for at in range(0, len(found), step)]
