"""The description of a grid, parsed from grid.json and checked."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from analysis.metrics import direction, nearest
from analysis.wording import Task

State = Literal["complete", "failed", "missing", "running"]


@dataclass(frozen=True)
class Contrast:
    """A pair of arms fixed before the runs: `arm` minus `minus`, and what the pair is about."""

    arm: str
    minus: str
    about: str

    def __str__(self) -> str:
        return f"{self.arm} − {self.minus}"


@dataclass(frozen=True)
class Cell:
    """One planned run. `run` is its folder relative to the grid's, empty while there is none."""

    arm: str
    seed: int
    state: State
    hash: str = ""
    run: str = ""
    code: str = ""

    def __str__(self) -> str:
        return f"{self.arm}/{self.seed}"


@dataclass(frozen=True)
class Grid:
    """What was asked, in which arms and seeds, on which data, and how it is to be judged.

    `margin` is the smallest difference of the `primary` metric that matters; `test` is False for
    a preset that only exercises the machinery. `cells` has one entry per (arm, seed). `baseline`
    need not be among `arms`: a run of some arms alone is a grid too.
    """

    name: str
    preset: str
    question: str
    arms: tuple[str, ...]
    descriptions: dict[str, str]
    baseline: str
    contrasts: tuple[Contrast, ...]
    primary: str
    guards: tuple[str, ...]
    margin: float
    seeds: tuple[int, ...]
    seeds_added: tuple[int, ...]  # those that joined after a table was written
    data_name: str
    data_digest: str
    command: str  # that ran it; empty in older files
    test: bool
    task: Task
    cells: tuple[Cell, ...]
    commit: str = ""  # of its runs, as their versions: `load` knows them
    versions: dict[str, str] = field(default_factory=dict)


def parse_grid(raw: dict[str, Any], *, where: str) -> Grid:
    """Check and freeze the content of a grid.json; `where` names the file in errors.

    Raises ValueError for a missing key, an arm or metric nobody knows (the nearest is offered),
    a contrast of an arm with itself or named twice, a cell that is not planned or is there twice,
    an unknown task, or a margin that is no number >= 0.
    """
    lacking = [key for key in _KEYS if key not in raw]
    if lacking:
        raise ValueError(f"{where} lacks {', '.join(lacking)}; it has {', '.join(sorted(raw))}")
    arms, seeds = tuple(raw["arms"]), tuple(int(seed) for seed in raw["seeds"])
    contrasts = tuple(Contrast(c["arm"], c["minus"], c.get("about", "")) for c in raw["contrasts"])
    _check_arms(where, arms, contrasts)
    for metric in (raw["primary"], *raw["guards"]):
        direction(metric)
    task = raw.get("task", "masks")  # older files have none
    if task not in get_args(Task):
        raise ValueError(f"{where}: task is {task!r}, expected {' or '.join(get_args(Task))}")
    margin = raw["margin"]
    if not isinstance(margin, int | float) or not 0 <= margin < float("inf"):
        raise ValueError(f"{where}: margin is {margin!r}, expected a number >= 0")
    return Grid(
        name=raw["grid"],
        preset=raw["preset"],
        question=raw["question"],
        arms=arms,
        descriptions=dict(raw["descriptions"]),
        baseline=raw["baseline"],
        contrasts=contrasts,
        primary=raw["primary"],
        guards=tuple(raw["guards"]),
        margin=float(margin),
        seeds=seeds,
        seeds_added=tuple(raw.get("seeds_added", ())),  # older files have none
        data_name=raw["data"]["name"],
        data_digest=raw["data"]["digest"],
        command=str(raw.get("command", "")),
        test=bool(raw["test"]),
        task=task,
        cells=_cells(where, arms, seeds, raw["cells"]),
    )


_KEYS = ("grid", "preset", "question", "arms", "descriptions", "baseline", "contrasts", "primary",
         "guards", "margin", "seeds", "data", "test", "cells")  # fmt: skip


def _check_arms(where: str, arms: tuple[str, ...], contrasts: tuple[Contrast, ...]) -> None:
    if not arms or len(set(arms)) < len(arms):
        raise ValueError(f"{where}: expected arms with different names, seen {list(arms)}")
    pairs: set[frozenset[str]] = set()
    for contrast in contrasts:
        if contrast.arm == contrast.minus:
            raise ValueError(f"{where}: contrast {contrast} compares an arm with itself")
        if (pair := frozenset((contrast.arm, contrast.minus))) in pairs:
            raise ValueError(f"{where}: contrast {contrast} is there twice, or once reversed")
        pairs.add(pair)
    for arm in (a for c in contrasts for a in (c.arm, c.minus)):
        if arm not in arms:
            raise ValueError(f"{where}: unknown arm {arm!r}{nearest(arm, list(arms))}")


def _cells(
    where: str, arms: tuple[str, ...], seeds: tuple[int, ...], raw: list[dict[str, Any]]
) -> tuple[Cell, ...]:
    """One cell per (arm, seed) in the grid's order; what the file leaves out is missing."""
    seen: dict[tuple[str, int], Cell] = {}
    for item in raw:
        fields = {key: str(item.get(key) or "") for key in ("hash", "run", "code")}
        cell = Cell(item["arm"], int(item["seed"]), item["state"], **fields)
        if cell.arm not in arms or cell.seed not in seeds:
            raise ValueError(f"{where}: cell {cell} is not planned (arms {arms}, seeds {seeds})")
        if (cell.arm, cell.seed) in seen:
            raise ValueError(f"{where}: cell {cell} is there twice")
        if cell.state not in get_args(State):
            raise ValueError(
                f"{where}: cell {cell} is {cell.state!r}, expected one of "
                f"{', '.join(get_args(State))}"
            )
        seen[cell.arm, cell.seed] = cell
    planned = [(arm, seed) for arm in arms for seed in seeds]
    return tuple(seen.get(key, Cell(*key, "missing")) for key in planned)
