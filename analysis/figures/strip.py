"""The qualitative strip: where each arm errs on the worst, the median and the best test image."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis.figures.style import SKY, VERMILION, fit
from analysis.figures.tiles import MOST_COLUMNS, Column, coloured, tiled
from analysis.kept import (
    Pixels,
    Thumbnail,
    has_thumbnails,
    shown_arm,
    shown_seed,
    thumbnails,
)
from analysis.load import Results, image_means
from analysis.metrics import sign
from analysis.pooled import COUNTS
from analysis.spelling import count
from analysis.summary import Summary
from analysis.wording import Task

IGNORED = 128  # grey of the words in a target that are to be ignored
_LEGEND: dict[Task, str] = {
    "masks": "White: found; black: left; vermilion: added wrongly; blue: missed; mixed: unsure.",
    "text": "White: of words and found; vermilion: found outside any word; blue: of words, not "
    "found; grey: ignored words.\nIn each: words matched (IoU above .5) / detections / words.",
}


def qualitative(summary: Summary) -> Figure | None:
    """Draw the worst, the median and the best test image; None if no run kept small pictures.

    Of the whole test set, by the baseline's primary metric averaged over its seeds, or H_image
    where that is made of counts (the first, the middle and the last by name for another metric
    that images do not have). Columns: image,
    target, and for every arm, prediction and error in one picture (`errors`), of one seed, the
    first that is complete in all arms.
    """
    results = summary.results
    seed, task = shown_seed(results), results.grid.task
    arms = [arm for arm in results.grid.arms if has_thumbnails(results, arm, seed)]
    if not arms:
        return None
    shown = shown_arm(results, arms)
    rows = choose_images(results, shown)
    names = [name for name, _ in rows]
    kept = {arm: thumbnails(results, arm, seed, names) for arm in results.grid.arms}
    gaps = {arm: "no picture" if results.run_folder(arm, seed) else "no run" for arm in kept}
    many = sum(map(bool, _words(results).values()))
    ranked = f" by {results.ranking} of {fit(shown, 1.2)} over its seeds"
    foot = (
        f"Of {count(many, 'test image')}{' with words' * (task == 'text')}"
        f"{ranked * (rows[0][1] != names[0])}; "
        f"pictures of seed {seed}.\n"
        f"{_LEGEND[task]}"
    )
    blocks = _blocks(kept, shown, gaps, task, _counted(results, seed, names))
    return tiled(summary, "test images", blocks, [row[1] for row in rows], foot)


def choose_images(results: Results, arm: str) -> list[tuple[str, str]]:
    """(name, row label) of the worst, the median and the best of all test images, by the arm's
    `ranking` metric averaged over its seeds; rank 1 is the best. Without such a metric the first,
    the middle and the last by name. Of text detection the images with words, of equals the one
    with more of them is better."""
    metric = results.ranking
    scores = image_means(results, metric, arm) if metric else None
    many = _words(results)
    names = sorted(name for name in results.images.index.astype(str) if many[name])
    if metric and scores is not None:
        turn = sign(metric)
        names.sort(key=lambda name: (turn * float(scores[name]), many[name], name))
    last = len(names) - 1
    words = {last // 2: "median", last: "best", 0: "worst"} if last else {0: "only"}
    if scores is None:
        return [(names[i], names[i]) for i in sorted(words)]
    return [
        (names[i], f"{words[i]}\n{float(scores[names[i]]):.3f}\n#{last + 1 - i} of {last + 1}")
        for i in sorted(words)
    ]


def _words(results: Results) -> dict[str, int]:
    """By image its number of words; 1 for all where there are none to find."""
    images = results.images
    if results.grid.task == "masks" or not images["components"].any():
        return dict.fromkeys(images.index.astype(str), 1)
    return dict(zip(images.index.astype(str), images["components"].astype(int), strict=True))


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


def _errors(one: Thumbnail, task: Task) -> Pixels:
    """`errors`; an ignored word, middle grey in the target, is so in the prediction too."""
    if task == "masks":
        return errors(one.target, one.prediction)
    ignored = one.target == IGNORED / 255
    return np.where(ignored[..., None], 0.5, errors(one.target, one.prediction))


def _counted(results: Results, seed: int, names: list[str]) -> dict[str, list[str]]:
    """By arm and image of one seed, the counts of which H-mean is made; nothing of masks."""
    table = results.table[results.table["metric"].isin(COUNTS) & (results.table["seed"] == seed)]
    keys = (table[column].astype(str) for column in ("arm", "image", "metric"))
    values = dict(zip(zip(*keys, strict=True), table["value"].astype(int), strict=True))
    arms = dict.fromkeys(arm for arm, *_ in values)
    return {arm: ["/".join(str(values[arm, name, count]) for count in COUNTS) for name in names]
            for arm in arms}  # fmt: skip


def _blocks(
    kept: dict[str, list[Thumbnail]],
    shown: str,
    gaps: dict[str, str],
    task: Task,
    counts: dict[str, list[str]],
) -> list[list[Column]]:
    """Image and target, then as many arms as fit; the other arms below, beside both again."""
    own = kept[shown]
    given = [
        Column("image", [one.image for one in own]),
        Column("target", [coloured(one.target, "gray", 0, 1) for one in own]),
    ]
    found = [
        Column(arm, [_errors(one, task) for one in pictures]
               or [gaps[arm]] * len(own), counts.get(arm, ()))
        for arm, pictures in kept.items()
    ]  # fmt: skip
    parts = -(-len(found) // (MOST_COLUMNS - len(given)))
    step = -(-len(found) // parts)
    return [[*given, *found[at : at + step]] for at in range(0, len(found), step)]
