"""Which runs may stand in one table: same code, same preset, same images, same metrics."""

import numpy as np

from analysis.grid import Grid
from analysis.runs import MASK, MAY_LACK, Run, again, short


def check_comparable(grid: Grid, runs: list[Run]) -> None:
    """Refuse runs that make no table together: made by different code, of different presets,
    scored on different images or, within an arm, by different metrics.

    Raises ValueError, which names the runs and what differs.
    """
    _check_code(runs)
    _check_preset(runs)
    _check_images(runs)
    _check_metrics(grid, runs)


def _check_code(runs: list[Run]) -> None:
    holders: dict[str, list[str]] = {}
    for run in runs:
        holders.setdefault(run.code, []).append(str(run.cell))
        if run.cell.code and run.cell.code != run.code:
            raise ValueError(
                f"{run.cell}: metrics.json has code digest {short(run.code)}, grid.json "
                f"{short(run.cell.code)}; {again(run.folder)}"
            )
    if len(holders) > 1:
        parts = [
            f"{short(code)}: {len(cells)} runs ({', '.join(cells[:3])}"
            f"{', ...' if len(cells) > 3 else ''})"
            for code, cells in sorted(holders.items(), key=lambda item: -len(item[1]))
        ]
        raise ValueError(
            f"runs made by different code make no table; code digests {'; '.join(parts)}: delete "
            "the folders of those by the wrong one, then run the grid again"
        )


def _check_preset(runs: list[Run]) -> None:
    """Arms differ in loss and model; data and training are the preset's, the same for all."""
    first = runs[0]
    for run in runs[1:]:
        for key in sorted({*first.setting, *run.setting}):
            seen, expected = run.setting.get(key), first.setting.get(key)
            if seen != expected:
                raise ValueError(
                    f"{run.cell} has {key} = {seen!r}, {first.cell} {expected!r}: runs of "
                    f"different presets make no table; {again(run.folder, first.folder)}"
                )


def _check_images(runs: list[Run]) -> None:
    """Every run was scored on the same masks, else runs are not paired."""
    first = runs[0]
    names, groups = first.images.index, first.images["group"].to_numpy()
    masks = first.images[[*MASK]].to_numpy(dtype=float)
    for run in runs[1:]:
        if not run.images.index.equals(names):
            other = run.images.index.symmetric_difference(names)[0]
            word = "lacks" if other in names else "adds"
            raise ValueError(
                f"{run.cell} {word} image {other!r} compared with {first.cell}; paired arms need "
                f"the same images: {again(run.folder, first.folder)}"
            )
        same = np.isclose(run.images[[*MASK]].to_numpy(dtype=float), masks, rtol=1e-9).all(axis=1)
        same &= run.images["group"].to_numpy() == groups
        if not same.all():
            image = names[~same][0]
            seen, expected = (", ".join(map(str, r.images.loc[image])) for r in (run, first))
            raise ValueError(
                f"{run.cell} describes image {image!r} by {seen}, {first.cell} by {expected} "
                f"(group, {', '.join(MASK)}); {again(run.folder, first.folder)}"
            )


def _check_metrics(grid: Grid, runs: list[Run]) -> None:
    """All runs of an arm have the same metrics; primary metric and guards are among them."""
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.cell.arm, run)
        for seen, expected in ((run.scores, other.scores), (run.totals, other.totals)):
            differing = sorted(({*seen} ^ {*expected}) - MAY_LACK)
            if differing:
                word = "lacks" if differing[0] in expected else "adds"
                raise ValueError(
                    f"{run.cell} {word} {differing[0]} compared with {other.cell}; a mean over "
                    f"the seeds needs it in all of them: {again(run.folder, other.folder)}"
                )
    known = sorted({str(m) for run in first.values() for m in (*run.scores, *run.totals)})
    for role, names in (("primary", (grid.primary,)), ("guards", grid.guards)):
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{role} metric {name!r} was not measured; the runs hold {', '.join(known)}"
                )
