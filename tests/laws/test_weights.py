"""Law 14 for losses that divide by the sum of their weights: the scale of the weights cancels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import losses
from losses.laws import Case, make_case

CASES = {"bce": losses.weighted_bce, "iou": losses.weighted_iou}


def weighted(name: str, case: Case, weight: Tensor) -> Tensor:
    fn = CASES[name]
    smooth = {"smooth": 0.0} if name == "iou" else {}  # a constant has a scale of its own
    return fn(*case.inputs(), weight=weight, mask=case.mask, reduction="none", **smooth)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**6),
    mask=st.sampled_from(["none", "some", "one_empty"]),
    scale=st.floats(1e-3, 1e3),
)
def test_the_scale_of_the_weights_cancels(name: str, seed: int, mask: str, scale: float) -> None:
    case = make_case("logits", seed, size=(2, 5, 8), target="soft", mask=mask)
    noise = torch.Generator().manual_seed(seed)
    weight = 0.1 + torch.rand(case.target.shape, dtype=torch.float64, generator=noise)
    torch.testing.assert_close(
        weighted(name, case, scale * weight), weighted(name, case, weight), rtol=1e-9, atol=1e-12
    )


def test_equal_weights_are_none() -> None:
    case = make_case("logits", 1, target="soft", mask="some")
    found = weighted("bce", case, torch.full_like(case.target, 7.0))
    torch.testing.assert_close(found, losses.bce(*case.inputs(), mask=case.mask, reduction="none"))
