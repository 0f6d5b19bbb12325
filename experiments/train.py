"""One run, top to bottom: build, train, validate, test, write.

A run is a pure function of its configuration: every random draw is seeded by (seed, purpose,
step), so a killed run goes on from its last checkpoint to the same result.
"""

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import losses
import models
from experiments import gradient_record as record
from experiments.checkpoint import Progress, learned, resume, save
from experiments.config import RunConfig, TrainConfig
from experiments.data import Samples, batches, load_splits, normalise, to_tensors
from experiments.data.augment import Augment
from experiments.errors import UserError
from experiments.evaluate import CHUNK, evaluate, mean_scores
from experiments.files import file_digest, whole
from experiments.metrics import LOWER_IS_BETTER, METRICS
from experiments.objective import Objective, Parts
from experiments.results import write_results
from experiments.seeding import seed_torch
from models.birefnet import BiRefNet

Report = Callable[[int, float], None]


class NonFiniteLossError(UserError):
    """The loss became NaN or infinite; the batch that did it is on disk."""


def train(
    config: RunConfig, folder: Path, report: Report, identity: Mapping[str, str] | None = None
) -> float:
    """Train one run into `folder` and return its primary metric on the test split.

    `report(step, value)` is called at each validation with the metric that picks the checkpoint;
    `identity` (arm, hash, digests) is written into the run's summary.

    Raises:
        UserError: data or knobs that do not fit, with what to change.
        NonFiniteLossError: the loss is NaN or infinite; the batch is saved in `folder`.
    """
    t = config.train
    torch.set_num_threads(t.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.as_dict(), indent=1) + "\n")

    train_set, val_set, test_set = load_splits(config.data)
    if len(train_set) < t.batch:
        raise UserError(f"{len(train_set)} training samples do not fill a batch of {t.batch}")
    model = build_model(config).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = Objective(config.loss)
    groups = parameter_groups(model, t)
    optimizer = torch.optim.AdamW(groups, weight_decay=t.weight_decay, fused=True)
    state = resume(folder, model, optimizer)
    validate_at = {round(t.steps * (k + 1) / t.validations) for k in range(t.validations)}
    moments = {round((t.steps - 1) * k / max(1, t.moments - 1)) for k in range(t.moments)}
    started = saved = time.monotonic()

    for step, images, targets in augmented(train_set, config, state.step, device):
        inputs = normalise(images)
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * lr_factor(step, t)

        seed_torch(config.seed, "dropout", step)
        with torch.autocast(device.type, torch.bfloat16, enabled=t.precision == "bfloat16"):
            out = model(inputs)
        parts = objective(out, inputs, targets, step / max(1, t.steps - 1))
        loss = parts.pixel + objective.weight * parts.gradient
        if not torch.isfinite(loss):
            raise _non_finite(folder, step, parts, images, targets)
        if step == 0:
            check_values(out.logits, targets)
        row = {"step": step, "loss": loss.item(), "lr": optimizer.param_groups[-1]["lr"]}
        row |= {"pixel": parts.pixel.item(), "gradient": parts.gradient.item()}
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
            state.counts.append((state.step, *_probe(model, objective, val_set, device)))
        if state.step in validate_at:
            row[f"val_{config.select}"] = validate(model, val_set, config.select, state, device)
            report(state.step, row[f"val_{config.select}"])
        if time.monotonic() - saved > t.save_seconds and state.step < t.steps:
            state.seconds += time.monotonic() - started
            started = saved = time.monotonic()
            save(folder, model, optimizer, state)

    model.load_state_dict(state.best_weights, strict=False)  # chosen on validation alone
    table = evaluate(model, test_set, METRICS, device)
    state.seconds += time.monotonic() - started
    maps = _test_maps(model, objective, test_set, t.maps, device)
    write_results(folder, config, state, table, maps, identity or {})
    return mean_scores(table)[config.select]


def build_model(config: RunConfig) -> BiRefNet:
    """The model of a run; a parameter starts at a value of (seed, its name) alone.

    With `start` among the switches it is an official checkpoint's, the same for every seed.

    Raises:
        UserError: an unknown or impossible switch; a checkpoint that changed or does not fit.
    """
    switches = dict(config.model)
    try:
        if "start" in switches:
            file, digest = Path(switches.pop("start")), switches.pop("start_digest")
            if not file.is_file() or file_digest(file) != digest:
                raise UserError(f"{file} is not the file (digest {digest}) of this run any more")
            return models.load_official(file, **switches).train()
        model = BiRefNet.preset(switches.pop("preset"), **switches)
    except ValueError as error:
        raise UserError(f"model of this arm: {error}") from error
    models.initialise(model, config.seed)
    return model


def parameter_groups(model: BiRefNet, t: TrainConfig) -> list[dict[str, Any]]:
    """Optimizer groups: the backbone at its own rate, and the rest; `base` is the full rate."""
    backbone = [p for p in model.bb.parameters() if p.requires_grad]
    known = {id(p) for p in backbone}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups = [(backbone, t.lr * t.backbone_lr), (rest, t.lr)]
    return [{"params": params, "lr": lr, "base": lr} for params, lr in groups if params]


def augmented(samples: Samples, config: RunConfig, start: int, device: torch.device) -> Any:
    """Yields (step, images, targets) from `start` on, augmented, in [0, 1]."""
    t, d = config.train, config.data
    augment = Augment(d.augment, d.size)
    stream = batches(
        samples, seed=config.seed, batch=t.batch, start=start, steps=t.steps, workers=d.workers
    )
    for step, (images, targets) in enumerate(stream, start=start):
        seed_torch(config.seed, "augment", step)
        yield step, *augment(images.to(device), targets.to(device))


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
    if not parts.gradient.requires_grad:  # a model without outward reference
        return 0.0
    for term in (parts.gradient * weight, parts.pixel):
        grads = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
        squares = [float(g.float().square().sum()) for g in grads if g is not None]
        norms.append(math.sqrt(sum(squares)))
    return norms[0] / norms[1] if norms[1] else math.nan


def validate(
    model: BiRefNet, samples: Samples, metric: str, state: Progress, device: torch.device
) -> float:
    """Score the validation split, and keep the weights if they are the best so far."""
    value = mean_scores(evaluate(model, samples, (metric,), device))[metric]
    signed = -value if metric in LOWER_IS_BETTER else value
    if signed > state.best:
        state.best, state.best_step, state.best_weights = signed, state.step, learned(model)
    return value


def check_values(logits: Tensor, targets: Tensor) -> None:
    """Check a batch's values: of the first one only, as it costs a synchronisation.

    Raises:
        UserError: NaN, or targets outside [0, 1].
    """
    with warnings.catch_warnings():  # an untrained model's logits may well lie in [0, 1]
        warnings.simplefilter("ignore", UserWarning)
        try:
            losses.check_batch(logits.detach(), targets)
        except ValueError as error:
            raise UserError(f"batch: {error}") from error


def _probe(
    model: BiRefNet, objective: Objective, samples: Samples, device: torch.device
) -> tuple[list[list[int]], list[list[int]]]:
    """Histograms of gradient labels and predictions on the first validation images."""
    pairs = [samples[i] for i in range(min(CHUNK, len(samples)))]
    images, targets = (x.to(device) for x in to_tensors(pairs))
    model.eval()
    with torch.inference_mode():
        inputs = normalise(images)
        labels, found = record.histograms(objective, model(inputs), inputs, targets)
    model.train()
    return labels.tolist(), found.tolist()


def _test_maps(
    model: BiRefNet, objective: Objective, samples: Samples, count: int, device: torch.device
) -> dict[str, Any]:
    pairs = [samples[i] for i in range(min(count, len(samples)))]
    images, targets = (x.to(device) for x in to_tensors(pairs))
    model.eval()
    with torch.inference_mode():
        inputs = normalise(images)
        maps = record.final_maps(objective, model(inputs), inputs, images, targets)
    return {"names": samples.names[: len(pairs)], **maps}


def _non_finite(
    folder: Path, step: int, parts: Parts, images: Tensor, targets: Tensor
) -> NonFiniteLossError:
    file = folder / "nonfinite_batch.safetensors"
    with whole(file) as draft:
        save_file({"images": images.contiguous(), "targets": targets.contiguous()}, draft)
    try:
        losses.check_batch(torch.zeros_like(targets), targets)
        cause = "a lower learning rate, warm-up or gradient clipping is the usual fix"
    except ValueError as error:
        cause = f"the data are at fault: {error}"
    return NonFiniteLossError(
        f"loss is not finite at step {step} (pixel {parts.pixel.item():g}, "
        f"gradient {parts.gradient.item():g}); the batch is in {file}; {cause}"
    )
