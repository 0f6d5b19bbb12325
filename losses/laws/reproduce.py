"""Python that shows a violation again: to paste into a file, a notebook or an issue."""

from __future__ import annotations

import ast
import sys

from ..bound import Loss
from ..registry import names, spec
from .recipes import Recipe
from .subjects import Plain, Subject

__all__ = ["of_case", "of_check"]


def of_case(loss: Subject, law: int, recipe: Recipe) -> str:
    """Code that tries one law on one case."""
    imports, name = _loss(loss)
    torch = ["import torch"] if "torch." in str(recipe) else []
    return _code(
        [*imports, *torch, "from losses.laws import BY_NUMBER, make_case"],
        f"BY_NUMBER[{law}]({name}, {recipe})",
    )


def of_check(loss: Subject, law: int, cases: int, seed: int) -> str:
    """Code that tries one law on all cases again, for what no single case shows."""
    imports, name = _loss(loss)
    kind = "" if loss.kind == "logits" else f", kind={loss.kind!r}"
    return _code(
        [*imports, "from losses.laws import check"],
        f"assert not check({name}, laws=[{law}], cases={cases}, seed={seed}{kind})",
    )


def _code(imports: list[str], call: str) -> str:
    # Comments last, then plain imports before the others, as ruff sorts them.
    ranked = sorted(imports, key=lambda x: (x.startswith("#"), x.startswith("from"), x))
    return "\n".join([*ranked, "", call])


def _loss(loss: Subject) -> tuple[list[str], str]:
    """Imports that make the loss, and its name in the code."""
    if isinstance(loss, Loss):
        return _built(loss)
    fn = loss.fn if isinstance(loss, Plain) else None
    name, module = getattr(fn, "__qualname__", ""), getattr(fn, "__module__", "")
    if name.isidentifier() and getattr(sys.modules.get(module), name, None) is fn:
        return ([] if module == "__main__" else [f"from {module} import {name}"]), name
    return [f"# loss: the {loss.name} that was checked"], "loss"


def _built(loss: Loss) -> tuple[list[str], str]:
    set_here = {k: v for k, v in loss.knobs.items() if v != loss.spec.knobs[k].default}
    known = loss.name in names() and spec(loss.name) is loss.spec
    if not known or not all(map(_is_literal, set_here.values())):
        return [f"# loss: the {loss.name} that was checked"], "loss"
    given = "".join(f", {k}={v!r}" for k, v in set_here.items())
    return ["import losses"], f"losses.build({loss.name!r}{given})"


def _is_literal(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False
