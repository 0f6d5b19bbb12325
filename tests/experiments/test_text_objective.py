"""The loss of a run on words: its three maps, and how the arms of text grids differ."""

from dataclasses import replace

import numpy as np
import torch

import losses
from experiments import grid as grids
from experiments.config import LossConfig, RunConfig
from experiments.text.objective import Objective
from experiments.train import train
from models.dbnet import DBOutput


def test_the_objective_is_the_loss_of_the_three_maps() -> None:
    g = torch.Generator().manual_seed(0)
    logits, raw = (torch.randn(2, 1, 32, 32, generator=g).requires_grad_() for _ in range(2))
    out = DBOutput(logits, raw.sigmoid())
    labels = (torch.rand(2, 4, 32, 32, generator=g) > 0.7).float()
    shrunk, mask, threshold, where = labels.split(1, 1)
    objective = Objective(LossConfig(pixel={"name": "db", "ratio": 1.0}))
    terms = objective(out, torch.zeros(2, 3, 32, 32), labels, 0.0)
    whole = losses.build("db", ratio=1.0)(
        logits, out.threshold, shrunk, threshold, where, mask=mask
    )
    torch.testing.assert_close(objective.total(terms), whole)
    ours, theirs = (
        torch.autograd.grad(x, (logits, raw), retain_graph=True)
        for x in (objective.total(terms), whole)
    )
    torch.testing.assert_close(ours, theirs)
    alone = Objective(LossConfig(pixel={"name": "dice"}))
    terms = alone(out, torch.zeros(2, 3, 32, 32), labels, 0.0)
    torch.testing.assert_close(alone.total(terms), losses.build("dice")(logits, shrunk, mask=mask))


def test_a_branch_that_learned_nothing_is_not_shown(small: RunConfig, tmp_path) -> None:
    config = replace(small, loss=LossConfig(pixel={"name": "dice"}))
    assert not Objective(config.loss).of_threshold
    assert not Objective(grids.find("db_loss").arms["no_threshold"].loss).of_threshold
    assert Objective(small.loss).of_threshold
    train(replace(config, train=replace(config.train, steps=2)), tmp_path)
    assert {*np.load(tmp_path / "text_maps.npz")} == {"names", "image", "target", "prediction"}


def test_with_dice_the_mining_ratio_changes_no_bit(small: RunConfig, tmp_path) -> None:
    ends = []
    for ratio in (1.0, 10.0):
        pixel = {"name": "db", "prob": "dice", "ratio": ratio}
        folder = tmp_path / str(ratio)
        train(replace(small, loss=LossConfig(pixel=pixel)), folder)
        ends.append((folder / "checkpoint.safetensors").read_bytes())
    assert ends[0] == ends[1]


def test_arms_of_text_grids_differ_in_what_they_say() -> None:
    g = torch.Generator().manual_seed(0)
    logits, raw = (torch.randn(3, 1, 32, 32, generator=g).requires_grad_() for _ in range(2))
    labels = torch.zeros(3, 4, 32, 32)
    labels[:, 1] = 1
    labels[0, [0, 3], 4:12, 4:28] = labels[1, [0, 3], 10:14, 8:12] = 1  # the third has no text
    labels[:, 2] = 0.5

    def terms(grid: str, arm: str) -> dict[str, torch.Tensor]:
        objective = Objective(grids.find(grid).arms[arm].loss)
        return objective(DBOutput(logits, raw.sigmoid()), torch.zeros(3, 3, 32, 32), labels, 0.0)

    def differ(grid: str, arm: str, minus: str) -> set[str]:
        ours, theirs = terms(grid, arm), terms(grid, minus)
        return {name for name in ours if ours[name] != theirs[name]}

    for arm in ("batch", "ratio_1", "ratio_10", "off"):
        assert differ("ohem", arm, "ratio_3") == {"probability"}, arm
    assert differ("ohem", "dice_10", "dice_1") == set()
    for arm in ("bce", "dice", "dice_bce", "focal"):
        assert differ("db_loss", arm, "db") == {"probability"}, arm
    assert differ("db_loss", "no_threshold", "db") == {"threshold", "binary"}
    totals = {
        arm: float(torch.stack([*terms("db_loss", arm).values()]).sum().detach())
        for arm in grids.find("db_loss").arms
    }
    assert len(set(totals.values())) == len(totals), "no two arms are one loss"
    (slope,) = torch.autograd.grad(sum(terms("ohem", "none_free").values()), logits)
    assert slope[:2].abs().sum() > 0
    assert slope[2].abs().sum() == 0, "an image without text teaches nothing"
