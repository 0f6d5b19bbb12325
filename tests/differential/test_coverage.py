"""Every loss that ships is compared with a published formula or with a number worked by hand."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from torch import Tensor

import losses

# Files of losses/ that ship: a loss in another one is a newcomer, and owes no line below.
SHIPPED = {
    "balanced",
    "birefnet",
    "bound",
    "boundary",
    "checks",
    "contour",
    "contract",
    "db",
    "declared",
    "edges",
    "errata",
    "extremes",
    "gradient",
    "imbalance",
    "knobs",
    "laws",
    "lovasz",
    "maps",
    "mining",
    "overlap",
    "patches",
    "pixel",
    "registry",
    "released",
    "schedules",
    "slopes",
    "ssim",
    "structure",
    "sums",
    "terms",
    "unet",
    "views",
}
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


@cache
def module(file: str) -> ast.Module:
    return ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))


def found_at(address: str) -> tuple[ast.Module, ast.FunctionDef]:
    """The test ``file::name``, and the file it is in."""
    file, test = address.split("::")
    found = [n for n in module(file).body if isinstance(n, ast.FunctionDef) and n.name == test]
    assert len(found) == 1, f"{file} has {len(found)} functions {test}"
    return module(file), found[0]


def called(test: ast.FunctionDef) -> Iterator[str]:
    """Losses called as ``losses.name(...)`` or ``losses.build("name", ...)``."""
    for node in ast.walk(test):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "losses":
            yield node.func.attr
            if node.func.attr == "build" and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def drawn(test: ast.FunctionDef, file: ast.Module) -> Iterator[str]:
    """Strings that ``parametrize`` hands to a test that builds what it is handed."""
    arguments = {a.arg for a in test.args.args}
    if "name" not in arguments or "losses.build(name" not in ast.unparse(test):
        return
    names = {n.id for d in test.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
    tables: list[ast.AST] = [*test.decorator_list]
    for node in file.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id in names for t in targets):
            tables.append(node)
    for node in (n for table in tables for n in ast.walk(table)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def compares(address: str, name: str) -> bool:
    file, test = found_at(address)
    return name in {*called(test), *drawn(test, file)}


def unlisted() -> set[str]:
    """Losses of the files that ship that the table has not."""
    shipped = {f"losses.{m}" for m in SHIPPED}
    others = set(losses.names()) - set(WHERE)
    return {n for n in others if losses.spec(n).fn.__module__ in shipped}


def test_every_loss_that_ships_is_in_the_table() -> None:
    assert set(WHERE) <= set(losses.names())
    assert not unlisted()


@pytest.mark.parametrize(("file", "owed"), [("newcomer", False), ("pixel", True)])
def test_a_newcomer_owes_no_line_where_its_file_does_not_ship(file: str, owed: bool) -> None:
    def fn(
        logits: Tensor,
        target: Tensor,
        *,
        mask: Tensor | None = None,
        reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> Tensor:
        return losses.bce(logits, target, mask=mask, reduction=reduction)

    fn.__module__ = f"losses.{file}"
    losses.register("a_newcomer")(fn)
    try:
        assert unlisted() == ({"a_newcomer"} if owed else set())
    finally:
        losses.unregister("a_newcomer")


def test_the_files_that_ship_are_there() -> None:
    there = {p.stem for p in Path(losses.__file__).parent.iterdir() if not p.stem.startswith("_")}
    assert there >= SHIPPED
    assert {losses.spec(n).fn.__module__.split(".")[1] for n in WHERE} <= SHIPPED


@pytest.mark.parametrize("name", WHERE)
def test_the_test_that_the_table_points_to_calls_the_loss(name: str) -> None:
    assert compares(WHERE[name], name)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("dice", WHERE["focal"]),  # named in the file, not in the test
        ("threshold", WHERE["db"]),  # named in the test, not called
        ("iou", WHERE["bce"]),
        ("masked_l1", WHERE["balanced_l1"]),
    ],
)
def test_another_losses_test_does_not_count(name: str, address: str) -> None:
    assert not compares(address, name)
