"""One training step of the official code, or of this project, each in a process of its own.

Both have top-level modules named `models`, so one process cannot hold both. A process waits at a
pipe for the name of what to do, does it, and answers; while one works the others wait.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import losses

from .inputs import Size, blobs

ROOT = Path(__file__).resolve().parents[2]
CLASHING = ("models", "loss", "config", "dataset", "utils")
Criterion = Callable[[Any, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Subject:
    """What one process trains, and on what; `weights` is a file that the official side writes."""

    side: Literal["official", "ours"]
    checkout: str
    weights: str
    backbone: str = "pvt_v2_b0"
    pixels: int = 128
    batch: int = 4
    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    checkpoint: bool = False
    device: str = "cpu"
    threads: int = 2

    def __str__(self) -> str:
        ends = {"compiled": self.compiled, "gradient checkpointing": self.checkpoint}
        parts = [f"{self.side} {self.precision}", *(name for name, on in ends.items() if on)]
        return ", ".join(parts)


class Trainer:
    """A model in training, its losses and AdamW, on one batch."""

    def __init__(self, subject: Subject) -> None:
        torch.set_num_threads(subject.threads)
        torch.set_float32_matmul_precision("high")  # as the official training does
        torch.manual_seed(0)
        self.subject = subject
        model, self.criterion = SIDES[subject.side](subject)
        layout = {"memory_format": torch.channels_last} if subject.side == "ours" else {}
        self.plain = model.to(subject.device, **layout).train()
        self.model = torch.compile(self.plain, dynamic=False) if subject.compiled else self.plain
        trained = [p for p in self.plain.parameters() if p.requires_grad]
        fused = True if subject.side == "ours" else None  # None: the default, as theirs
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=1e-2, fused=fused)
        size = Size(subject.batch, subject.pixels)
        image = torch.randn(size.batch, 3, size.side, size.side, generator=size.generator())
        self.image, self.target = image.to(subject.device), blobs(size).to(subject.device)

    def loss(self, model: Callable[[Tensor], Any]) -> Tensor:
        """The forward pass under autocast, the losses in float32, as accelerate has it."""
        device, low = self.subject.device.split(":")[0], self.subject.precision != "float32"
        with torch.autocast(device, torch.bfloat16, enabled=low):
            out = model(self.image)
        return self.criterion(tree_map(_widened, out), self.image, self.target)

    def value(self) -> float:
        """The loss without what is random: what both sides have to agree on."""
        random = [m for m in self.plain.modules() if isinstance(m, nn.Dropout)]
        paths = [m for m in self.plain.modules() if hasattr(m, "drop_prob")]
        before = [(m, name, getattr(m, name)) for m in random for name in ("p",)]
        before += [(m, "drop_prob", m.drop_prob) for m in paths]
        for module, name, _ in before:
            setattr(module, name, 0.0)
        with torch.no_grad():
            found = float(self.loss(self.plain))
        for module, name, share in before:
            setattr(module, name, share)
        return found

    def step(self) -> None:
        """Forward, backward, AdamW; then wait for the device."""
        self.optimizer.zero_grad()
        self.loss(self.model).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.image.is_cuda:
            torch.cuda.synchronize()

    def peak(self) -> int:
        """Most bytes that a step holds on a GPU; 0 elsewhere."""
        if not self.image.is_cuda:
            return 0
        torch.cuda.reset_peak_memory_stats()
        self.step()
        return torch.cuda.max_memory_allocated()


def _widened(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) else x


def _official(subject: Subject) -> tuple[nn.Module, Criterion]:
    """From the checkout, its configuration changed before anything reads it; writes weights."""
    for name in [n for n in sys.modules if n.split(".")[0] in CLASHING]:
        del sys.modules[name]
    here = [p for p in sys.path if Path(p).resolve() != ROOT]  # its models are no package: last
    sys.path[:] = [subject.checkout, *here]
    os.chdir(subject.checkout)  # its configuration looks for train.sh there
    import config

    ours = {"bb": subject.backbone, "device": subject.device, "batch_size": subject.batch}

    class Changed(config.Config):  # type: ignore[misc, name-defined]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, ours.get(name, value))

    config.Config = Changed
    from loss import PixLoss

    from models.birefnet import BiRefNet

    model = BiRefNet(bb_pretrained=False)  # type: ignore[call-arg, arg-type]
    for name, parameter in model.named_parameters():
        if "offset_conv" in name or "modulator_conv" in name:  # at 0 nothing would be sampled
            nn.init.normal_(parameter, std=0.01)
    if not Path(subject.weights).exists():
        torch.save(model.state_dict(), subject.weights)
    model.load_state_dict(torch.load(subject.weights))
    pixel, entropy = PixLoss(), nn.BCELoss()

    def criterion(out: Any, _: Tensor, target: Tensor) -> Tensor:
        (gradients, labels), levels = out[0]
        total = pixel(levels, target.clamp(0, 1))[0]
        for z, label in zip(gradients, labels, strict=True):
            z = nn.functional.interpolate(z, label.shape[2:], mode="bilinear", align_corners=True)
            total = total + entropy(z.sigmoid(), label.sigmoid())
        return total

    return model, criterion


def _ours(subject: Subject) -> tuple[nn.Module, Criterion]:
    """The same weights and losses here."""
    from models.official import load_official

    model = load_official(
        subject.weights, backbone=subject.backbone, checkpoint=subject.checkpoint
    )
    pixel = losses.build("birefnet_pixel", **losses.RELEASED["DIS5K"], **losses.AS_RELEASED)
    gradient = losses.build("gradient_supervision", detach_target=False)

    def criterion(out: Any, image: Tensor, target: Tensor) -> Tensor:
        stages = out.levels[: len(out.gradient_logits)]
        return pixel(out.levels, target) + gradient(out.gradient_logits, stages, image, target)

    return model, criterion


SIDES: dict[str, Callable[[Subject], tuple[nn.Module, Criterion]]] = {
    "official": _official,
    "ours": _ours,
}


def serve(subject: Subject, pipe: Connection) -> None:
    """Answer names of `Trainer`'s methods with (result, error), until told None."""
    try:
        trainer = Trainer(subject)
        pipe.send(("ready", None))
    except Exception as error:  # told to the other side, which decides
        pipe.send((None, f"{type(error).__name__}: {error}"))
        return
    while name := pipe.recv():
        try:
            pipe.send((getattr(trainer, name)(), None))
        except Exception as error:
            pipe.send((None, f"{type(error).__name__}: {error}"))


class Worker:
    """The process of one subject; what fails there raises RuntimeError here."""

    def __init__(self, subject: Subject) -> None:
        context = get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(subject, other), daemon=True)
        self.process.start()
        other.close()

    def __enter__(self) -> "Worker":
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.is_alive():
            self.pipe.send(None)
        self.process.join()

    def ask(self, name: str) -> Any:
        """Call a method of the `Trainer` there."""
        self.pipe.send(name)
        return self._answer()

    def step(self) -> None:
        """One training step."""
        self.ask("step")

    def _answer(self) -> Any:
        try:
            found, error = self.pipe.recv()
        except EOFError:
            raise RuntimeError("the process died, as one that ran out of memory does") from None
        if error is not None:
            raise RuntimeError(error)
        return found
