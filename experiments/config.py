"""The resolved configuration of one run: plain data, hashed; the hash is the run's identity."""

import ast
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.data import DataConfig
from experiments.errors import UserError, unknown

Knobs = Mapping[str, Any]  # the keywords of a registered loss or of the model, checked there
PROJECT = Path(__file__).parent.parent
# What decides a run's numbers. The command line, the ledger and the analysis do not.
ASIDE = ("laws", "errata", "__main__.py")  # in losses/: they test and tell, and compute none
CODE = ("losses", "models", "experiments/data", "experiments/text")
CODE_FILES = (
    "checkpoint.py",
    "device.py",
    "distributed.py",
    "evaluate.py",
    "gradient_record.py",
    "masks.py",
    "metrics.py",
    "model.py",
    "objective.py",
    "optim.py",
    "scores.py",
    "seeding.py",
    "task.py",
    "train.py",
)
# Fields that are no part of a run's identity, as no result depends on them: where its data and
# the checkpoint of --start lie (digests of their contents count), who decodes, when it saves.
INCIDENTAL = (
    "data.cache",
    "data.image_dir",
    "data.mask_dir",
    "data.name",
    "data.workers",
    "model.start",
    "train.save_seconds",
)

Precision = Literal["float32", "bfloat16", "float16"]
Schedule = Literal["constant", "cosine", "step"]
Device = Literal["auto", "cpu", "cuda"]
Variant = Literal["plain", "published"]
TaskName = Literal["masks", "text"]


@dataclass(frozen=True)
class Runtime:
    """How a run is executed; not part of its identity."""

    device: Device = "auto"  # auto: a GPU where there is one
    tensorboard: bool = False  # history.csv's rows as scalars, too

    def __post_init__(self) -> None:
        _choose("device", self.device, get_args(Device))


@dataclass(frozen=True)
class TrainConfig:
    """How a run trains. Threads belong here: one thread and two differ bitwise.

    Validation and test see no more images at once than a process does in training, or 8, so what
    fits by `accumulate` fits there too; how many they are changes scores by rounding alone.

    Raises:
        UserError: a value out of its range; the field is named.
    """

    steps: int
    batch: int  # images an optimizer step sees, over all its parts and processes
    lr: float
    accumulate: int = 1  # parts a batch is split into, one after the other, to save memory
    backbone_lr: float = 1.0  # factor on lr for the backbone's parameters
    weight_decay: float = 1e-2  # AdamW's, as the official recipe
    schedule: Schedule = "cosine"
    drops: tuple[float, ...] = (0.5, 0.75)  # of "step": where the rate falls, as shares of steps
    drop: float = 0.1  # of "step": the factor it falls by
    warmup: int = 0  # steps of linear warm-up
    clip: float = 0.0  # gradient norm; 0 leaves it alone
    precision: Precision = "float32"
    compile: bool = False  # the training forward only
    deterministic: bool = False  # on a GPU: kernels that give the same bits twice, at a cost
    threads: int = 1
    validations: int = 4  # evenly spaced, the last one at the end
    moments: int = 5  # steps at which gradient maps, excess BCE and grad_share are recorded
    maps: int = 4  # test images whose maps are kept
    metrics: Variant = "plain"  # "published": predictions stretched, masks cut above 128
    save_seconds: float = 60.0  # least time between two training checkpoints

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "threads", "validations", "moments", "maps"):
            _above(name, getattr(self, name), 1, whole=True)
        for name in ("backbone_lr", "weight_decay", "warmup", "clip", "save_seconds"):
            _above(name, getattr(self, name), 0, whole=name == "warmup")
        _choose("schedule", self.schedule, get_args(Schedule))
        _choose("precision", self.precision, get_args(Precision))
        _choose("metrics", self.metrics, get_args(Variant))
        if not 0 < self.lr < math.inf:
            raise UserError(f"train.lr is {self.lr}, expected above 0")
        if self.batch % self.accumulate:
            raise UserError(
                f"train.accumulate is {self.accumulate}, expected a divisor of train.batch "
                f"({self.batch})"
            )
        if not all(0 < u < 1 for u in self.drops) or list(self.drops) != sorted(self.drops):
            raise UserError(
                f"train.drops is {self.drops}, expected shares of the steps between 0 and 1, "
                "ascending"
            )
        if not 0 < self.drop <= 1:
            raise UserError(f"train.drop is {self.drop}, expected above 0 and at most 1")


@dataclass(frozen=True)
class LossConfig:
    """Main loss by its registry name and knobs; gradient supervision's knobs and weight.

    `labels` are the knobs of a DB head's labels, from `shrink` to `shrink_end` over the run.

    Raises:
        UserError: a weight below 0, which would train for a larger loss.
    """

    pixel: Knobs = field(default_factory=lambda: {"name": "birefnet_pixel"})
    gradient: Knobs = field(default_factory=lambda: {"objective": "none"})
    gradient_weight: float = 1.0
    labels: Knobs = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.gradient_weight < math.inf:
            raise UserError(
                f"loss.gradient_weight is {self.gradient_weight}, expected a number of at least 0"
            )


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on but the contents of its data and the code."""

    seed: int
    data: DataConfig
    model: Knobs
    train: TrainConfig
    loss: LossConfig
    select: str  # the validation metric that picks the checkpoint
    task: TaskName = "masks"
    boxes: Knobs = field(default_factory=dict)  # how a DB head's map becomes boxes

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON has it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def deciding(config: RunConfig) -> dict[str, Any]:
    """The configuration without the fields that no result depends on (`INCIDENTAL`)."""
    plain = config.as_dict()
    for path in INCIDENTAL:
        section, name = path.split(".")
        plain[section].pop(name, None)
    return plain


def run_hash(config: RunConfig, data_digest: str) -> str:
    """Identity of a run: its configuration, its data and the code that computes it."""
    parts = json.dumps([deciding(config), data_digest, code_digest()], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


@cache
def code_digest() -> str:
    """Digest of the code a run executes; comments, docstrings and layout do not count."""
    files = [f for folder in CODE for f in sorted((PROJECT / folder).rglob("*.py"))]
    files = [f for f in files if not {f.name, f.parent.name} & {*ASIDE}]
    files += [PROJECT / "experiments" / name for name in CODE_FILES]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(PROJECT).as_posix()}\n".encode())
        digest.update(statements(file).encode())
    return digest.hexdigest()[:16]


def statements(file: Path) -> str:
    """A module's code without comments, docstrings and layout."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def _choose(name: str, seen: str, known: tuple[str, ...]) -> None:
    if seen not in known:
        raise unknown(name, seen, known)


def _above(name: str, seen: float, least: int, *, whole: bool) -> None:
    if not least <= seen < math.inf or (whole and seen != int(seen)):
        kind = "a whole number" if whole else "a number"
        raise UserError(f"train.{name} is {seen}, expected {kind} of at least {least}")
