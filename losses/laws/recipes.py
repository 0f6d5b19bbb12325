"""Recipes of cases: which a law wants, how one is drawn, and how a failing one is made small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from typing import Protocol, TypeVar

import torch

from ..registry import Kind
from .cases import MASKS, TARGETS, Case, MaskKind, TargetKind, make_case

T = TypeVar("T")
SIDES = (1, 2, 3, 5, 8, 13, 36)
# Longer than the 64 px window of patch_iou; dear, so that one case in twelve has it.
LONG, ONE_IN = 72, 12
SEEDS = range(2**31)
SMALL_SEEDS = 5
# Simplest first: the order in which a failing case is tried to be made simpler.
PLAIN_TARGETS: tuple[TargetKind, ...] = ("full", "empty", "one_pixel", "binary", "rare", "nearly")

__all__ = ["Choose", "Recipe", "Wants", "compose", "smallest"]


@dataclass(frozen=True)
class Recipe:
    """The arguments of ``make_case``: a case that can be printed and made again."""

    kind: Kind
    seed: int
    size: tuple[int, int, int] = (2, 8, 8)
    target: TargetKind = "binary"
    mask: MaskKind = "none"
    scale: float = 2.0
    flat: bool = False
    dtype: torch.dtype = torch.float64

    def __str__(self) -> str:
        """The call that makes the case."""
        given = [f"{self.kind!r}", f"{self.seed}", f"size={self.size}"]
        for spec in fields(self)[3:]:
            value = getattr(self, spec.name)
            if value != spec.default:
                given.append(f"{spec.name}={value!r}")
        return f"make_case({', '.join(given)})"

    def case(self) -> Case:
        """Make the case."""
        return make_case(
            self.kind,
            self.seed,
            size=self.size,
            target=self.target,
            mask=self.mask,
            scale=self.scale,
            flat=self.flat,
            dtype=self.dtype,
        )


@dataclass(frozen=True)
class Wants:
    """The cases on which a law says something.

    ``flat`` None draws both; ``long`` sides are among them; ``double`` insists on float64, where
    a loss that computes in float32 is otherwise tried in that.
    """

    targets: tuple[TargetKind, ...] = TARGETS
    masks: tuple[MaskKind, ...] = MASKS
    sides: tuple[int, ...] = SIDES
    scales: tuple[float, ...] = (0.1, 2.0, 8.0)
    flat: bool | None = None
    dtype: torch.dtype = torch.float64
    long: bool = True
    double: bool = False

    @cached_property
    def sizes(self) -> list[tuple[int, int, int]]:
        """(B, H, W) to choose from, each as often as it is to be drawn."""
        short = [*product((1, 2, 3), self.sides, self.sides)]
        few = [(1, LONG, LONG), (2, LONG, 5)]
        few += [size for n in self.sides[::-1] for size in ((1, LONG, n), (1, n, LONG))]
        return short + few[: len(short) // (ONE_IN - 1)] if self.long else short

    @cached_property
    def contents(self) -> list[tuple[TargetKind, MaskKind, float, bool]]:
        """Target, mask, scale and flatness to choose from."""
        flats = (True, False) if self.flat is None else (self.flat,)
        return [*product(self.targets, self.masks, self.scales, flats)]


class Choose(Protocol):
    """A source of choices: a random generator's, or one that hypothesis steers."""

    def __call__(self, options: Sequence[T], /) -> T: ...


def compose(
    wants: Wants,
    kind: Kind,
    choose: Choose,
    *,
    masks: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Recipe:
    """Draw a recipe of a case that a law wants, of the loss's ``dtype`` if that is narrower.

    ``masks`` False leaves masks out, for losses that take none.
    """
    target, mask, scale, flat = choose(wants.contents)
    return Recipe(
        kind,
        choose(SEEDS),
        choose(wants.sizes),
        target,
        mask if masks else "none",
        scale,
        flat,
        dtype if wants.dtype == torch.float64 and not wants.double else wants.dtype,
    )


def _before(options: Sequence[T], value: T) -> Sequence[T]:
    """The options that come before a value, none where it is not among them."""
    return options[: options.index(value)] if value in options else ()


def simpler(recipe: Recipe, wants: Wants) -> Iterator[Recipe]:
    """Recipes that differ from this one by being simpler in one respect."""
    batch, h, w = recipe.size
    yield from (replace(recipe, size=(n, h, w)) for n in range(1, batch))
    yield from (replace(recipe, size=(batch, n, w)) for n in wants.sides if n < h)
    yield from (replace(recipe, size=(batch, h, n)) for n in wants.sides if n < w)
    masks = [m for m in MASKS if m in wants.masks]
    yield from (replace(recipe, mask=m) for m in _before(masks, recipe.mask))
    targets = [t for t in (*PLAIN_TARGETS, "soft") if t in wants.targets]
    yield from (replace(recipe, target=t) for t in _before(targets, recipe.target))
    scales = sorted(wants.scales)
    yield from (replace(recipe, scale=s) for s in _before(scales, recipe.scale))
    if wants.flat is None and not recipe.flat:
        yield replace(recipe, flat=True)
    yield from (replace(recipe, seed=n) for n in range(min(recipe.seed, SMALL_SEEDS)))


def smallest(
    fails: Callable[[Recipe], bool], recipe: Recipe, wants: Wants, *, tries: int = 120
) -> Recipe:
    """Make a failing recipe simpler step by step for as long as it fails."""
    left = iter(simpler(recipe, wants))
    for _ in range(tries):
        candidate = next(left, None)
        if candidate is None:
            break
        if fails(candidate):
            recipe = candidate
            left = iter(simpler(recipe, wants))
    return recipe
