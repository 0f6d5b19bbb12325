"""One run, top to bottom: build, train, validate, test, write.

A run is a pure function of its configuration: every random draw is seeded by (seed, purpose,
step), so a killed run goes on from its last checkpoint to the same result.

    grid = experiments.grid.find("grad_loss")
    config = experiments.grid.resolve(grid, grid.presets["smoke"], "bce", seed=0)
    train(config, Path("run"))
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments import device as devices
from experiments import distributed, history
from experiments import gradient_record as record
from experiments.checkpoint import Checkpoint, Progress, learned
from experiments.checks import check_parts, check_values, non_finite
from experiments.config import RunConfig, Runtime
from experiments.data import Samples, batches, load_splits, normalise
from experiments.data.augment import Augment
from experiments.errors import UserError
from experiments.evaluate import ALL, Evaluation, at_once, evaluate, signed
from experiments.model import Supervised, build_model
from experiments.objective import Objective
from experiments.optim import Optimizer
from experiments.results import recorded, write_config, write_results
from experiments.seeding import seed_torch
from experiments.thumbnails import thumbnails
from experiments.watch import QUIET, Watch
from models.birefnet import BiRefNet

SKIPS = 50  # float16 steps in a row without an update: the scale is not what is at fault
DEFAULT = Runtime()


@dataclass(frozen=True)
class Run:
    """What a run holds while it trains."""

    config: RunConfig
    folder: Path
    watch: Watch
    device: torch.device
    model: BiRefNet
    objective: Objective
    supervised: nn.Module  # model and objective, as data-parallel training wraps them
    optimizer: Optimizer
    checkpoint: Checkpoint
    history: history.History
    state: Progress
    validate_at: set[int]  # after so many steps
    moments: set[int]  # steps at which more is recorded

    @property
    def evaluate(self) -> Callable[..., Evaluation]:
        """`evaluate` on this run's model, as its configuration says."""
        t = self.config.train
        return partial(
            evaluate,
            self.model,
            device=self.device,
            size=at_once(t),
            workers=self.config.data.workers,
            variant=t.metrics,
        )


def train(
    config: RunConfig,
    folder: Path,
    watch: Watch = QUIET,
    *,
    identity: Mapping[str, str] | None = None,
    runtime: Runtime = DEFAULT,
    test: bool = True,
) -> float:
    """Train one run into `folder`, or go on with it, and return its primary metric.

    Args:
        watch: hears of steps and validations, and may ask the run to stop.
        identity: arm, hash, digests; written into the run's summary. A run of that hash that is
            finished is not done again.
        runtime: how it is executed: device, TensorBoard.
        test: False leaves the test split alone; the value is then the best on validation.

    Raises:
        UserError: data, knobs, device or checkpoint that do not fit, with what to change.
        NonFiniteLossError: loss or gradient is NaN or infinite; the batch is saved in `folder`.
        Stopped: `watch` asked for it; the checkpoint is saved.
        LostClaim: `watch` says that the run is another process's now.
    """
    about = dict(identity or {})
    known = partial(recorded, folder, config, about.get("hash"), test)
    if (value := distributed.by_leader(known)) is not None:
        return value
    with devices.switches(config.train):
        device = distributed.together(partial(devices.choose, runtime.device))
        train_set, val_set, test_set = distributed.together(partial(load_splits, config.data))
        run = prepare(config, folder, watch, runtime, device)
        with closing(run.history):
            distributed.by_leader(partial(begin, run))
            stream = augmented(train_set, config, run.state.step, device)
            while batch := distributed.together(partial(next, stream, None)):
                row = update(run, *batch)
                distributed.by_leader(partial(follow, run, row, val_set))
            about["device"] = devices.label(device)
            split = test_set if test else None
            return distributed.by_leader(partial(conclude, run, val_set, split, about))


def prepare(
    config: RunConfig, folder: Path, watch: Watch, runtime: Runtime, device: torch.device
) -> Run:
    """Build all that a run needs, at the state of its last checkpoint if it has one."""
    t = config.train
    check_parts(t)
    objective = Objective(config.loss)
    model = distributed.together(partial(build_model, config)).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Optimizer(model, t, device)
    rows = history.History(folder, history.columns(config), runtime.tensorboard)
    checkpoint = Checkpoint(folder, config, model, optimizer, rows, watch)
    state = checkpoint.load()
    return Run(
        config=config,
        folder=folder,
        watch=watch,
        device=device,
        model=model,
        objective=objective,
        supervised=distributed.wrap(Supervised(model, objective, t), device),
        optimizer=optimizer,
        checkpoint=checkpoint,
        history=rows,
        state=state,
        validate_at={round(t.steps * (k + 1) / t.validations) for k in range(t.validations)},
        moments={round((t.steps - 1) * k / max(1, t.moments - 1)) for k in range(t.moments)},
    )


def begin(run: Run) -> None:
    """Put the configuration on disk, and open the history where the checkpoint left it."""
    write_config(run.folder, run.config)
    run.history.open(run.state.offset, run.state.step)


def augmented(
    samples: Samples, config: RunConfig, start: int, device: torch.device
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yields (step, images, targets) from `start` on, this rank's slice, augmented, in [0, 1]."""
    t, d = config.train, config.data
    augment = Augment(d.augment, d.size)
    stream = batches(
        samples,
        seed=config.seed,
        batch=t.batch,
        start=start,
        steps=t.steps,
        workers=d.workers,
        rank=distributed.rank(),
        world=distributed.world(),
        device=device,
    )
    for step, (images, targets) in enumerate(stream, start=start):
        seed_torch(config.seed, "augment", step, *distributed.stream())
        yield step, *augment(images, targets)


def update(run: Run, step: int, images: Tensor, targets: Tensor) -> dict[str, float]:
    """One optimizer step; what the history tells of it."""
    row = {"step": step, "lr": run.optimizer.set_rate(step)}
    seed_torch(run.config.seed, "dropout", step, *distributed.stream())
    terms = backward(run, step, images, targets)
    norm = run.optimizer.norm()
    terms["grad_norm"] = norm.double()
    values = distributed.mean(torch.stack([*terms.values()]))
    row |= dict(zip(terms, values.tolist(), strict=True))  # the step's one synchronisation
    if not math.isfinite(row["loss"]):
        raise non_finite(run.folder, row, images, targets, "loss")
    if step == 0:
        distributed.together(partial(check_values, targets))
    run.state.skipped = 0 if math.isfinite(row["grad_norm"]) else run.state.skipped + 1
    if run.state.skipped >= (SKIPS if run.optimizer.scales else 1):
        raise non_finite(run.folder, row, images, targets, "gradient")
    if run.optimizer.scales:
        row["skipped"] = int(run.state.skipped > 0)
    run.optimizer.step(norm)
    run.state.step = step + 1
    return row


def backward(run: Run, step: int, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Gradients of a batch, part by part; means over the parts of its terms and records."""
    t, seen = run.config.train, step in run.moments
    terms: dict[str, Tensor] = {}
    for k in range(t.accumulate):
        inputs, target = normalise(images.chunk(t.accumulate)[k]), targets.chunk(t.accumulate)[k]
        with distributed.synchronised(run.supervised, last=k == t.accumulate - 1):
            u = step / max(1, t.steps - 1)
            pixel, gradient, out = run.supervised(inputs, target, u, eager=seen)
            loss = pixel + run.objective.weight * gradient
            found = {"loss": loss, "pixel": pixel, "gradient": gradient}
            if seen:
                weighted, scale = gradient * run.objective.weight, run.optimizer.scaler.get_scale()
                share = record.grad_share(run.model, pixel, weighted, scale)
                excess = record.excess_bce(run.objective, out, inputs, target)
                found |= {"grad_share": images.new_tensor(share, dtype=torch.float64)}
                found |= {"excess_bce": images.new_tensor(excess, dtype=torch.float64)}
            run.optimizer.backward(loss / t.accumulate)
        for name, value in found.items():
            terms[name] = terms.get(name, 0) + value.detach().double() / t.accumulate
    return terms


def follow(run: Run, row: dict[str, float], val_set: Samples) -> None:
    """What comes after a step: validation, the row, and a checkpoint if it is time for one."""
    state = run.state
    if row["step"] in run.moments:
        size = at_once(run.config.train)
        counts = record.probe(run.objective, run.model, val_set, run.device, size)
        state.counts.append((state.step, *counts))
    validated = state.step in run.validate_at
    if validated:
        row[f"val_{run.config.select}"] = validate(run, val_set)
    run.history.add(row, flush=validated)
    run.watch.stepped(state.step)
    if validated:
        run.watch.validated(state.step, row[f"val_{run.config.select}"])
    run.checkpoint.leave_if_asked(state)
    if run.checkpoint.due():
        run.checkpoint.save(state)


def validate(run: Run, samples: Samples) -> float:
    """Score the validation split, and keep the weights if they are the best so far."""
    metric, state = run.config.select, run.state
    value = run.evaluate(samples, (metric,)).scores[metric]
    if signed(metric, value) > state.best:
        state.best, state.best_step = signed(metric, value), state.step
        state.best_weights = learned(run.model)
    return value


def conclude(
    run: Run, val_set: Samples, test_set: Samples | None, about: Mapping[str, str]
) -> float:
    """Test the best weights, write the results; the metric that the run is for.

    Raises:
        UserError: no validation gave a number.
    """
    metric, state, size = run.config.select, run.state, at_once(run.config.train)
    if not state.best_weights:
        raise UserError(f"{metric} of the validation split is NaN: are its masks all black?")
    run.checkpoint.leave_if_asked(state)  # before the weights are others
    run.model.load_state_dict(state.best_weights, strict=False)  # chosen on validation alone
    tested = None
    if test_set is not None:
        asked = partial(run.checkpoint.leave_if_asked, state)
        tested = run.evaluate(test_set, ALL, between=asked)
    shown, count = val_set if test_set is None else test_set, run.config.train.maps
    maps = record.final_maps(run.objective, run.model, shown, count, run.device, size)
    run.checkpoint.count(state)
    pictures = None if tested is None else thumbnails(shown, tested)
    write_results(run.folder, run.config, state, tested, pictures, maps, about, run.watch)
    return signed(metric, state.best) if tested is None else tested.scores[metric]
