"""Which two runs are two scales of one question: one grid, one metric, the same losses."""

from typing import Any, cast

import pandas as pd

from analysis.runs import again, read_json
from analysis.summary import Summary


def common_arms(small: Summary, large: Summary) -> tuple[str, ...]:
    """The arms of both scales, in the order of the large one.

    Raises ValueError for the same folder twice, other grids, primary metrics or variants of
    metrics, a preset that prints no test, fewer than three common arms, and an arm whose loss is
    not the same at both scales.
    """
    _check_runs(small, large)
    arms = tuple(arm for arm in large.grid.arms if arm in small.grid.arms)
    if len(arms) < 3:
        raise ValueError(
            f"{small.results.folder} and {large.results.folder} have {len(arms)} arms in common, "
            f"expected at least three: the first has {', '.join(small.grid.arms)}, the second "
            f"{', '.join(large.grid.arms)}; run the same arms at both scales"
        )
    for arm in arms:
        if small.arms[arm, small.grid.primary].seeds and large.arms[arm, large.grid.primary].seeds:
            _check_loss(arm, small, large)  # an arm without runs is refused with its seeds
    return arms


def _check_runs(small: Summary, large: Summary) -> None:
    """Refuse two runs that are no two scales of one question."""
    one, other = small.results.folder, large.results.folder
    if one.resolve() == other.resolve():
        raise ValueError(
            f"{one} is compared with itself; give the folders of two presets of a grid"
        )
    facts = [
        ("the grid", small.grid.name, large.grid.name),
        ("the primary metric", small.grid.primary, large.grid.primary),
        ("the metrics' variant", small.results.variant, large.results.variant),
    ]
    for fact, first, second in facts:
        if first != second:
            raise ValueError(
                f"{fact} is {first} in {one} and {second} in {other}: expected two runs of one "
                "grid, measured alike; give the folders of two presets of one grid"
            )
    for summary in (small, large):
        if not summary.grid.test:
            raise ValueError(
                f"{summary.results.folder}: preset {summary.grid.preset} prints no test and is no "
                "evidence; give the folder of one that does, such as laptop"
            )


def _check_loss(arm: str, small: Summary, large: Summary) -> None:
    """An arm is the same loss at both scales; models differ between presets."""
    one, other = _loss(arm, small), _loss(arm, large)
    for key in sorted({*one, *other}):
        seen = one.get(key, "not set"), other.get(key, "not set")
        if seen[0] != seen[1]:
            raise ValueError(
                f"arm {arm!r}: loss.{key} is {seen[0]!r} in {small.results.folder} and "
                f"{seen[1]!r} in {large.results.folder}: expected one loss at both scales; run "
                "one of the grids again by the same code and --set"
            )


def _loss(arm: str, summary: Summary) -> dict[str, Any]:
    """`loss.*` of an arm's first complete run, {} without any."""
    seeds = summary.arms[arm, summary.grid.primary].seeds
    folder = summary.results.run_folder(arm, seeds[0]) if seeds else None
    if folder is None:
        return {}
    found = read_json(folder / "config.json", again(folder)).get("loss", {})
    return cast(dict[str, Any], pd.json_normalize(found).to_dict("records")[0])
