"""Mining: the k greatest values without a sort, exact, whatever is tied or empty."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import losses
from losses.mining import hardest_sum, kth_largest

Z = torch.linspace(-3, 3, 64).view(1, 1, 8, 8).double()


@settings(max_examples=200)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 200),
    levels=st.sampled_from([2, 10, 10**6]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    data=st.data(),
)
def test_the_sum_is_that_of_a_sort_whatever_is_tied(seed, n, levels, dtype, data) -> None:
    g = torch.Generator().manual_seed(seed)
    values = (torch.rand(2, n, generator=g, dtype=dtype) * levels).floor() / levels
    k = torch.tensor([data.draw(st.integers(0, n)), data.draw(st.integers(1, n))])
    ranked = values.sort(dim=1, descending=True).values
    wanted = torch.stack([row[:count].sum() for row, count in zip(ranked, k, strict=True)])
    torch.testing.assert_close(hardest_sum(values, k), wanted)
    assert kth_largest(values, k)[1, 0] == ranked[1, k[1] - 1]


def test_ties_share_the_gradient_and_their_order_is_nothing() -> None:
    values = torch.tensor([[3.0, 1.0, 1.0, 1.0, 0.0]], requires_grad=True)
    hardest_sum(values, torch.tensor([3])).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([[1.0, 2 / 3, 2 / 3, 2 / 3, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_rounding_tells_apart_is_tied(dtype: torch.dtype) -> None:
    one = torch.ones((), dtype=dtype)
    up, down = one.nextafter(2 * one), one.nextafter(0 * one)
    for middle in ([up, one, down], [down, up, one], [one, down, up]):
        values = torch.stack([3 * one, *middle, (1 - 16 * torch.finfo(dtype).eps) * one])[
            None
        ].requires_grad_()
        hardest_sum(values, torch.tensor([2])).sum().backward()
        third = one / 3
        wanted = torch.stack([one, third, third, third, 0 * one])[None]
        torch.testing.assert_close(values.grad, wanted)


@pytest.mark.parametrize(
    ("k", "slopes"),
    [(0, [0.0, 0.0, 0.0, 0.0]), (1, [0.5, 0.5, 0.0, 0.0]), (3, [1.0, 1.0, 1.0, 0.0])],
)
def test_infinite_values_are_ranked_and_give_no_nan(k: int, slopes: list[float]) -> None:
    values = torch.tensor([[math.inf, math.inf, 1.0, 0.0]], requires_grad=True)
    hardest_sum(values, torch.tensor([k])).sum().backward()
    assert values.grad.tolist() == [slopes]


def test_values_at_the_ends_of_their_range_are_ranked() -> None:
    tiny, huge = 1e-45, 3e38
    values = torch.tensor([[0.0, tiny, 1.0, huge]])
    for k, place in ((1, 3), (2, 2), (3, 1), (4, 0)):
        assert kth_largest(values, torch.tensor([k])).item() == values[0, place].item()


def test_none_of_the_greatest_is_a_sum_of_0_and_no_greatest_value() -> None:
    values, none = torch.tensor([[3.0, 1.0]]), torch.tensor([0])
    assert kth_largest(values, none).isnan()
    assert hardest_sum(values, none).item() == 0


def test_three_negatives_are_mined_for_a_positive() -> None:
    t = torch.zeros_like(Z)
    t[..., 0, 0] = t[..., 4, 4] = 1
    z = Z.clone().requires_grad_()
    losses.balanced_bce(z, t).backward()
    pushed = (z.grad > 0).sum()
    assert pushed == 6
    assert (z.grad[..., -1, -6:] > 0).all()


def test_an_image_without_positives_mines_what_it_is_told() -> None:
    nothing = torch.zeros_like(Z)
    for count in (0, 5, 1000):
        z = Z.clone().requires_grad_()
        losses.balanced_bce(z, nothing, min_negatives=count).backward()
        assert (z.grad != 0).sum() == min(count, 64)


def some_positives(*values: float) -> torch.Tensor:
    t = torch.zeros_like(Z)
    t[0, 0, 0, : len(values)] = torch.tensor(values).double()
    return t


@pytest.mark.parametrize(("ratio", "mined"), [(0.0, 0), (0.5, 0), (1.0, 1), (1.9, 1), (2.0, 2)])
def test_one_positive_mines_the_floor_of_the_ratio_and_no_fallback(
    ratio: float, mined: int
) -> None:
    z, t = Z.clone().requires_grad_(), some_positives(1.0)
    losses.balanced_bce(z, t, ratio=ratio).backward()
    assert (z.grad > 0).sum() == mined
    x = Z.sigmoid().requires_grad_()
    losses.balanced_l1(x, t, ratio=ratio).backward()
    assert (x.grad > 0).sum() == mined


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 3.0])
def test_faint_pixels_that_add_up_to_less_than_one_are_no_positive(ratio: float) -> None:
    z, t = Z.clone().requires_grad_(), some_positives(0.4, 0.5)
    losses.balanced_bce(z, t, ratio=ratio, min_negatives=7).backward()
    assert (z.grad > 0).sum() == 7


def test_soft_pixels_are_dropped_as_published_and_counted_as_meant() -> None:
    soft = torch.full_like(Z, 0.999)
    published = losses.build("balanced_bce", form="byte", min_negatives=0)
    assert published(Z, soft).item() == 0
    assert losses.balanced_bce(Z, soft).item() > 0.5
