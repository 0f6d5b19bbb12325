"""What each erratum costs: the numbers that are printed, from the retyped formulas."""

import re
from decimal import Decimal
from typing import Any

import pytest
import torch

import losses
from losses.errata import ERRATA, Erratum
from losses.errata.measured import RADII, RATIOS, SIDE, blurred, disc, perfect
from tests.upstream import birefnet, f3net, general, text

BY_NUMBER = {e.number: e for e in ERRATA}
NUMBER = re.compile(r"(?<![\w.])(?:nan|(?:\d+\.?\d*|\.\d+)(?:e[-+]\d+)?)(?!\w)")


def repaired(number: int, *inputs: Any) -> float:
    return float(BY_NUMBER[number].repaired.build()(*inputs))


def figures_1() -> list[float]:
    t, gammas = disc(50), [0.0, 5.0, 50.0]
    z = blurred(t) - 4 * (t - t.roll(6, -1)).abs()
    published = [float(f3net.weighted_bce_as_published(z, t, g)) for g in gammas]
    return [*gammas, *published, *(float(f3net.weighted_bce(z, t, g)) for g in gammas)]


def figures_2() -> list[float]:
    pairs = [(blurred(disc(r)), disc(r)) for r in RADII]
    times = [f3net.weighted_bce_of_the_paper(*x) / f3net.weighted_bce(*x) for x in pairs]
    return [*map(float, times), *RADII, SIDE, 0, 0]


def figures_3() -> list[float]:
    pairs = [(perfect(disc(r)), disc(r)) for r in RADII]
    twice = [float(birefnet.structure_of_probabilities(z.sigmoid(), t)) for z, t in pairs]
    return [*RADII, *twice, *(repaired(3, [z], t) for z, t in pairs)]


def figures_4() -> list[float]:
    t = disc(220)
    wrong = perfect(1 - t)
    wrong[..., :64, :64] = perfect(t)[..., :64, :64]
    p, tiles = wrong.sigmoid(), []
    for top in range(0, SIDE, 64):
        for left in range(0, SIDE, 64):
            x, y = (m[..., top : top + 64, left : left + 64] for m in (p, t))
            tiles.append(general.iou(x, y) if y.any() else general.iou(1 - x, 1 - y))
    return [float(birefnet.patch_iou(p, t)), float(torch.stack(tiles).mean())]


def figures_5() -> list[float]:
    z, t = blurred(disc(50)), disc(50)
    pairs = [(z.repeat(n, 1, 1, 1), t.repeat(n, 1, 1, 1)) for n in (1, 4)]
    published = [float(0.5 * birefnet.iou(z.sigmoid(), t)) for z, t in pairs]
    return [1, 4, *published, published[0], published[1] / 4]


def figures_6() -> list[float]:
    ends = []
    for first in (1, 481):
        weights = {"iou": 0.5}
        for epoch in range(first, 501):
            birefnet.fine_tune(weights, epoch, 500, -40)
        ends.append(weights["iou"])
    return [500, *ends, 480, 0.25]


def figures_7() -> list[float]:
    t = disc(20, 64)
    image, flat = blurred(t).repeat(1, 3, 1, 1), torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    z, coarse = blurred(t, 2).requires_grad_(), blurred(t, 1).requires_grad_()
    value = birefnet.gradient_supervision([z], [coarse], image)
    own, other = torch.autograd.grad(value, [z, coarse])
    grey = birefnet.gradient_labels([blurred(t)], flat)[0].mean()
    return [float(grey), 0, float(other.norm() / own.norm()), 0]


def figures_8() -> list[float]:
    z, t = blurred(disc(6, 16)), disc(6, 16)
    flipped = z.flip(-1), t.flip(-1)
    published = [float(birefnet.contour(x.sigmoid(), y)) for x, y in ((z, t), flipped)]
    return [*published, *[repaired(8, z, t)] * 2]


def figures_9() -> list[float]:
    t, ring = disc(50), disc(58) - disc(42)
    p, whole = blurred(t).sigmoid(), torch.ones_like(t)
    x, y = torch.full_like(t, 0.3), 0.3 + 0.4 * ring
    b, mined = text.step(p, x), text.balanced_cross_entropy
    released = [5 * mined(p, t, whole), 10 * text.mask_l1(x, y, ring), text.dice(b, t, whole)]
    pixels = 4 * float(t.sum())  # 3 mined for each positive
    paper = [pixels * mined(m, t, whole) for m in (p, b)]
    paper.insert(1, 10 * ((x - y).abs() * ring).sum())
    return [float(100 * v / sum(parts)) for parts in (released, paper) for v in parts]


def figures_10() -> list[float]:
    z, t = blurred(disc(50)), disc(50)
    figures = [0.9995, 0.0005]
    for y in (0.999 * t + 0.0005, 0 * t):
        published = text.balanced_cross_entropy(z.sigmoid(), y, torch.ones_like(y))
        figures += [float(published), repaired(10, z, y)]
    return figures


def figures_11() -> list[float]:
    error = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    none = torch.zeros_like(error)
    return [float(text.balance_l1(error, none, none)), 0, float(error.mean())]


def figures_12() -> list[float]:
    t = disc(20)
    p, whole = blurred(t).sigmoid(), torch.ones_like(t)
    number = [5 * text.paddle_balance(p, t, whole, r) for r in RATIOS]
    pixels = [5 * text.balanced_cross_entropy(p, t, whole, r) for r in RATIOS]
    return [*RATIOS, *map(float, number), *map(float, pixels)]


def figures_13() -> list[float]:
    t = disc(20)
    p, whole = blurred(t).sigmoid(), torch.ones_like(t)
    number = [text.mmocr_balanced_bce(p, t, whole, r, reduction="mean") for r in RATIOS]
    pixels = [text.mmocr_balanced_bce(p, t, whole, r) for r in RATIOS]
    return [*RATIOS, *map(float, number), *map(float, pixels)]


def as_printed(said: str) -> list[tuple[float, float]]:
    """Every number of a sentence, and half a unit of its last digit; 0 is printed of 0 alone."""
    found = []
    for word in NUMBER.findall(said):
        last = Decimal(word).as_tuple().exponent
        half = 0.51 * 10.0**last if isinstance(last, int) and word != "0" else 0.0
        found.append((float(word), half))
    return found


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda e: str(e.number))
def test_the_numbers_of_the_sentence_are_those_of_the_published_formula(erratum: Erratum) -> None:
    printed, wanted = as_printed(erratum.consequence()), globals()[f"figures_{erratum.number}"]()
    assert len(printed) == len(wanted)
    for (value, half), figure in zip(printed, wanted, strict=True):
        assert value == pytest.approx(figure, rel=0, abs=half, nan_ok=True)


def about_a_pixel(radius: float) -> torch.Tensor:
    """A disc about a pixel, without its rim: of radius 20 it has 1245 px, ``disc`` 1264."""
    at = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    return ((at[:, None] ** 2 + at**2).sqrt() < radius).double()[None, None]


def test_the_papers_divisor_is_4_5_to_27_8_times_smaller_on_discs_about_a_pixel() -> None:
    weights = [losses.boundary_weight(about_a_pixel(r)) for r in (RADII[-1], RADII[0])]
    times = [float(w.sum() / (w - 1).sum()) for w in weights]
    assert times == pytest.approx([4.5, 27.8], abs=0.05)


def test_what_has_no_effect_as_published_is_told_by_equal_figures() -> None:
    said = {e.number: e.consequence() for e in ERRATA}
    for number, knob in ((1, "gamma 0 / 5 / 50"), (12, "ratio 0 / 1 / 3 / 30"), (13, "ratio 0")):
        assert knob in said[number]
        values = [v for v, _ in as_printed(said[number])]
        idle = values[3:6] if number == 1 else values[4:8]
        assert len(set(idle)) == 1


def test_the_figures_of_errata_2_and_5_are_those_of_their_discs() -> None:
    said = {e.number: e.consequence() for e in ERRATA if e.number in (2, 5)}
    assert "27.6 / 11.5 / 4.5 times" in said[2]
    assert "in batches of 1 / 4: 0.4102 / 1.641" in said[5]
