"""Values as a command line gives them: read by their type, and written back."""

import json
import math
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from experiments.errors import UserError, unknown

FLAGS = {"true": True, "false": False}


def shown(value: object) -> str:
    """A value as `--set` takes it.

    >>> shown(0.0001), shown((256, 256)), shown(True), shown("constant")
    ('0.0001', '256,256', 'true', 'constant')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def parsed(kind: Any, text: str, key: str) -> Any:
    """A text as a value of a type: of a number, str, bool, Literal, tuple, or None.

    Raises:
        UserError: another type, or an unknown choice.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        if text not in inner:
            raise unknown(key, text, inner)
        return text
    if origin in (Union, UnionType):
        if text.lower() in ("none", "null"):
            return None
        return parsed(next(k for k in inner if k is not NoneType), text, key)
    if origin is tuple:
        return _items(inner, text, key)
    if kind is str:
        return text
    try:
        return _SIMPLE[kind][1](text)
    except (ValueError, KeyError):
        raise UserError(f"{key} is {text!r}, expected {_SIMPLE[kind][0]}") from None


def _items(inner: tuple[Any, ...], text: str, key: str) -> tuple[Any, ...]:
    parts = [part.strip(" \"'") for part in text.strip("[]() ").split(",") if part.strip()]
    if inner[-1] is Ellipsis:
        return tuple(parsed(inner[0], part, key) for part in parts)
    if len(parts) != len(inner):
        raise UserError(
            f"{key} is {text!r}, expected {len(inner)} values with a comma between them"
        )
    return tuple(parsed(one, part, key) for one, part in zip(inner, parts, strict=True))


def _whole(text: str) -> int:
    value = float(text)  # 1e3 is a whole number too
    if not value.is_integer():
        raise ValueError
    return int(value)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


_SIMPLE: dict[Any, tuple[str, Any]] = {
    int: ("a whole number", _whole),
    float: ("a number", _finite),
    bool: ("true or false", lambda text: FLAGS[text.lower()]),
}


def literal(text: str) -> Any:
    """A value whose type its owner checks: JSON, a list with commas, or the text."""
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return [literal(part) for part in text.split(",")] if "," in text else text
