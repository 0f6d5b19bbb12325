"""Every registered loss, by name, on each law it declares."""

import pytest

import losses
from losses.laws import BY_NUMBER, check

from .strategies import keeping, obey, reached

# losses.md section 4: any other break is a defect.
PERMITTED = {
    "balanced_bce": {10},
    "birefnet_pixel": {5, 6},
    "class_balanced_bce": {10},
    "contour": {1, 5, 6, 10},
    "db": {10},
    "focal": {10},
    "lovasz_hinge": {10},
    "patch_iou": {4},
    "ssim": {5, 6},
    "structure": {10},
    "unet_bce": {16},
}
# What unet_bce breaks is that it compiles: its values are the same each time.
IN_EAGER = [(n, k) for n in PERMITTED for k in sorted(PERMITTED[n]) if n != "unet_bce"]


def test_only_the_permitted_laws_are_broken_and_each_for_a_reason() -> None:
    broken = {n: set(losses.spec(n).breaks) for n in losses.names() if losses.spec(n).breaks}
    assert broken == PERMITTED
    assert all(reason for n in losses.names() for reason in losses.spec(n).breaks.values())


@pytest.mark.parametrize(("name", "number"), IN_EAGER)
def test_a_declared_break_is_one(name: str, number: int) -> None:
    assert [v.law for v in check(losses.build(name), laws=[number], cases=60)] == [number]


@pytest.mark.parametrize("name", keeping(1))
def test_values_are_bounded_and_zero_iff_a_binary_truth_is_met(name: str) -> None:
    obey(losses.build(name), 1)


@pytest.mark.parametrize("name", keeping(2))
def test_ignored_pixels_neither_count_nor_learn(name: str) -> None:
    obey(losses.build(name), 2)


@pytest.mark.parametrize("name", keeping(3))
def test_a_batch_is_the_mean_of_its_images_in_any_order(name: str) -> None:
    obey(losses.build(name), 3)


@pytest.mark.parametrize("name", keeping(4))
def test_flips_transposes_and_quarter_turns_change_nothing(name: str) -> None:
    obey(losses.build(name), 4)


@pytest.mark.parametrize("name", keeping(5))
def test_gradients_point_to_the_truth_and_move_no_label(name: str) -> None:
    obey(losses.build(name), 5)


@pytest.mark.parametrize("name", keeping(6))
def test_correcting_one_pixel_never_raises_the_loss(name: str) -> None:
    obey(losses.build(name), 6)


@pytest.mark.parametrize("name", keeping(7))
def test_gradients_equal_finite_differences(name: str) -> None:
    obey(losses.build(name), 7)


@pytest.mark.parametrize("name", keeping(8))
def test_degenerate_cases_are_finite_and_clear_mistakes_are_felt(name: str) -> None:
    obey(losses.build(name), 8)


@pytest.mark.parametrize("name", keeping(9))
def test_half_precision_equals_single_and_its_extremes_are_finite(name: str) -> None:
    obey(losses.build(name), 9)


@pytest.mark.parametrize("name", keeping(10))
def test_a_soft_target_has_its_minimum_at_p_equal_t(name: str) -> None:
    obey(losses.build(name), 10)


@pytest.mark.parametrize("name", [n for n in keeping(11) if losses.spec(n).limits])
def test_limit_cases_equal_the_losses_they_claim_to_be(name: str) -> None:
    obey(losses.build(name), 11)


@pytest.mark.parametrize("name", keeping(11))
def test_no_knob_is_without_effect(name: str) -> None:
    silent = [v for v in check(losses.build(name), laws=[11]) if v.case is None]
    assert silent == []


@pytest.mark.parametrize("name", keeping(12))
def test_only_the_hardest_negatives_learn_and_ties_share(name: str) -> None:
    obey(losses.build(name), 12)


@pytest.mark.parametrize("name", keeping(13))
def test_a_loss_that_claims_it_is_convex_in_the_logits(name: str) -> None:
    obey(losses.build(name), 13)


@pytest.mark.parametrize("name", keeping(14))
def test_doubling_every_pixel_leaves_a_mean_over_pixels(name: str) -> None:
    obey(losses.build(name), 14)


@pytest.mark.parametrize("name", keeping(15))
def test_a_scheduled_loss_is_a_function_of_progress_without_a_jump(name: str) -> None:
    obey(losses.build(name), 15)


@pytest.mark.parametrize("name", keeping(16))
def test_repetition_is_exact_and_inputs_are_untouched(name: str) -> None:
    obey(losses.build(name), 16)


@pytest.mark.parametrize("objective", ["bce", "mae", "mse", "hybrid", "region_adaptive"])
@pytest.mark.parametrize("number", [1, 5, 6])
def test_a_repaired_label_reaches_the_laws_about_hard_truths(objective: str, number: int) -> None:
    loss = losses.build("gradient_supervision", objective=objective, gate="pred", squash="abs")
    assert reached(loss, BY_NUMBER[number], 20) >= 2
