"""Gradient maps, labels and objectives: what each knob does."""

import kornia
import pytest
import torch
from torch import Tensor

import losses
from losses.edges import GATES, MAPS, SOURCES, SQUASHES
from losses.extremes import dilate, image_quantile

G = torch.Generator().manual_seed(0)
IMAGE = torch.randn(2, 3, 24, 32, generator=G, dtype=torch.float64)
TARGET = torch.zeros(2, 1, 24, 32, dtype=torch.float64)
TARGET[0, :, 6:14, 8:20] = 1
TARGET[1, :, 10:12, 3:5] = 1
COARSE = [
    3 * torch.randn(2, 1, 24 // s, 32 // s, generator=G, dtype=torch.float64) for s in (8, 4, 2)
]
PREDICTED = [
    torch.randn(2, 1, 24 // s, 32 // s, generator=G, dtype=torch.float64) for s in (4, 2, 2)
]


def test_the_laplacian_is_kornias_with_kernel_5() -> None:
    expected = kornia.filters.laplacian(IMAGE.mean(1, keepdim=True), kernel_size=5)
    torch.testing.assert_close(losses.gradient_map(IMAGE), expected, rtol=0, atol=1e-12)


def test_the_sobel_magnitude_is_kornias() -> None:
    slopes = kornia.filters.spatial_gradient(IMAGE.mean(1, keepdim=True))
    expected = slopes.square().sum(2).sqrt()
    ours = losses.gradient_map(IMAGE, kind="sobel")
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_image_has_no_gradient_at_all(kind: str, dtype: torch.dtype) -> None:
    flat = torch.tensor([0.1, 1.7, -2.3], dtype=dtype).view(1, 3, 1, 1).expand(2, 3, 20, 20)
    assert not losses.gradient_map(flat, kind=kind).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", MAPS)
def test_ignored_pixels_are_left_out_of_the_map(kind: str) -> None:
    mask = torch.ones_like(TARGET, dtype=torch.bool)
    mask[..., 16:] = False
    shifted = torch.where(mask, IMAGE, 1e6)
    maps = [losses.gradient_map(x, kind=kind, mask=mask) for x in (IMAGE, shifted)]  # type: ignore[arg-type]
    assert torch.equal(*maps)
    assert not maps[0][..., 16:].any()


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("squash", SQUASHES)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", MAPS)
def test_labels_lie_in_0_1_one_for_each_stage(
    gate: str, squash: str, source: str, kind: str
) -> None:
    labels = losses.gradient_labels(
        COARSE,
        IMAGE,
        TARGET,
        map=kind,  # type: ignore[arg-type]
        source=source,  # type: ignore[arg-type]
        gate=gate,  # type: ignore[arg-type]
        squash=squash,  # type: ignore[arg-type]
    )
    assert len(labels) == 3
    for label in labels:
        assert label.shape == TARGET.shape
        assert label.min() >= 0
        assert label.max() <= 1


@pytest.mark.parametrize("gate", GATES)
def test_no_gradient_is_label_half_by_sigmoid_and_label_0_by_the_others(gate: str) -> None:
    flat = torch.full_like(IMAGE, 0.7)
    for squash, value in (("sigmoid", 0.5), ("abs", 0.0), ("tanh", 0.0)):
        labels = losses.gradient_labels(COARSE, flat, TARGET, gate=gate, squash=squash)  # type: ignore
        assert all(bool((label == value).all()) for label in labels)


def test_the_abs_label_is_the_map_over_its_99_percent_quantile() -> None:
    g = losses.gradient_map(IMAGE).abs()
    bar = g.flatten(1).sort(1).values[:, 760].view(-1, 1, 1, 1)  # ceil(.99 * 768) = 761st
    label = losses.gradient_labels(COARSE, IMAGE, TARGET, gate="none", squash="abs")[0]
    torch.testing.assert_close(label, (g / bar).clamp(max=1))


def test_an_image_flat_in_more_than_99_percent_is_scaled_by_its_maximum() -> None:
    t = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    t[0, 0, 30, 30] = 1
    label = losses.gradient_labels(
        [t], t.repeat(1, 3, 1, 1), t, source="mask", gate="none", squash="abs"
    )[0]
    assert label.max() == 1
    assert label[0, 0, 29, 29].item() == pytest.approx(1 / 24)


def test_the_gt_gate_keeps_the_dilated_object_and_the_pred_gate_the_predicted_one() -> None:
    near = dilate(TARGET, 0.05)
    sure = [torch.where(TARGET > 0, 40.0, -40.0).double()] * 3
    for gate in ("gt", "pred"):
        label = losses.gradient_labels(
            sure,
            IMAGE,
            TARGET,
            gate=gate,  # type: ignore[arg-type]
            dilation=0.05,
            squash="abs",
        )[0]
        assert label[near == 0].max() < 1e-12
        assert label[near == 1].max() > 0.5


def test_dilation_is_a_square_of_a_share_of_the_diagonal() -> None:
    dot = torch.zeros(1, 1, 30, 40)
    dot[0, 0, 15, 20] = 1
    assert dilate(dot, 0.02).sum() == 9  # 2 % of 50 px is radius 1
    assert dilate(dot, 0.1).sum() == 121
    assert torch.equal(dilate(dot, 0.0), dot)


def test_a_masked_quantile_is_that_of_the_valid_pixels() -> None:
    x = torch.arange(100.0).view(1, 1, 10, 10)
    mask = x >= 50
    assert image_quantile(x, 0.9, mask).item() == image_quantile(x[..., 5:, :], 0.9, None).item()
    assert image_quantile(x, 0.9, torch.zeros_like(mask)).item() == 0
    everywhere = torch.ones_like(mask)
    for q in (0.0, 0.5, 0.9, 0.99, 1.0):
        assert image_quantile(x, q, everywhere).item() == image_quantile(x, q, None).item()


def test_a_detached_label_sends_nothing_to_the_mask_head_and_a_released_one_does() -> None:
    for detach, moved in ((True, False), (False, True)):
        coarse = [c.clone().requires_grad_() for c in COARSE]
        predicted = [p.clone().requires_grad_() for p in PREDICTED]
        losses.gradient_supervision(
            predicted, coarse, IMAGE, TARGET, detach_target=detach
        ).backward()
        assert all(p.grad is not None and p.grad.any() for p in predicted)
        assert all((c.grad is not None and bool(c.grad.any())) == moved for c in coarse)


def test_the_released_gradient_into_the_mask_head_is_exact() -> None:
    coarse = [c[:1, :, :2, :2].clone().requires_grad_() for c in COARSE]
    predicted = [p[:1, :, :3, :3] for p in PREDICTED]
    image, target = IMAGE[:1, :, :5, :5], TARGET[:1, :, :5, :5]
    assert torch.autograd.gradcheck(
        lambda *c: losses.gradient_supervision(
            predicted, list(c), image, target, detach_target=False
        ),
        coarse,
    )


def test_none_is_zero_with_a_grad_fn_whatever_the_logits_hold() -> None:
    junk = [torch.full_like(p, float("inf")).requires_grad_() for p in PREDICTED]
    value = losses.gradient_supervision(junk, COARSE, IMAGE, TARGET, objective="none")
    value.backward()
    assert value.item() == 0
    assert all(p.grad is not None and bool((p.grad == 0).all()) for p in junk)


def test_excess_bce_is_bce_minus_the_labels_entropy_and_0_at_the_label() -> None:
    label = losses.gradient_labels(COARSE, IMAGE, TARGET)[2]
    z = 2 * IMAGE[:, :1]
    entropy = losses.bce(torch.logit(label), label)
    expected = losses.bce(z, label) - entropy
    torch.testing.assert_close(losses.excess_bce(z, label), expected)
    assert losses.excess_bce(torch.logit(label), label).abs().item() < 1e-12
    hard = torch.where(IMAGE[:, :1] > 0, 1.0, 0.0).double()
    torch.testing.assert_close(losses.excess_bce(z, hard), losses.bce(z, hard))


@pytest.mark.parametrize(("lam", "objective"), [(1.0, "bce"), (0.0, "mae")])
def test_hybrid_has_bce_and_mae_at_its_ends(lam: float, objective: str) -> None:
    args = (PREDICTED, COARSE, IMAGE, TARGET)
    ours = losses.gradient_supervision(*args, objective="hybrid", lam=lam)
    expected = losses.build("gradient_supervision", objective=objective)(*args)
    torch.testing.assert_close(ours, expected)


def test_the_region_is_the_strong_part_of_the_map_and_never_a_flat_one() -> None:
    def value(image: Tensor = IMAGE, **knobs: object) -> Tensor:
        loss = losses.build("gradient_supervision", **{"gate": "none", "squash": "abs", **knobs})
        return loss(PREDICTED, COARSE, image, TARGET)

    regional = {"objective": "region_adaptive"}
    torch.testing.assert_close(value(**regional, region_level=0.0), value(objective="bce"))
    everything = value(**regional, region_from="threshold", region_level=1e6)
    torch.testing.assert_close(everything, value(objective="mae"))
    flat = torch.ones_like(IMAGE)
    torch.testing.assert_close(value(flat, **regional), value(flat, objective="mae"))


def test_scale_multiplies_the_value() -> None:
    args = (PREDICTED, COARSE, IMAGE, TARGET)
    torch.testing.assert_close(
        losses.gradient_supervision(*args, scale=7.0), 7 * losses.gradient_supervision(*args)
    )


@pytest.mark.parametrize(
    ("predicted", "coarse", "image", "words"),
    [
        ([], COARSE, IMAGE, "outward reference off"),
        (PREDICTED, COARSE[:2], IMAGE, "3 stages, coarse_logits 2"),
        (PREDICTED[0], COARSE, IMAGE, "gradient_logits is one tensor"),
        (PREDICTED, COARSE, IMAGE[..., :8], "image has shape"),
        (PREDICTED, [c[:1] for c in COARSE], IMAGE, r"coarse_logits\[0\] has 1 images"),
        ([p.int() for p in PREDICTED], COARSE, IMAGE, r"gradient_logits\[0\] has dtype"),
    ],
)
def test_bad_stages_are_refused(
    predicted: list[Tensor], coarse: list[Tensor], image: Tensor, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        losses.gradient_supervision(predicted, coarse, image, TARGET)


def test_bad_knobs_of_the_plain_function_are_refused_too() -> None:
    args = (PREDICTED, COARSE, IMAGE, TARGET)
    with pytest.raises(ValueError, match="did you mean 'bce'"):
        losses.gradient_supervision(*args, objective="bec")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lam"):
        losses.gradient_supervision(*args, objective="hybrid", lam=2.0)
    with pytest.raises(ValueError, match="dilation"):
        losses.gradient_supervision(*args, dilation=-1.0)
    with pytest.raises(ValueError, match="a quantile in"):
        losses.gradient_supervision(*args, objective="region_adaptive", region_level=1.5)
    with pytest.raises(ValueError, match="dilation=-1"):
        losses.gradient_labels(COARSE, IMAGE, TARGET, dilation=-1.0)
    with pytest.raises(ValueError, match="'smooth' of loss 'dice' is -1"):
        losses.dice(TARGET, TARGET, smooth=-1.0)
    with pytest.raises(ValueError, match="pass progress="):
        losses.gradient_supervision(*args, objective="progressive")
