"""Numbers worked out by hand on 3 x 3 pixels.

Logits are 0 or +- log 3, so that p is 1/2, 3/4 or 1/4, and l is log 4/3 where a pixel is right
and log 4 where it is wrong:

    t = 1 1 0    p = 3/4 3/4 1/4
        1 0 0        1/4 3/4 1/4
        0 0 0        1/4 1/4 1/4

Two positives and five negatives are right, one positive and one negative wrong. S(t) = 3,
S(p) = 7/4 on positives + 2 on negatives = 15/4, S(p t) = 7/4.
"""

from math import exp, log, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

import losses

A = log(3)
RIGHT, WRONG = log(4 / 3), log(4)

# Weights 1 + 9 |box_3(t) - t|; box_3 counts the positives of a 3 x 3 window, over 9:
#     3 3 1        7 7 2
#     3 3 1   ->   7 4 2    sum 34; 11 of it on the two wrong pixels, 21 on the positives.
#     1 1 0        2 2 1
# S(w p t) = 7 (3/4 + 3/4 + 1/4) = 49/4; on negatives S(w p) = 4 x 3/4 + 9 x 1/4 = 21/4.
STRUCTURE = {"gamma": 9.0, "window": 3, "overlap": "product", "empty": "published"}
MEANT, PAPER = (23 * RIGHT + 11 * WRONG) / 34, (23 * RIGHT + 11 * WRONG) / 25
WEIGHTED_IOU = 1 - (49 / 4 + 1) / (49 / 4 + 21 / 4 + 21 - 49 / 4 + 1)

BCE = (7 * RIGHT + 2 * WRONG) / 9
MAE = (7 * 1 / 4 + 2 * 3 / 4) / 9
MSE = (7 * 1 / 16 + 2 * 9 / 16) / 9
DICE = 1 - (2 * 7 / 4 + 1) / (15 / 4 + 3 + 1)

# The four 2 x 2 tiles of a 3 x 3 image. Top left: S(p t) = 7/4, S(p) = 10/4, S(t) = 3. The rest
# is empty and scored by its background: two pixels of 1 - p = 3/4 twice, and one of 3/4.
TILES = [1 - (7 / 4 + 1) / (15 / 4 + 1), 1 - (6 / 4 + 1) / (2 + 1), 1 - (3 / 4 + 1) / (1 + 1)]

# Lengths of the contour: squared differences of p are 1/4 at four places. BiRefNet's slices keep
# one place, where the difference downwards is 0 and the one to the right 1/2. The repaired form
# has the sums sqrt(1/8) in two cells and sqrt(1/4) in four.
AREAS = (2 + 5 / 4) / 9

GOLDENS: list[tuple[str, dict[str, Any], float]] = [
    ("bce", {}, BCE),
    ("mae", {}, MAE),
    ("mse", {}, MSE),
    ("hybrid", {"lam": 0.25}, 0.25 * BCE + 0.75 * MAE),
    ("class_balanced_bce", {}, (2 / 3 * (2 * RIGHT + WRONG) + 1 / 3 * (5 * RIGHT + WRONG)) / 9),
    ("class_balanced_bce", {"pos_weight": 3.0}, (3 * (2 * RIGHT + WRONG) + 5 * RIGHT + WRONG) / 9),
    ("focal", {}, (7 / 16 * RIGHT + 2 * 9 / 16 * WRONG) / 9),
    (
        "focal",
        {"gamma": 1.0, "alpha": 0.25},
        ((0.25 * 2 + 0.75 * 5) / 4 * RIGHT + (0.25 + 0.75) * 3 / 4 * WRONG) / 9,
    ),
    ("dice", {}, DICE),
    ("dice", {"denominator": "squared"}, 1 - (2 * 7 / 4 + 1) / ((3 * 9 + 6) / 16 + 3 + 1)),
    ("iou", {}, 1 - (7 / 4 + 1) / (15 / 4 + 3 - 7 / 4 + 1)),
    # False positives 2, misses 5/4.
    ("tversky", {"alpha": 0.3, "beta": 0.7}, 1 - (7 / 4 + 1) / (7 / 4 + 0.6 + 3.5 / 4 + 1)),
    ("dice_bce", {}, DICE + BCE),
    ("patch_iou", {"window": 2}, (TILES[0] + 2 * TILES[1] + TILES[2]) / 4),
    # Of the errors 1 - z (2 t - 1) only the two wrong pixels' 1 + log 3 are positive; with both
    # wrong the Jaccard loss is 1 - 2/4.
    ("lovasz_hinge", {}, (1 + A) / 2),
    ("structure", STRUCTURE, MEANT + WEIGHTED_IOU),
    ("structure", {**STRUCTURE, "weighting": "as_published"}, BCE + WEIGHTED_IOU),
    ("structure", {**STRUCTURE, "weighting": "paper"}, PAPER + WEIGHTED_IOU),
    ("contour", {}, 10 * (2 * sqrt(1 / 8) + 4 / 2) / 9 + AREAS),
    ("contour", {"as_published": True}, 10 * sqrt(1 / 4 + 1e-8) + AREAS),
    # Three positives mine three negatives: the wrong one and two right ones.
    ("balanced_bce", {"ratio": 1.0}, (2 * RIGHT + WRONG + WRONG + 2 * RIGHT) / 6),
    ("balanced_bce", {}, BCE),
]


def example() -> tuple[Tensor, Tensor]:
    """The logits and the target above."""
    t = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)
    sign = torch.tensor([[1.0, 1, -1], [-1, 1, -1], [-1, -1, -1]], dtype=torch.float64)
    return (A * sign)[None, None], t[None, None]


def label(x: object) -> str:
    return (
        x if isinstance(x, str) else "-".join(map(str, x.values())) if isinstance(x, dict) else ""
    )


@pytest.mark.parametrize(("name", "knobs", "value"), GOLDENS, ids=label)
def test_the_value_is_the_one_worked_out_by_hand(
    name: str, knobs: dict[str, Any], value: float
) -> None:
    assert float(losses.build(name, **knobs)(*example())) == pytest.approx(value, abs=1e-9)


def test_a_flip_changes_the_published_contour_and_not_the_repaired_one() -> None:
    z, t = (x.flip(-1) for x in example())
    repaired, published = losses.build("contour"), losses.build("contour", as_published=True)
    same = next(v for name, knobs, v in GOLDENS if name == "contour" and not knobs)
    assert float(repaired(z, t)) == pytest.approx(same, abs=1e-9)
    # Flipped, both differences that the slices keep are 0: sqrt(1e-8) remains.
    assert float(published(z, t)) == pytest.approx(10 * 1e-4 + AREAS, abs=1e-9)


def test_progressive_adds_its_share_of_mae() -> None:
    z, t = example()
    loss = losses.build("progressive")
    assert float(loss(z, t, progress=0.75)) == pytest.approx(BCE + MAE / 2, abs=1e-9)
    assert float(loss(z, t, progress=0.5)) == pytest.approx(BCE, abs=1e-9)


def test_region_adaptive_has_bce_in_the_region_and_mae_outside() -> None:
    z, t = example()
    value = (2 * RIGHT + WRONG + 5 / 4 + 3 / 4) / 9  # bce on the positives, mae on the negatives
    assert float(losses.region_adaptive(z, t, region=t)) == pytest.approx(value, abs=1e-9)


def test_ssim_of_one_pixel() -> None:
    # Only the window's centre c falls on the pixel, the rest on zeros: p = 1/2 and t = 1 have the
    # means c/2 and c, the variances (c - c^2)/4 and c - c^2, the covariance (c - c^2)/2.
    c = 1 / sum(exp(-(i**2) / 4.5) for i in range(-5, 6)) ** 2
    v, c1, c2 = c - c * c, 0.01**2, 0.03**2
    score = (c * c + c1) * (v + c2) / ((5 / 4 * c * c + c1) * (5 / 4 * v + c2))
    z, t = torch.zeros(1, 1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, 1).double()
    assert float(losses.ssim(z, t)) == pytest.approx((1 - score) / 2, abs=1e-12)


def test_unet_bce_between_two_bars() -> None:
    # Bars left and right: d1 + d2 is 2 px everywhere, so the border adds b = 10 exp(-4/50); two
    # thirds are positive, so classes weigh 3/4 and 3/2. With p = 3/4 positives are right.
    t = torch.tensor([[1.0, 0, 1]] * 3, dtype=torch.float64)[None, None]
    b = 10 * exp(-4 / 50)
    value = (6 * (0.75 + b) * RIGHT + 3 * (1.5 + b) * WRONG) / (6 * 0.75 + 3 * 1.5 + 9 * b)
    assert float(losses.build("unet_bce")(torch.full_like(t, A), t)) == pytest.approx(value)


def test_u_nets_border_weighs_six_where_the_distances_add_up_to_sigma() -> None:
    t = torch.zeros(1, 1, 1, 6, dtype=torch.float64)
    t[..., 0] = t[..., 5] = 1  # 5 px apart: 10 exp(-1/2) = 6.0653; a third is positive
    border = 10 * exp(-1 / 2)
    wanted = torch.tensor([1.5, 0.75, 0.75, 0.75, 0.75, 1.5], dtype=torch.float64) + border
    torch.testing.assert_close(losses.unet_weight(t).flatten(), wanted)


def test_birefnets_sum_on_one_level() -> None:
    z, t = example()
    loss = losses.build("birefnet_pixel", ssim=0.0)
    value = 30 * BCE + 0.5 * (1 - 7 / 4 / 5)  # iou without smoothing
    assert float(loss([z], t)) == pytest.approx(value, abs=1e-9)


def test_gradient_supervision_of_a_bright_pixel() -> None:
    # A bright centre, its borders reflected, is seen nine times from the centre, six times from
    # a side and four from a corner: G = (8 - 24)/48 = -1/3, 6/48 = 1/8 and 4/48 = 1/12. Times
    # 12 log 3 the labels are sigmoid(-4 log 3) = 1/82, 3^1.5/(1 + 3^1.5) and 3/4.
    image = torch.zeros(1, 3, 3, 3, dtype=torch.float64)
    image[..., 1, 1] = 1
    coarse = torch.full((1, 1, 3, 3), 12 * A, dtype=torch.float64)
    z, t = torch.zeros_like(coarse), torch.zeros_like(coarse)
    side = 3**1.5 / (1 + 3**1.5)
    value = (0.5 - 1 / 82 + 4 * (side - 0.5) + 4 * (3 / 4 - 0.5)) / 9
    mae = losses.gradient_supervision([z] * 3, [coarse] * 3, image, t, objective="mae")
    assert float(mae) == pytest.approx(3 * value, abs=1e-9)
    bce = losses.gradient_supervision([z] * 3, [coarse] * 3, image, t)
    assert float(bce) == pytest.approx(3 * log(2), abs=1e-9)
