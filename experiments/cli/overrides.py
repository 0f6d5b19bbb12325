"""Other values in a preset, from `--set KEY=VALUE`: typed, checked, and a name for the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

import torch

from experiments import task as tasks
from experiments.cli.start import OF_TRAINING
from experiments.cli.values import literal, parsed, shown
from experiments.config import INCIDENTAL, Knobs, TaskName
from experiments.data.text import LabelKnobs
from experiments.errors import UserError
from experiments.grid import Grid, Preset
from experiments.model import MAKERS
from experiments.text.boxes import BoxKnobs, box_knobs
from models.switches import Switches

C = TypeVar("C")
T = TypeVar("T")
Tree = dict[str, Any]  # the text of each value by the parts of its key
ELSEWHERE = {
    "data.name": "--data",
    "data.image_dir": "--image-dir",
    "data.mask_dir": "--mask-dir",
}
OTHER: dict[TaskName, TaskName] = {"masks": "text", "text": "masks"}
CHOSEN = ("cut", "least_score")  # by each run, on its validation split
NAMES = ("name", "preset")  # knobs that are text, whatever it looks like
MOST_SEEDS = 1000  # from there on they are those of pilots and searches


def apply(
    grid: Grid, preset: Preset, texts: Sequence[str], chosen: Sequence[str] = ()
) -> tuple[Grid, Preset, str]:
    """Grid and preset with other values, and what tells them from the preset as it is.

    That name is empty where nothing changes a result; the order of `texts` does not matter.
    `loss.*` is set in every arm; the models of the `chosen` arms, or of all, must be possible.

    Raises:
        UserError: an unknown key, with the nearest; a value of another type or out of range.
    """
    given = dict(sorted(_split(texts, preset, grid.task).items()))
    tree = _tree(given)
    new = _replaced(preset, {k: v for k, v in tree.items() if k not in ("loss", "seeds")})
    arms = dict(grid.arms)
    if "loss" in tree:
        arms = {name: replace(a, loss=_replaced(a.loss, tree["loss"])) for name, a in arms.items()}
    if "seeds" in tree:
        new = replace(new, seeds=_seeds(tree["seeds"]))
    changed = replace(grid, arms=arms)
    _check(changed, new, tree, [name for name in grid.arms if name in chosen] or [*grid.arms])
    before, after = _values(grid, preset, given), _values(changed, new, given)
    told = [
        f"{key}={after[key][0]}"
        for key in given
        if key not in (*INCIDENTAL, "seeds") and before[key] != after[key]
    ]
    return changed, new, "+".join(told)


def keys(preset: Preset, task: TaskName = "masks") -> list[str]:
    """Every key that can be set, as far as it can be told beforehand."""
    switches = [field.name for field in fields(Switches)]
    found = [
        f"{part}.{key}" for part in ("data", "train") for key in _leaves(getattr(preset, part))
    ]
    found += [f"model.{name}" for name in ("preset", *switches)]
    found += ["loss.pixel.name", "seeds"]
    if task == "masks":
        found += ["loss.gradient_weight", "loss.gradient.objective"]
    else:
        labels = (*(field.name for field in fields(LabelKnobs)), "shrink_end")
        found += [f"loss.labels.{name}" for name in labels]
        found += [f"model.{name}" for name in ("body", "channels")]
        boxes = (field.name for field in fields(BoxKnobs) if field.name not in CHOSEN)
        found += [f"boxes.{name}" for name in boxes]
        found.remove("train.metrics")  # variants of those of masks
    return [key for key in found if key not in ELSEWHERE]


def _leaves(config: object) -> list[str]:
    names = []
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        inner = _leaves(value) if is_dataclass(value) else None
        names += [f"{field.name}.{key}" for key in inner] if inner else [field.name]
    return names


def _split(texts: Sequence[str], preset: Preset, task: TaskName) -> dict[str, str]:
    """Values by key; a key must be known, and is given once."""
    known = keys(preset, task)
    given: dict[str, str] = {}
    for key, _, text in (one.partition("=") for one in texts):
        if key in ELSEWHERE:
            raise UserError(f"--set {key}: give {ELSEWHERE[key]} instead")
        if given.setdefault(key, text) != text:
            raise UserError(f"--set {key} is given twice: {given[key]!r} and {text!r}")
        part, _, knob = key.rpartition(".")  # the registry knows its knobs
        of_loss = knob and part in ("loss.pixel", "loss.gradient")
        if key not in known and not of_loss:
            raise _unknown(key, preset, task)
    return given


def _unknown(key: str, preset: Preset, task: TaskName) -> UserError:
    """The error for a key, with the nearest known one; `lr` is near `train.lr`."""
    known, other = keys(preset, task), OTHER[task]
    if key in keys(preset, other):
        return UserError(f"--set {key}: that is for grids of {other}, and this is one of {task}")
    if task == "text" and key in [f"boxes.{name}" for name in CHOSEN]:
        boxes = ", ".join(name for name in known if name.startswith("boxes."))
        return UserError(
            f"--set {key}: each run chooses {' and '.join(CHOSEN)} on its validation split; "
            f"what can be set is {boxes}"
        )
    last = {name.rpartition(".")[2]: name for name in known}
    near = get_close_matches(key, known, n=1) or [
        last[name] for name in get_close_matches(key.rpartition(".")[2], last, n=1)
    ]
    part = key.partition(".")[0]
    listed = [name for name in known if name.startswith(f"{part}.")]
    parts = (name.partition(".") for name in known)
    listed = listed or sorted({f"{first}.*" if dot else first for first, dot, _ in parts})
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"unknown key of --set {key!r}{hint} (known: {', '.join(listed)})")


def _tree(given: Mapping[str, str]) -> Tree:
    tree: Tree = {}
    for key, text in given.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = text
    return tree


def _replaced(config: C, changes: Tree, at: str = "") -> C:
    """A dataclass with values parsed by their types; a mapping of knobs grows."""
    hints, values = get_type_hints(type(config)), dict[str, Any]()
    for name, change in changes.items():
        old = getattr(config, name)
        if hints[name] == Knobs:
            values[name] = {**old, **{key: _knob(old, key, text) for key, text in change.items()}}
        elif is_dataclass(old) and not isinstance(old, type):
            values[name] = _replaced(old, change, f"{at}{name}.")
        else:
            values[name] = parsed(hints[name], change, f"{at}{name}")
    return replace(config, **values)  # type: ignore[type-var]


def _knob(old: Knobs, key: str, text: str) -> Any:
    """A knob's value; the old one where only its spelling differs, as of 2 and 2.0."""
    new = text if key in NAMES else literal(text)
    was = old.get(key)
    spelled = was == new and not isinstance(was, bool) and not isinstance(new, bool)
    return was if spelled else new


def _seeds(text: str) -> int:
    count: int = parsed(int, text, "seeds")
    if not 1 <= count < MOST_SEEDS:
        raise UserError(f"seeds is {count}, expected 1 to {MOST_SEEDS - 1}")
    return count


def _check(grid: Grid, preset: Preset, tree: Tree, chosen: Sequence[str]) -> None:
    """What only the model or the registry can tell; costs nothing where no key concerns them.

    With --start the batch is not checked: the checkpoint is only read by the runs.
    """
    if "loss" in tree:
        for arm in grid.arms.values():
            tasks.find(grid.task).objective(arm.loss)
    if "boxes" in tree:
        box_knobs(preset.boxes)
    started = "start" in preset.model
    for name in tree.get("model", {}):
        if started and name not in OF_TRAINING:
            raise UserError(
                f"--set model.{name}: the checkpoint of --start decides what the model is "
                f"made of; what can be set is {', '.join(OF_TRAINING)}"
            )
    if "model" in tree and grid.task == "masks":
        aside = ("preset", "start", "start_digest")
        told = {key: value for key, value in preset.model.items() if key not in aside}
        _as_user_error("--set model", Switches.check, told)
    asked = {"size", "batch", "accumulate"} & {*tree.get("data", {}), *tree.get("train", {})}
    if not started and ("model" in tree or asked):
        _build(grid, preset, chosen)


def _build(grid: Grid, preset: Preset, chosen: Sequence[str]) -> None:
    """The chosen arms' models without their weights, shown the shape of a batch."""
    built: list[dict[str, Any]] = []
    shape = (preset.train.batch // preset.train.accumulate, 3, *preset.data.size)
    for name in chosen:
        own = grid.arms[name].model
        switches = {**preset.model, **own, "pretrained": False, "bb_pretrained": None}
        if switches not in built:
            built.append(dict(switches))
            switches.pop("perturb", None)
            with torch.device("meta"):
                model = _as_user_error(
                    "--set model", MAKERS[grid.task], switches.pop("preset"), **switches
                )
                about = f"a batch of arm {name!r} (data.size, train.batch, train.accumulate)"
                _as_user_error(about, model.train().check, torch.empty(shape))


def _as_user_error(what: str, call: Callable[..., T], *given: Any, **named: Any) -> T:
    try:
        return call(*given, **named)
    except ValueError as error:
        raise UserError(f"{what}: {error}") from error


def _values(grid: Grid, preset: Preset, given: Mapping[str, str]) -> dict[str, list[str]]:
    """What the keys stand for, as `--set` takes it: of the preset, or of each arm."""
    return {
        key: [_at(arm, key.split(".")) for arm in grid.arms.values()]
        if key.startswith("loss.")
        else [_at(preset, key.split("."))]
        for key in given
    }


def _at(config: object, path: Sequence[str]) -> str:
    """A value as text, in which 1 and true differ; "" where there is none."""
    for name in path:
        config = config.get(name, "") if isinstance(config, Mapping) else getattr(config, name)
    return shown(config)
