"""What a search tries: knobs drawn one by one, at the scales of a grid."""

import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from experiments import searches
from experiments.config import statements
from experiments.errors import misnamed, unknown
from experiments.grid import Arm


@dataclass(frozen=True)
class Search:
    """What is tried; `experiments/searches/<name>.py` holds one as SEARCH.

    `suggest` draws the knobs from a trial one by one, so that a knob may exist only where another
    has some value, and makes an arm of them. `first` are settings tried before any is drawn.
    `trials` is the budget at each preset of `grid`, whose scales and primary metric are used.
    """

    name: str
    question: str
    grid: str
    suggest: Callable[[optuna.trial.BaseTrial], Arm]
    trials: Mapping[str, int]
    first: tuple[Mapping[str, Any], ...] = ()
    seeds: int = 2

    def definition(self, *more: str) -> str:
        """Digest of `more` and of what makes a setting from its number: `suggest` and its module.

        All of the module counts, as `suggest` may call any of it, but for its SEARCH, of which
        question and budget make no setting another one.
        """
        code = statements(Path(inspect.getfile(self.suggest))).splitlines()
        code = [line for line in code if not line.startswith("SEARCH = ")]
        drawn = [self.seeds, *map(dict, self.first), self.suggest.__qualname__, code]
        return hashlib.sha256(json.dumps([*more, *drawn]).encode()).hexdigest()[:12]


def names() -> list[str]:
    """The searches that `experiments/searches/` holds."""
    return sorted(module.name for module in pkgutil.iter_modules(searches.__path__))


def find(name: str) -> Search:
    """The search of that name.

    Raises:
        UserError: no such search, with the nearest name; a file whose search has another name.
    """
    if name not in names():
        raise unknown("search", name, names())
    search: Search = importlib.import_module(f"experiments.searches.{name}").SEARCH
    if search.name != name:
        raise misnamed("search", name, search.name)
    return search
