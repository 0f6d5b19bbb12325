"""One run, top to bottom: build, train, validate, test, write.

A run is a pure function of its configuration: every random draw is seeded by (seed, purpose,
step), so a killed run goes on from its last checkpoint to the same result.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import torch
from models.birefnet import BiRefNet
from safetensors.torch import save_file
from torch import Tensor

import losses
from experiments import gradient_record as record
from experiments.checkpoint import learned, resume, save
from experiments.config import RunConfig, TrainConfig
from experiments.data import batches, load, normalise, to_tensors
from experiments.data.augment import Augment
from experiments.errors import UserError
from experiments.evaluate import CHUNK, evaluate, mean_scores
from experiments.files import whole
from experiments.metrics import LOWER_IS_BETTER, METRICS
from experiments.objective import Objective, Parts
from experiments.results import write_results
from experiments.seeding import seed_torch


class NonFiniteLossError(UserError):
    """The loss became NaN or infinite; the batch that did it is on disk."""


def train(config: RunConfig, folder: Path, report: Callable[[int, float], None]) -> float:
    """Train one run into `folder` and return its primary metric on the test split.

    `report(step, value)` is called at each validation with the metric that picks the checkpoint.

    Raises:
        UserError: data or knobs that do not fit, with what to change.
        NonFiniteLossError: the loss is NaN or infinite; the batch is saved in `folder`.
    """
    t = config.train
    torch.set_num_threads(t.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.as_dict(), indent=1) + "\n")

    d = config.data
    train_set = load(d.name, "train", size=d.size, count=d.counts.train)
    val_set = load(d.name, "val", size=d.size, count=d.counts.val)
    test_set = load(d.name, "test", size=d.size, count=d.counts.test)
    if len(train_set) < t.batch:
        raise UserError(f"{len(train_set)} training samples do not fill a batch of {t.batch}")
    augment = Augment(d.augment, d.size)
    probe = to_tensors([val_set[i] for i in range(min(CHUNK, len(val_set)))])

    model = build_model(config).to(device)
    objective = Objective(config.loss)
    optimizer = torch.optim.AdamW(_groups(model, t), weight_decay=t.weight_decay)
    state = resume(folder, model, optimizer)
    validate_at = {round(t.steps * (k + 1) / t.validations) for k in range(t.validations)}
    moments = {round((t.steps - 1) * k / max(1, t.moments - 1)) for k in range(t.moments)}
    started = saved = time.monotonic()

    stream = batches(
        train_set,
        seed=config.seed,
        batch=t.batch,
        start=state.step,
        steps=t.steps,
        workers=d.workers,
    )
    for step, (images, targets) in enumerate(stream, start=state.step):
        seed_torch(config.seed, "augment", step)
        images, targets = augment(images.to(device), targets.to(device))
        inputs = normalise(images)
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * lr_factor(step, t)

        seed_torch(config.seed, "dropout", step)
        with torch.autocast(device.type, torch.bfloat16, enabled=t.precision == "bfloat16"):
            out = model(inputs)
        if step == 0:
            losses.check_batch(out.logits, targets)
        parts = objective(out, inputs, targets, step / max(1, t.steps - 1))
        loss = parts.pixel + objective.weight * parts.gradient
        if not torch.isfinite(loss):
            raise _non_finite(folder, step, parts, images, targets)
        row = {
            "step": step,
            "loss": loss.item(),
            "pixel": parts.pixel.item(),
            "gradient": parts.gradient.item(),
            "lr": optimizer.param_groups[-1]["lr"],
        }
        if step in moments:
            row["grad_share"] = grad_share(model, parts, objective.weight)
            row["excess_bce"] = record.excess_bce(objective, out, inputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if t.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        optimizer.step()
        state.history.append(row)
        state.step = step + 1

        if step in moments:
            state.counts.append((state.step, *_probe(model, objective, probe, device)))
        if state.step in validate_at:
            scores = mean_scores(evaluate(model, val_set, (config.select,), device))
            row[f"val_{config.select}"] = value = scores[config.select]
            signed = -value if config.select in LOWER_IS_BETTER else value
            if signed > state.best:
                state.best, state.best_step = signed, state.step
                state.best_weights = learned(model)
            report(state.step, value)
        if time.monotonic() - saved > t.save_seconds and state.step < t.steps:
            state.seconds += time.monotonic() - started
            started = saved = time.monotonic()
            save(folder, model, optimizer, state)

    model.load_state_dict(state.best_weights, strict=False)
    table = evaluate(model, test_set, METRICS, device)
    state.seconds += time.monotonic() - started
    maps = _test_maps(model, objective, to_tensors([test_set[i] for i in range(t.maps)]), device)
    write_results(folder, config, state, table, {"names": test_set.names[: t.maps], **maps})
    return mean_scores(table)[config.select]


def build_model(config: RunConfig) -> BiRefNet:
    """The model of a run; a parameter starts at a value of (seed, its name) alone.

    Raises:
        UserError: an unknown or impossible switch.
    """
    switches = dict(config.model)
    try:
        model = BiRefNet.preset(switches.pop("preset"), **switches)
    except ValueError as error:
        raise UserError(f"model of this arm: {error}") from error
    models.initialise(model, config.seed)
    return model


def lr_factor(step: int, t: TrainConfig) -> float:
    """Learning rate at `step` as a share of the configured one."""
    if step < t.warmup:
        return (step + 1) / t.warmup
    if t.schedule == "constant":
        return 1.0
    u = (step - t.warmup) / max(1, t.steps - t.warmup)
    return 0.5 * (1 + math.cos(math.pi * u))


def grad_share(model: BiRefNet, parts: Parts, weight: float) -> float:
    """Norm of the weighted gradient loss's gradient on the decoder over the pixel loss's."""
    weights = [p for p in model.decoder.parameters() if p.requires_grad]
    norms = []
    for term in (parts.gradient * weight, parts.pixel):
        grads = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
        norms.append(
            math.sqrt(sum(float(g.float().square().sum()) for g in grads if g is not None))
        )
    return norms[0] / norms[1] if norms[1] else math.nan


def _groups(model: BiRefNet, t: TrainConfig) -> list[dict[str, Any]]:
    backbone = [p for p in model.bb.parameters() if p.requires_grad]
    known = {id(p) for p in backbone}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups = [(backbone, t.lr * t.backbone_lr), (rest, t.lr)]
    return [{"params": params, "lr": lr, "base": lr} for params, lr in groups if params]


def _probe(
    model: BiRefNet, objective: Objective, probe: tuple[Tensor, Tensor], device: torch.device
) -> tuple[list[list[int]], list[list[int]]]:
    images, targets = (x.to(device) for x in probe)
    model.eval()
    with torch.inference_mode():
        inputs = normalise(images)
        labels, found = record.histograms(objective, model(inputs), inputs, targets)
    model.train()
    return labels.tolist(), found.tolist()


def _test_maps(
    model: BiRefNet, objective: Objective, samples: tuple[Tensor, Tensor], device: torch.device
) -> record.Arrays:
    images, targets = (x.to(device) for x in samples)
    model.eval()
    with torch.inference_mode():
        inputs = normalise(images)
        return record.final_maps(objective, model(inputs), inputs, images, targets)


def _non_finite(
    folder: Path, step: int, parts: Parts, images: Tensor, targets: Tensor
) -> NonFiniteLossError:
    file = folder / "nonfinite_batch.safetensors"
    with whole(file) as draft:
        save_file({"images": images.contiguous(), "targets": targets.contiguous()}, draft)
    return NonFiniteLossError(
        f"loss is not finite at step {step} (pixel {parts.pixel.item():g}, "
        f"gradient {parts.gradient.item():g}); the batch is in {file}; "
        "a lower learning rate, warm-up or gradient clipping is the usual fix"
    )
