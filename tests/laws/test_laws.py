"""Every registered loss, by name, on each law it declares; and knobs that change the formula."""

import pytest

import losses

from .strategies import GRADCHECK_CASES, VARIANT_CASES, keeping, obey

# losses.md section 4: any other break is a defect.
PERMITTED = {
    "ssim": {5, 6},
    "birefnet_pixel": {5, 6},
    "structure": {10},
}
# A label through the released sigmoid is never exactly 0 or 1: these premises need another squash,
# which the variants below have.
SOFT_LABEL = {("gradient_supervision", number) for number in (1, 5, 6)}
REPAIRED = {"gate": "pred", "squash": "abs"}
VARIANTS: list[tuple[str, dict[str, object], set[int]]] = [
    ("dice", {"denominator": "squared"}, set()),
    ("dice", {"denominator": "linear"}, {10}),
    ("dice", {"smooth": 0.0}, set()),
    ("dice", {"empty": "published"}, set()),
    ("iou", {"denominator": "squared"}, set()),
    ("iou", {"denominator": "linear", "smooth": 0.0}, {10}),
    ("structure", {"overlap": "l1", "empty": "background"}, set()),
    ("structure", {"window": "relative", "border": "exclude", "gamma": 50.0}, {10}),
    ("ssim", {"form": "basnet"}, {5, 6}),
    ("birefnet_pixel", {"mae": 100.0, "mse": 30.0}, {5, 6}),
    ("birefnet_pixel", {"structure": 5.0, "ssim": 0.0}, {10}),
    ("progressive", {"mode": "reverse"}, set()),
    *(
        ("gradient_supervision", {"objective": objective, **REPAIRED}, set())
        for objective in ("bce", "mae", "mse", "hybrid", "region_adaptive", "progressive")
    ),
    ("gradient_supervision", {"detach_target": False}, set()),
    ("gradient_supervision", {"gate": "logits", "squash": "abs", "objective": "mae"}, set()),
    ("gradient_supervision", {"gate": "gt", "squash": "tanh", "source": "mask"}, set()),
    ("gradient_supervision", {"gate": "none", "squash": "abs", "map": "sobel"}, set()),
    (
        "gradient_supervision",
        {"objective": "region_adaptive", "region_from": "soft", "source": "mask", **REPAIRED},
        set(),
    ),
    ("gradient_supervision", {"objective": "none"}, {1, 8}),
]


def try_law(name: str, number: int) -> None:
    obey(losses.build(name), number, vacuous=(name, number) in SOFT_LABEL)


def test_only_the_permitted_laws_are_broken() -> None:
    broken = {n: set(losses.spec(n).breaks) for n in losses.names() if losses.spec(n).breaks}
    assert broken == PERMITTED
    assert all(reason for n in losses.names() for reason in losses.spec(n).breaks.values())


@pytest.mark.parametrize("name", keeping(1))
def test_values_are_bounded_and_zero_iff_a_binary_truth_is_met(name: str) -> None:
    try_law(name, 1)


@pytest.mark.parametrize("name", keeping(2))
def test_ignored_pixels_neither_count_nor_learn(name: str) -> None:
    try_law(name, 2)


@pytest.mark.parametrize("name", keeping(3))
def test_a_batch_is_the_mean_of_its_images_in_any_order(name: str) -> None:
    try_law(name, 3)


@pytest.mark.parametrize("name", keeping(4))
def test_flips_transposes_and_quarter_turns_change_nothing(name: str) -> None:
    try_law(name, 4)


@pytest.mark.parametrize("name", keeping(5))
def test_gradients_point_to_the_truth(name: str) -> None:
    try_law(name, 5)


@pytest.mark.parametrize("name", keeping(6))
def test_correcting_one_pixel_never_raises_the_loss(name: str) -> None:
    try_law(name, 6)


@pytest.mark.parametrize("name", keeping(7))
def test_gradients_equal_finite_differences(name: str) -> None:
    try_law(name, 7)


@pytest.mark.parametrize("name", keeping(8))
def test_degenerate_cases_are_finite_and_false_positives_are_felt(name: str) -> None:
    try_law(name, 8)


@pytest.mark.parametrize("name", keeping(9))
def test_half_precision_equals_single_and_its_extremes_are_finite(name: str) -> None:
    try_law(name, 9)


@pytest.mark.parametrize("name", keeping(10))
def test_a_soft_target_has_its_minimum_at_p_equal_t(name: str) -> None:
    try_law(name, 10)


def _label(variant: tuple[str, dict[str, object], set[int]]) -> str:
    name, knobs, _ = variant
    return "-".join([name, *(f"{v}" for v in knobs.values())])


@pytest.mark.parametrize("variant", VARIANTS, ids=_label)
def test_knobs_keep_the_laws_but_those_they_are_documented_to_break(
    variant: tuple[str, dict[str, object], set[int]],
) -> None:
    name, knobs, broken = variant
    loss = losses.build(name, **knobs)
    for number in sorted(set(range(1, 11)) - broken):
        count = GRADCHECK_CASES // 4 if number == 7 else VARIANT_CASES
        obey(loss, number, count=count, vacuous=name == "gradient_supervision" and number < 7)


@pytest.mark.parametrize("objective", ["bce", "mae", "mse", "hybrid", "region_adaptive"])
@pytest.mark.parametrize("number", [5, 6])
def test_a_repaired_label_reaches_the_laws_about_hard_truths(objective: str, number: int) -> None:
    loss = losses.build("gradient_supervision", objective=objective, **REPAIRED)
    obey(loss, number, count=VARIANT_CASES)
