"""One run, top to bottom: build, train, validate, test, write.

A run is a pure function of its configuration: every random draw is seeded by (seed, purpose,
step), so a killed run goes on from its last checkpoint to the same result.

    grid = experiments.grid.find("grad_loss")
    config = experiments.grid.resolve(grid, grid.presets["smoke"], "bce", seed=0)
    train(config, Path("run"))
"""

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments import device as devices
from experiments import distributed, history
from experiments import task as tasks
from experiments.checkpoint import Checkpoint, Progress, learned
from experiments.checks import check_parts, check_values, non_finite
from experiments.config import RunConfig, Runtime
from experiments.data import normalise
from experiments.errors import UserError
from experiments.evaluate import signed
from experiments.model import Network, Supervised, build_model
from experiments.optim import Optimizer
from experiments.results import recorded, write_config, write_results
from experiments.seeding import seed_torch
from experiments.task import Criterion, Split, Task
from experiments.watch import QUIET, Watch

SKIPS = 50  # float16 steps in a row without an update: the scale is not what is at fault
DEFAULT = Runtime()


@dataclass(frozen=True)
class Run:
    """What a run holds while it trains."""

    config: RunConfig
    task: Task
    folder: Path
    watch: Watch
    device: torch.device
    model: Network
    objective: Criterion
    supervised: nn.Module  # model and objective, as data-parallel training wraps them
    optimizer: Optimizer
    checkpoint: Checkpoint
    history: history.History
    state: Progress
    validate_at: set[int]  # after so many steps
    moments: set[int]  # steps at which more is recorded


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
        task = tasks.find(config.task)
        train_set, val_set, test_set = distributed.together(partial(task.splits, config.data))
        run = prepare(config, folder, watch, runtime, device)
        with closing(run.history):
            distributed.by_leader(partial(begin, run))
            stream = task.stream(train_set, config, run.state.step, device)
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
    task = tasks.find(config.task)
    objective = task.objective(config.loss)
    model = distributed.together(partial(build_model, config)).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Optimizer(model, t, device)
    rows = history.History(folder, history.columns(config, task), runtime.tensorboard)
    checkpoint = Checkpoint(folder, config, model, optimizer, rows, watch)
    state = checkpoint.load()
    return Run(
        config=config,
        task=task,
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
        raise non_finite(run.folder, row, images, targets, "loss", run.task.TERMS)
    if step == 0:
        distributed.together(partial(check_values, targets))
    run.state.skipped = 0 if math.isfinite(row["grad_norm"]) else run.state.skipped + 1
    if run.state.skipped >= (SKIPS if run.optimizer.scales else 1):
        raise non_finite(run.folder, row, images, targets, "gradient", run.task.TERMS)
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
            loss, parts, out = run.supervised(inputs, target, u, eager=seen)
            found = {"loss": loss, **parts}
            if seen:
                scale = run.optimizer.scaler.get_scale()
                about = (run.model, run.objective, parts, out, inputs, target, scale)
                told = run.task.record(*about)
                found |= {k: images.new_tensor(x, dtype=torch.float64) for k, x in told.items()}
            run.optimizer.backward(loss / t.accumulate)
        for name, value in found.items():
            terms[name] = terms.get(name, 0) + value.detach().double() / t.accumulate
    return terms


def follow(run: Run, row: dict[str, float], val_set: Split) -> None:
    """What comes after a step: validation, the row, and a checkpoint if it is time for one."""
    state = run.state
    if row["step"] in run.moments:
        counts = run.task.probe(run.objective, run.model, val_set, run.config, run.device)
        if counts is not None:
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


def validate(run: Run, samples: Split) -> float:
    """Score the validation split, and keep the weights if they are the best so far."""
    metric, state = run.config.select, run.state
    found = run.task.evaluate(run.model, samples, run.config, run.device)
    value = found.scores.get(metric, math.nan)
    if signed(metric, value) > state.best:
        state.best, state.best_step = signed(metric, value), state.step
        state.best_weights, state.chosen = learned(run.model), found.chosen
    return value


def conclude(run: Run, val_set: Split, test_set: Split | None, about: Mapping[str, str]) -> float:
    """Test the best weights, write the results; the metric that the run is for.

    Raises:
        UserError: no validation gave a number.
    """
    config, state = run.config, run.state
    metric = config.select
    if not state.best_weights:
        raise UserError(
            f"{metric} of the validation split is NaN: are its masks all black, or has it no "
            "image of the kind that this metric is of?"
        )
    run.checkpoint.leave_if_asked(state)  # before the weights are others
    run.model.load_state_dict(state.best_weights, strict=False)  # chosen on validation alone
    tested = None
    if test_set is not None:
        asked = partial(run.checkpoint.leave_if_asked, state)
        tested = run.task.evaluate(
            run.model, test_set, config, run.device, final=state.chosen, between=asked
        )
    shown = val_set if test_set is None else test_set
    files = run.task.keep(config, state, run.objective, run.model, shown, tested, run.device)
    run.checkpoint.count(state)
    write_results(run.folder, config, state, tested, files, about, run.watch)
    return signed(metric, state.best) if tested is None else tested.scores[metric]
