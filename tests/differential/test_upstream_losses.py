"""Equal to the published formulas, retyped here with torch alone (float64, 1e-6)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losses

SIZES = [(1, 8, 8), (3, 40, 33), (2, 7, 64)]


def batch(size: tuple[int, int, int], seed: int = 0, soft: bool = False) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    b, h, w = size
    noise = torch.rand(b, 1, h, w, generator=g, dtype=torch.float64)
    z = 3 * torch.randn(b, 1, h, w, generator=g, dtype=torch.float64)
    return z, noise if soft else (noise > 0.6).double()


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def batch_iou(p: Tensor, t: Tensor) -> Tensor:
    """BiRefNet's IoULoss: unsmoothed, summed over the batch."""
    total = torch.zeros((), dtype=p.dtype)
    for i in range(p.shape[0]):
        both = (t[i] * p[i]).sum()
        total = total + 1 - both / (t[i].sum() + p[i].sum() - both)
    return total


def window_ssim(x: Tensor, y: Tensor) -> Tensor:
    """BiRefNet's SSIMLoss: 11 x 11 Gaussian of sigma 1.5, zero padding, (1 - SSIM) / 2."""
    taps = torch.tensor([math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)], dtype=x.dtype)
    taps = taps / taps.sum()
    window = torch.outer(taps, taps).view(1, 1, 11, 11)

    def blur(v: Tensor) -> Tensor:
        return F.conv2d(v, window, padding=5)

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return 1 - (1 + score.mean()) / 2


def f3net_structure(z: Tensor, t: Tensor) -> Tensor:
    """F3Net's structure loss with the weighting that its paper means (reduction="none")."""
    w = 1 + 5 * (F.avg_pool2d(t, 31, stride=1, padding=15) - t).abs()
    bce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    wbce = (w * bce).sum((2, 3)) / w.sum((2, 3))
    p = z.sigmoid()
    inter, union = (p * t * w).sum((2, 3)), ((p + t) * w).sum((2, 3))
    return (wbce + 1 - (inter + 1) / (union - inter + 1)).mean()


def resized(z: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(z, size=like.shape[2:], mode="bilinear", align_corners=True)


def released_pixel_loss(levels: list[Tensor], t: Tensor, weights: dict[str, float]) -> Tensor:
    """BiRefNet's PixLoss: each term of sigmoid(level) times its weight, over the levels."""
    terms = {
        "bce": F.binary_cross_entropy,
        "iou": batch_iou,
        "ssim": window_ssim,
        "mae": F.l1_loss,
        "mse": F.mse_loss,
        "threshold": lambda p, _: (1 - (p**2 + (p - 1) ** 2)).mean(),
    }
    maps = [(z if z.shape == t.shape else resized(z, t)).sigmoid() for z in levels]
    return sum(w * terms[k](p, t) for p in maps for k, w in weights.items())  # type: ignore


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("soft", [False, True])
def test_pixel_terms_equal_torchs(size: tuple[int, int, int], soft: bool) -> None:
    z, t = batch(size, soft=soft)
    same(losses.bce(z, t), F.binary_cross_entropy(z.sigmoid(), t))
    same(losses.mae(z, t), F.l1_loss(z.sigmoid(), t))
    same(losses.mse(z, t), F.mse_loss(z.sigmoid(), t))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("soft", [False, True])
def test_iou_in_its_published_form_sums_to_birefnets(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = batch(size, soft=soft)
    ours = losses.build("iou", smooth=0.0, denominator="linear", empty="published")
    same(ours(z, t, reduction="sum"), batch_iou(z.sigmoid(), t))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("soft", [False, True])
def test_ssim_equals_birefnets(size: tuple[int, int, int], soft: bool) -> None:
    z, t = batch(size, soft=soft)
    same(losses.ssim(z, t), window_ssim(z.sigmoid(), t))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("soft", [False, True])
def test_structure_equals_f3nets_with_its_weights_at_work(
    size: tuple[int, int, int], soft: bool
) -> None:
    z, t = batch(size, soft=soft)
    same(losses.structure(z, t), f3net_structure(z, t))


@pytest.mark.parametrize("window", [1, 3, 31])
def test_the_boundary_weight_equals_average_pooling(window: int) -> None:
    _, t = batch((2, 40, 33), soft=True)
    pooled = F.avg_pool2d(t, window, stride=1, padding=window // 2)
    ours = losses.boundary_weight(t, window=window)
    torch.testing.assert_close(ours, 1 + 5 * (pooled - t).abs(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("task", ["DIS", "General", "Matting"])
def test_the_released_pixel_loss_is_reproduced(task: str) -> None:
    g = torch.Generator().manual_seed(1)
    _, t = batch((4, 32, 48), soft=task == "Matting")
    sizes = [(4, 6), (8, 12), (32, 48)]
    levels = [2 * torch.randn(4, 1, h, w, generator=g, dtype=torch.float64) for h, w in sizes]
    weights = losses.birefnet.RELEASED[task]
    loss = losses.build("birefnet_pixel", **weights, **losses.birefnet.AS_RELEASED)
    same(loss(levels, t), released_pixel_loss(levels, t, weights))  # type: ignore[arg-type]


def test_the_terms_released_with_weight_zero_are_reproduced() -> None:
    z, t = batch((2, 16, 16))
    weights = {"mse": 30.0, "threshold": 100.0}
    loss = losses.build("birefnet_pixel", bce=0.0, iou=0.0, ssim=0.0, **weights)
    same(loss([z], t), released_pixel_loss([z], t, weights))


def upstream_laplacian(x: Tensor) -> Tensor:
    """The operator of kornia's laplacian(x, 5): 24 in the centre, -1 around, over 48."""
    kernel = torch.ones(1, 1, 5, 5, dtype=x.dtype)
    kernel[0, 0, 2, 2] = -24
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel / 48)


def released_gradient_loss(predicted: list[Tensor], coarse: list[Tensor], image: Tensor) -> Tensor:
    """As BiRefNet's decoder makes the labels and its training loop the loss."""
    g = upstream_laplacian(image.mean(1, keepdim=True))
    total = torch.zeros((), dtype=image.dtype)
    for z, m in zip(predicted, coarse, strict=True):
        label = (g * resized(m, g)).sigmoid()
        total = total + F.binary_cross_entropy(resized(z, label).sigmoid(), label)
    return total


def test_the_released_gradient_supervision_is_reproduced_with_its_gradients() -> None:
    g = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    image, (_, t) = normal(2, 3, 32, 40), batch((2, 32, 40))
    predicted = [normal(2, 1, 32 // s, 40 // s).requires_grad_() for s in (8, 4, 2)]
    coarse = [(4 * normal(2, 1, 32 // s, 40 // s)).requires_grad_() for s in (16, 8, 4)]
    ours = losses.gradient_supervision(predicted, coarse, image, t, detach_target=False)
    theirs = released_gradient_loss(predicted, coarse, image)
    same(ours, theirs)
    leaves = [*predicted, *coarse]
    for a, b in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
