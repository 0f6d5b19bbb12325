"""A run that is stopped or killed goes on to the bitwise same result."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments import checkpoint as checkpoints
from experiments import train as training
from experiments.checkpoint import FILE, Checkpoint, Progress
from experiments.config import Runtime
from experiments.errors import UserError
from experiments.results import FINISHED, recorded
from experiments.train import train
from experiments.watch import LostClaim, Stopped, Watch
from tests.experiments.runs import same_files


class Asks(Watch):
    """Asks a run to stop, for the `at`-th time it may."""

    def __init__(self, at: int) -> None:
        self.left = at

    def stop(self) -> bool:
        self.left -= 1
        return self.left < 0


class Dies(Watch):
    """Ends a run without a word after a step, as a kill does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def stepped(self, step: int) -> None:
        if step == self.after:
            raise KeyboardInterrupt


class Steps(Watch):
    """Writes down the steps that are done."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def stepped(self, step: int) -> None:
        self.seen.append(step)


@pytest.fixture
def eager(monkeypatch) -> None:
    """Every step is followed by a checkpoint."""
    monkeypatch.setattr(Checkpoint, "due", lambda _self: True)


@pytest.mark.usefixtures("eager")
def test_a_run_killed_between_checkpoints_goes_on_to_the_bitwise_same_result(
    tiny, finished, tmp_path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path, Dies(after=4))
    assert (tmp_path / FILE).exists()
    assert not (tmp_path / FINISHED).exists()
    draft = tmp_path / f".{FILE}.host.123.tmp.pt"
    draft.write_bytes(b"killed while it was written")
    again = Steps()
    train(tiny, tmp_path, again)
    assert again.seen == list(range(4, 7))
    assert same_files(finished, tmp_path)
    assert not draft.exists()
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("question", [0, 6, 7])  # 6: after the last step; 7: while testing
def test_a_run_that_is_asked_to_stop_saves_leaves_and_goes_on(
    tiny, finished, tmp_path, question
) -> None:
    with pytest.raises(Stopped, match=f"step {min(question + 1, 6)} of 6"):
        train(tiny, tmp_path, Asks(question))
    assert not (tmp_path / FINISHED).exists()
    again = Steps()
    train(tiny, tmp_path, again)
    assert again.seen == list(range(min(question + 2, 7), 7))
    assert same_files(finished, tmp_path)


def test_a_float16_run_goes_on_with_its_scale(plainer, tmp_path) -> None:
    config = replace(plainer, train=replace(plainer.train, precision="float16"))
    train(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(config, tmp_path / "cut", Asks(2))
    train(config, tmp_path / "cut")
    assert same_files(tmp_path / "whole", tmp_path / "cut")


def test_tensorboard_forgets_the_steps_that_are_done_again(tiny, tmp_path, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    due = iter([True, *[False] * 20])
    monkeypatch.setattr(Checkpoint, "due", lambda _self: next(due))
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path, Dies(after=4), runtime=Runtime(tensorboard=True))
    train(tiny, tmp_path, runtime=Runtime(tensorboard=True))
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("loss")] == [0, 1, 2, 3, 4, 5]


def test_a_finished_run_that_nobody_heard_of_is_not_done_again(tiny, tmp_path) -> None:
    """As after a kill between its last file and the ledger."""
    about, heard = {"hash": "102fbae3f89b"}, Steps()
    value = train(tiny, tmp_path, identity=about)
    assert train(tiny, tmp_path, heard, identity=about) == value
    assert heard.seen == []
    assert recorded(tmp_path, tiny, "another", test=True) is None


def test_who_lost_the_claim_writes_nothing_and_the_new_owner_keeps_its_rows(
    tiny, finished, tmp_path
) -> None:
    """The old owner takes its last steps when the new one has finished the run."""

    class Loses(Watch):
        lost = False

        def stepped(self, step: int) -> None:
            if step == 3:
                train(tiny, tmp_path)
                self.lost = True

        def before_write(self) -> None:
            if self.lost:
                raise LostClaim

    with pytest.raises(LostClaim):
        train(tiny, tmp_path, Loses())
    assert same_files(finished, tmp_path)
    assert not (tmp_path / FILE).exists()


@pytest.fixture
def half(tiny, tmp_path) -> Path:
    with pytest.raises(Stopped):
        train(tiny, tmp_path, Asks(2))
    return tmp_path


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_checkpoint_that_cannot_be_read_is_named_with_the_fix(tiny, half, damage) -> None:
    whole_bytes = (half / FILE).read_bytes()
    (half / FILE).write_bytes(whole_bytes[: len(whole_bytes) // 2] if damage is None else damage)
    with pytest.raises(UserError, match=rf"cannot be read .*delete {half / FILE}"):
        train(tiny, half)


def test_a_checkpoint_of_another_configuration_is_refused(tiny, half) -> None:
    with pytest.raises(UserError, match=rf"another configuration; delete {half / FILE}"):
        train(replace(tiny, seed=5), half)
    patient = replace(tiny, train=replace(tiny.train, save_seconds=999.0))
    train(patient, half)  # that changes no result
    assert (half / FINISHED).exists()


def test_a_checkpoint_of_another_number_of_processes_is_refused(tiny, half) -> None:
    saved = torch.load(half / FILE, weights_only=True)
    torch.save({**saved, "world": 2}, half / FILE)
    remedy = (
        rf"run on 2 processes, and this is on 1; start as many as then, or delete {half / FILE}"
    )
    with pytest.raises(UserError, match=remedy):
        train(tiny, half)


def test_a_history_shorter_than_the_checkpoint_says_is_refused(tiny, half) -> None:
    rows = (half / "history.csv").read_bytes()
    (half / "history.csv").write_bytes(rows[:-5])
    with pytest.raises(UserError, match="delete the checkpoint beside it"):
        train(tiny, half)


def test_saving_takes_at_most_a_twentieth_of_the_time(tiny, tmp_path, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        checkpoints.torch, "save", lambda _state, file: (file.touch(), now.append(now.pop() + 9))
    )
    config = replace(tiny, train=replace(tiny.train, save_seconds=60.0))
    run = training.prepare(config, tmp_path, Watch(), Runtime(), torch.device("cpu"))
    training.begin(run)
    now[0] = 61.0
    assert run.checkpoint.due()
    run.checkpoint.save(Progress())
    waits = [seconds for seconds in (59.0, 179.0, 181.0) if _due(run.checkpoint, now, seconds)]
    run.history.close()
    assert waits == [181.0]


def _due(checkpoint: Checkpoint, now: list[float], after: float) -> bool:
    saved = 61.0 + 9
    now[0] = saved + after
    return checkpoint.due()
