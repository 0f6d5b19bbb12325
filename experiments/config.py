"""The resolved configuration of one run: plain data, hashed; the hash is the run's identity."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from experiments.data import DataConfig

Knobs = Mapping[str, Any]  # the keywords of a registered loss or of the model, checked there
PROJECT = Path(__file__).parent.parent
# What decides a run's numbers. The command line, the ledger and the analysis do not.
ASIDE = ("laws", "errata", "__main__.py")  # in losses/: they test and tell, and compute none
CODE = ("losses", "models", "experiments/data")
CODE_FILES = (
    "checkpoint.py",
    "evaluate.py",
    "metrics.py",
    "objective.py",
    "seeding.py",
    "train.py",
)


@dataclass(frozen=True)
class TrainConfig:
    """How a run trains. Threads belong here: one thread and two differ bitwise."""

    steps: int
    batch: int
    lr: float
    backbone_lr: float = 1.0  # factor on lr for the backbone's parameters
    weight_decay: float = 1e-2  # AdamW's, as the official recipe
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: int = 0  # steps of linear warm-up
    clip: float = 0.0  # gradient norm; 0 leaves it alone
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = 1
    validations: int = 4  # evenly spaced, the last one at the end
    moments: int = 5  # steps at which gradient maps, excess BCE and grad_share are recorded
    maps: int = 4  # test images whose maps are kept
    save_seconds: float = 60.0  # least time between two training checkpoints


@dataclass(frozen=True)
class LossConfig:
    """Pixel loss by its registry name and knobs; gradient supervision's knobs and weight."""

    pixel: Knobs = field(default_factory=lambda: {"name": "birefnet_pixel"})
    gradient: Knobs = field(default_factory=lambda: {"objective": "none"})
    gradient_weight: float = 1.0


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on but the contents of its data and the code."""

    seed: int
    data: DataConfig
    model: Knobs
    train: TrainConfig
    loss: LossConfig
    select: str  # the validation metric that picks the checkpoint

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON has it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def run_hash(config: RunConfig, data_digest: str) -> str:
    """Identity of a run: its configuration, its data and the code that computes it."""
    parts = json.dumps([config.as_dict(), data_digest, code_digest()], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


@cache
def code_digest() -> str:
    """Digest of the code a run executes; comments, docstrings and layout do not count."""
    files = [f for folder in CODE for f in sorted((PROJECT / folder).rglob("*.py"))]
    files = [f for f in files if not {f.name, f.parent.name} & {*ASIDE}]
    files += [PROJECT / "experiments" / name for name in CODE_FILES]
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        digest.update(f"{file.relative_to(PROJECT).as_posix()}\n".encode())
        digest.update(ast.unparse(_without_docstrings(tree)).encode())
    return digest.hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree
