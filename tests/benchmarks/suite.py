"""What is measured: subjects on one batch, and the ratios between them that are wanted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import losses

from . import references
from .inputs import Inputs, Size, blobs, leaf, levels, logits, make

Loss = Callable[..., Tensor]
COMPILED = ", compiled"

__all__ = ["BENCHMARKS", "Benchmark", "Ratio", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A loss as a function of the benchmark's inputs; compiled in one graph if it is ours."""

    name: str
    loss: Loss
    compiled: bool = False
    ours: bool = True

    def ready(self) -> Loss:
        """The function to call."""
        return torch.compile(self.loss, fullgraph=self.ours) if self.compiled else self.loss


@dataclass(frozen=True)
class Ratio:
    """A ratio of two medians: how often faster than another, or its cost in another's time."""

    subject: str
    against: str
    kind: Literal["faster", "cost"] = "faster"
    wanted: float | None = None

    def of(self, subject: float, against: float) -> float:
        """Ratio of two times."""
        return against / subject if self.kind == "faster" else subject / against

    def met(self, found: float) -> bool | None:
        """Say whether the target is met; None where there is none."""
        if self.wanted is None:
            return None
        return found >= self.wanted if self.kind == "faster" else found <= self.wanted


@dataclass(frozen=True)
class Benchmark:
    """Subjects measured on the same batch.

    ``traffic``: bytes a pixel that must be moved. ``extra``: how many inputs at the end are no
    prediction and no label, so that bytes are not counted as a multiple of them too.
    """

    name: str
    title: str
    size: Size
    inputs: Callable[[Size], Inputs]
    subjects: tuple[Subject, ...]
    ratios: tuple[Ratio, ...]
    traffic: float | None = None
    extra: int = 0

    def shrunk(self) -> "Benchmark":
        """The same on images so small that it only shows whether it runs."""
        return replace(self, size=replace(self.size, batch=2, side=64))


def _pair(name: str, loss: Loss, *, ours: bool = True) -> tuple[Subject, Subject]:
    """One loss as it is and compiled."""
    return Subject(name, loss, ours=ours), Subject(name + COMPILED, loss, compiled=True, ours=ours)


def _plain_bce(z: Tensor, t: Tensor, *_: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, t)


def _costs(subject: str, wanted: float) -> tuple[Ratio, Ratio]:
    """The cost in plain BCE, against the compiled one (the stricter) and the eager one."""
    return Ratio(subject, "bce" + COMPILED, "cost", wanted), Ratio(subject, "bce", "cost", wanted)


def _pixels(size: Size) -> Inputs:
    return make("logits", size)


def _with_map(size: Size) -> Inputs:
    z, t = make("logits", size)
    assert isinstance(t, Tensor)
    return z, t, losses.boundary_weight(t)


def _structure() -> Benchmark:
    def structure(z: Tensor, t: Tensor, _: Tensor) -> Tensor:
        return losses.structure(z, t)

    def given(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        return losses.structure(z, t, weight=w)

    def upstream(z: Tensor, t: Tensor, _: Tensor) -> Tensor:
        return references.structure(z, t)

    return Benchmark(
        "structure",
        "F3Net's structure loss, upstream with avg_pool2d(31)",
        Size(4, 1024),
        _with_map,
        (
            *_pair("upstream", upstream, ours=False),
            *_pair("structure", structure),
            *_pair("map given", given),
            *_pair("bce", _plain_bce),
        ),
        (
            Ratio("structure", "upstream", wanted=15),
            Ratio("structure" + COMPILED, "upstream", wanted=30),
            Ratio("structure" + COMPILED, "upstream" + COMPILED, wanted=30),
            *_costs("structure" + COMPILED, 2.5),
            *_costs("map given" + COMPILED, 1.5),
        ),
        traffic=28,  # logits and target read twice, the map written and read, a gradient written
        extra=1,
    )


def _ssim() -> Benchmark:
    return Benchmark(
        "ssim",
        "SSIM, upstream with five 11 x 11 convolutions",
        Size(4, 1024),
        _pixels,
        (
            *_pair("upstream", references.ssim, ours=False),
            *_pair("ssim", losses.ssim),
            *_pair("bce", _plain_bce),
        ),
        (
            Ratio("ssim", "upstream", wanted=8),
            Ratio("ssim" + COMPILED, "upstream", wanted=8),
            Ratio("ssim" + COMPILED, "upstream" + COMPILED),
            Ratio("ssim" + COMPILED, "bce" + COMPILED, "cost"),
        ),
    )


def _composite() -> Benchmark:
    def released(*args: Tensor) -> Tensor:
        *maps, t = args
        return losses.birefnet_pixel(maps, t, **losses.AS_RELEASED)

    def default(*args: Tensor) -> Tensor:
        *maps, t = args
        return losses.birefnet_pixel(maps, t)

    def upstream(*args: Tensor) -> Tensor:
        *maps, t = args
        return references.composite(maps, t)

    def inputs(size: Size) -> Inputs:
        t = blobs(size)
        return *levels(logits(size, t)), t

    return Benchmark(
        "composite",
        "BiRefNet's pixel loss (bce 30, iou .5, ssim 10) on levels of 1/8, 1/4, 1/2 and 1",
        Size(4, 1024),
        inputs,
        (
            *_pair("upstream", upstream, ours=False),
            *_pair("birefnet_pixel", default),
            *_pair("as released", released),
        ),
        (
            Ratio("birefnet_pixel", "upstream", wanted=8),
            Ratio("as released", "upstream", wanted=8),
            Ratio("birefnet_pixel" + COMPILED, "upstream", wanted=8),
            Ratio("birefnet_pixel" + COMPILED, "upstream" + COMPILED),
        ),
    )


def _coarse_logits(size: Size) -> Inputs:
    """Logits in steps of 1/4, so that almost all negatives are tied."""
    z, t = make("logits", size)
    assert isinstance(z, Tensor)
    return leaf((z.detach() * 4).round() / 4), t


def _ohem(name: str, title: str, level: str, inputs: Callable[[Size], Inputs]) -> Benchmark:
    def ours(z: Tensor, t: Tensor) -> Tensor:
        return losses.balanced_bce(z, t, level=level)

    image, judged = level == "image", name != "ohem_ties"
    fast, slow = "balanced_bce", "full sort of each image" if image else "full sort"
    return Benchmark(
        name,
        title,
        Size(8, 640),
        inputs,
        (
            *_pair(slow, references.by_image if image else references.sorted_bce, ours=False),
            *(() if image else _pair("topk", references.topk_bce, ours=False)),
            *_pair(fast, ours),
        ),
        (
            Ratio(fast, slow, wanted=2 if judged else None),
            Ratio(fast + COMPILED, slow, wanted=4 if judged else None),
            Ratio(fast + COMPILED, slow + COMPILED, wanted=4 if judged else None),
            *(() if image else (Ratio(fast, "topk"), Ratio(fast + COMPILED, "topk"))),
        ),
    )


BENCHMARKS = {
    b.name: b
    for b in (
        _structure(),
        _ssim(),
        _composite(),
        _ohem("ohem_image", "Hard negatives of each image, the default", "image", _pixels),
        _ohem("ohem_batch", "Hard negatives of the batch, as published", "batch", _pixels),
        _ohem("ohem_ties", "The same under ties, logits in steps of 1/4", "batch", _coarse_logits),
    )
}
