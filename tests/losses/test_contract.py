"""Bad input is refused with what was seen, what was expected and the likely fix."""

import re
import warnings

import pytest
import torch
from torch import Tensor

import losses

Z, T = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
IMAGE = torch.zeros(2, 3, 4, 4)
# A map given with a call that does not fit the target, and what is said of it.
BAD_MAPS = [
    (T[:1], r"has shape \(1, 1, 4, 4\), target has \(2, 1, 4, 4\).*make it from this target"),
    (T[:, 0], r"has shape \(2, 4, 4\).*unsqueeze"),
    (T.byte(), "has dtype torch.uint8"),
    (T.to("meta"), "is on meta, target on cpu"),
    (3, "is a int, expected a tensor of the target's shape"),
]


@pytest.mark.parametrize(
    ("logits", "target", "mask", "words"),
    [
        (torch.zeros(2, 4, 4), T, None, r"logits has shape \(2, 4, 4\).*unsqueeze"),
        (torch.zeros(2, 3, 4, 4), T, None, r"logits has shape \(2, 3, 4, 4\)"),
        (torch.zeros(2, 1, 2, 4), T, None, "interpolate the logits"),
        (torch.zeros(3, 1, 4, 4), T, None, "logits has 3 images, target has 2"),
        (torch.zeros(0, 1, 4, 4), torch.zeros(0, 1, 4, 4), None, "no pixel"),
        (Z.int(), T, None, "logits has dtype torch.int32"),
        (Z, T.byte(), None, r"target has dtype torch.uint8.*255"),
        (Z, T, torch.ones(2, 1, 4, 5), r"mask has shape \(2, 1, 4, 5\)"),
        (Z, None, None, "target is a NoneType"),
    ],
)
def test_bad_shapes_and_dtypes_are_named(
    logits: Tensor, target: Tensor, mask: Tensor | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        losses.bce(logits, target, mask=mask)


def test_an_unknown_reduction_is_an_error_that_offers_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'mean'"):
        losses.bce(Z, T, reduction="maen")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (T + 255, r"target has 32 values outside \[0, 1\]; divide by 255"),
        (T - 0.1, "target has 32 values outside"),
        (T.where(torch.arange(4) > 0, float("nan")), "target has 8 NaN and 0 infinite"),
    ],
)
def test_check_batch_refuses_targets_that_are_none(target: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        losses.check_batch(Z, target)


def test_check_batch_refuses_soft_masks_and_logits_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="mask has 32 values other than 0 and 1"):
        losses.check_batch(Z, T, torch.full_like(T, 0.5))
    with pytest.raises(ValueError, match=r"logits\[1\] has 0 NaN and 32 infinite"):
        losses.check_batch([Z, Z + float("inf")], T)


def test_check_batch_forgives_what_is_ignored() -> None:
    junk = torch.full_like(T, float("nan"))
    mask = torch.zeros_like(T)
    losses.check_batch(junk, junk, mask)


def test_check_batch_warns_of_logits_that_look_like_probabilities() -> None:
    p = torch.linspace(0.1, 0.9, 32).view(2, 1, 4, 4)
    with pytest.warns(UserWarning, match="look like probabilities"):
        losses.check_batch(p, T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.check_batch(torch.logit(p), T)


def test_several_levels_that_look_like_probabilities_are_one_warning() -> None:
    p = torch.linspace(0.1, 0.9, 32).view(2, 1, 4, 4)
    with pytest.warns(UserWarning, match=r"logits\[0\], logits\[2\] lie in \[0.1, 0.9\]") as seen:
        losses.check_batch([p, torch.logit(p), p], T)
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_check_batch_refuses_no_level_and_a_map_of_another_size() -> None:
    with pytest.raises(ValueError, match="logits is empty, expected a list"):
        losses.check_batch([], T)
    with pytest.raises(ValueError, match=r"logits has shape \(2, 1, 2, 2\).*interpolate"):
        losses.check_batch(Z[..., :2, :2], T)
    losses.check_batch([Z[..., :2, :2], Z], T)


@pytest.mark.parametrize(("given", "words"), BAD_MAPS)
def test_maps_given_with_a_call_fit_the_target(given: Tensor, words: str) -> None:
    for loss in (losses.structure, losses.unet_bce, losses.weighted_bce, losses.weighted_iou):
        with pytest.raises(ValueError, match=f"weight {words}"):
            loss(Z, T, weight=given)
    for loss in (losses.region_adaptive, losses.balanced_l1):
        with pytest.raises(ValueError, match=f"region {words}"):
            loss(Z, T, region=given)


@pytest.mark.parametrize("size", [(1, 1, 4, 4), (2, 1, 4, 1), (2, 1, 8, 8)])
def test_dbs_threshold_has_the_shape_of_its_logits(size: tuple[int, ...]) -> None:
    x = torch.full(size, 0.5)
    words = f"threshold has shape {size}, logits has (2, 1, 4, 4): expected equal; are both of"
    with pytest.raises(ValueError, match=re.escape(words)):
        losses.db(Z, x, T, x, torch.ones_like(x))
    with pytest.raises(ValueError, match="threshold is on meta, logits on cpu"):
        losses.db(Z, Z.to("meta"), T, Z.to("meta"), Z.to("meta"))


def test_a_map_given_with_a_call_may_be_bool() -> None:
    half = torch.arange(4).expand_as(T) < 2
    z = torch.linspace(-1, 1, 32).view_as(T)
    for name in ("structure", "unet_bce"):
        same = losses.build(name)(z, T, weight=half.float())
        torch.testing.assert_close(losses.build(name)(z, T, weight=half), same)
    for name in ("region_adaptive", "balanced_l1"):
        same = losses.build(name)(z, T, region=half.float())
        torch.testing.assert_close(losses.build(name)(z, T, region=half), same)


def test_a_weight_that_must_be_given_is_none_of_none() -> None:
    for loss in (losses.weighted_bce, losses.weighted_iou):
        with pytest.raises(ValueError, match="weight is a NoneType"):
            loss(Z, T, weight=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smooth=-1: expected a number >= 0"):
        losses.weighted_iou(Z, T, weight=T, smooth=-1)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "image is a NoneType"),
        (IMAGE.byte(), r"image has dtype torch.uint8.*\.float\(\) / 255, then normalise"),
        (T, r"image has shape \(2, 1, 4, 4\), expected \(B,3,H,W\); expand"),
        (IMAGE[0], r"image has shape \(3, 4, 4\).*unsqueeze\(0\)"),
        (IMAGE[:1], "expected .B,3,H,W. of the same images"),
        (IMAGE[..., :2], "expected .B,3,H,W. of the same images and size"),
    ],
)
def test_an_image_is_floating_of_three_channels_and_the_targets_size(
    image: Tensor, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        losses.gradient_labels([Z], image, T)
    for objective in ("bce", "none"):
        with pytest.raises(ValueError, match=words):
            losses.gradient_supervision([Z], [Z], image, T, objective=objective)  # type: ignore


HEADS, LABEL = [torch.zeros(2, 3), torch.zeros(2, 5)], torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("heads", "label", "words"),
    [
        (HEADS, [0, 1], r"label is a list, expected a tensor \(B,\); torch.tensor"),
        ([[1.0, 2.0]], LABEL, r"class_logits\[0\] is a list, expected a tensor \(B, K\)"),
        (HEADS[0], LABEL, "class_logits is a Tensor, expected a list"),
        ([], LABEL, r"class_logits has shapes \[\]"),
        (HEADS, LABEL[:1], r"label \(1,\): expected \(B, K\) and \(B,\)"),
        (HEADS, LABEL[0], r"label \(\): expected"),
        (HEADS, LABEL.float(), r"torch.float32, expected class numbers; label.long\(\)"),
        (HEADS, LABEL.int(), "torch.int32, expected class numbers"),
        (HEADS, LABEL + 1, r"label has 1 values outside 0\.\.2, 3 the first"),
        (HEADS, LABEL - 1, r"label has 1 values outside 0\.\.2, -1 the first"),
    ],
)
def test_the_class_loss_names_what_is_no_class(heads, label, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        losses.class_ce(heads, label)


def test_an_image_of_no_class_costs_nothing() -> None:
    values = losses.class_ce(HEADS, torch.tensor([-100, 1]), reduction="none")
    torch.testing.assert_close(values, torch.tensor([0.0, torch.tensor(15.0).log().item()]))


def test_a_contour_as_published_wants_three_pixels_in_the_sum_too() -> None:
    z, t = Z[..., :2, :2], T[..., :2, :2]
    weights = {"bce": 0.0, "iou": 0.0, "ssim": 0.0, "contour": 5.0}
    for loss, x in (
        (losses.build("contour", as_published=True), z),
        (losses.build("birefnet_pixel", **weights, terms="as_published"), [z]),
    ):
        with pytest.raises(ValueError, match=r"\(2, 1, 2, 2\): contour as published wants at"):
            loss(x, t)


def test_a_gradient_map_wants_a_floating_image_and_a_mask_of_its_size() -> None:
    for mask in (T[:1], T[..., :2], T[:, 0]):
        with pytest.raises(ValueError, match="mask has shape"):
            losses.gradient_map(IMAGE, mask=mask)
    for image, words in ((IMAGE.byte(), r"uint8.*/ 255"), (None, "image is a NoneType")):
        with pytest.raises(ValueError, match=words):
            losses.gradient_map(image)  # type: ignore[arg-type]
    assert losses.gradient_map(T, mask=T).shape == T.shape


@pytest.mark.parametrize("gamma", ["a", -1.0, float("nan"), float("inf"), None, torch.ones(1)])
def test_the_gamma_of_the_boundary_weight_is_a_number_of_at_least_0(gamma: float) -> None:
    with pytest.raises(ValueError, match=r"gamma=.*expected a number >= 0"):
        losses.boundary_weight(T, gamma=gamma)


def test_float64_stays_and_everything_else_is_float32() -> None:
    for dtype, out in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        for name in losses.names("logits"):
            assert losses.build(name)(Z.to(dtype), T, progress=0.5).dtype == out


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gradient_of_dbs_threshold_in_half_is_that_of_single_precision(
    dtype: torch.dtype,
) -> None:
    case = losses.laws.make_case("db", 2, size=(4, 16, 16), dtype=dtype).leaves()
    wide = case.to(torch.float32).leaves()
    for each in (case, wide):
        losses.build("db")(*each.inputs(), reduction="sum").backward()
    (threshold,), (single,) = case.beside, wide.beside
    assert torch.equal(threshold.grad, single.grad.to(dtype))


def test_an_image_without_a_valid_pixel_counts_as_zero_in_the_mean() -> None:
    mask = torch.ones_like(T)
    mask[0] = 0
    whole = losses.bce(Z, T, reduction="none")
    assert losses.bce(Z, T, mask=mask).item() == pytest.approx(whole[1].item() / 2)


def test_a_mask_of_ones_is_no_mask() -> None:
    g = torch.Generator().manual_seed(0)
    z, t = torch.randn(2, 1, 9, 9, generator=g), torch.rand(2, 1, 9, 9, generator=g)
    for name in losses.names("logits"):
        loss = losses.build(name)
        masked = loss(z, t, mask=torch.ones_like(t), progress=0.75)
        torch.testing.assert_close(masked, loss(z, t, progress=0.75))


def test_the_gradient_of_the_probability_survives_where_it_rounds_to_one() -> None:
    z = torch.tensor([-20.0, 0.0, 20.0], requires_grad=True)
    losses.probability(z).sum().backward()
    q = torch.sigmoid(torch.tensor(-20.0, dtype=torch.float64))
    expected = torch.stack([q * (1 - q), torch.tensor(0.25).double(), q * (1 - q)]).float()
    torch.testing.assert_close(z.grad, expected, rtol=1e-6, atol=0)
