"""Every registered loss is compared with a published formula or with a number worked by hand."""

from pathlib import Path

import pytest

import losses

# Name of the loss -> the test that compares it.
WHERE = {
    "balanced_bce": "test_text.py::test_balanced_bce_over_the_batch_equals_mhliaos",
    "balanced_l1": "test_text.py::test_balanced_l1_of_each_image_equals_mhliaos",
    "bce": "test_birefnet.py::test_a_term_equals_birefnets",
    "birefnet_pixel": "test_birefnet.py::test_the_released_pixel_loss_is_reproduced",
    "class_balanced_bce": "test_general.py::test_class_balanced_bce_equals_heds",
    "contour": "test_birefnet.py::test_a_term_equals_birefnets",
    "db": "test_text.py::test_db_in_a_published_flavour_equals_its_code",
    "dice": "test_general.py::test_the_product_form_of_an_overlap_equals_the_published_one",
    "dice_bce": "test_general.py::test_dice_bce_is_the_sum_of_both",
    "focal": "test_general.py::test_focal_equals_torchvisions",
    "gradient_supervision": "test_birefnet.py::"
    "test_the_released_gradient_supervision_is_reproduced_with_its_gradients",
    "hybrid": "test_goldens.py::test_the_value_is_the_one_worked_out_by_hand",
    "iou": "test_birefnet.py::test_iou_in_its_published_form_sums_to_birefnets",
    "lovasz_hinge": "test_general.py::test_the_lovasz_hinge_equals_bermans",
    "mae": "test_birefnet.py::test_a_term_equals_birefnets",
    "masked_l1": "test_text.py::test_masked_l1_equals_the_published_ones",
    "mse": "test_birefnet.py::test_a_term_equals_birefnets",
    "patch_iou": "test_birefnet.py::test_patch_iou_as_published_sees_the_first_patch_alone",
    "progressive": "test_goldens.py::test_progressive_adds_its_share_of_mae",
    "region_adaptive": "test_goldens.py::"
    "test_region_adaptive_has_bce_in_the_region_and_mae_outside",
    "ssim": "test_birefnet.py::test_a_term_equals_birefnets",
    "structure": "test_f3net.py::test_structure_equals_f3nets_with_its_weights_at_work",
    "tversky": "test_general.py::test_tversky_weighs_false_positives_by_alpha",
    "unet_bce": "test_general.py::test_unet_bce_is_the_mean_by_those_weights",
}


def test_every_registered_loss_is_in_the_table() -> None:
    assert set(WHERE) == set(losses.names())


@pytest.mark.parametrize("name", WHERE)
def test_the_table_points_to_a_test_that_names_the_loss(name: str) -> None:
    file, test = WHERE[name].split("::")
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    assert f"def {test}(" in text
    assert f'"{name}"' in text or f"losses.{name}(" in text
