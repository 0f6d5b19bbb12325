"""`--set`: what a preset becomes, what the result is called, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

import models
from experiments import grid as grids
from experiments.cli import overrides
from experiments.cli.job import Job, prepare
from experiments.cli.options import parser
from experiments.errors import UserError
from models import BiRefNet


def job(*texts: str, grid: str = "grad_loss", more: Sequence[str] = ()) -> Job:
    options = ["--grid", grid, "--preset", "smoke", *more]
    for text in texts:
        options += ["--set", text]
    return prepare(parser().parse_args(options))


def test_values_have_the_types_of_their_fields() -> None:
    preset = job(
        "train.lr=2e-4",
        "train.steps=1e1",
        "train.schedule=step",
        "train.drops=.3,0.6",
        "train.compile=true",
        "data.size=[96,128]",
        "data.augment=flip,rotate",
        "data.counts.train=16",
        "model.context=2",
        "model.inward=image",
    ).preset
    t, d = preset.train, preset.data
    assert (t.lr, t.steps, t.schedule, t.drops, t.compile) == (2e-4, 10, "step", (0.3, 0.6), True)
    assert (d.size, d.augment, d.counts.train) == ((96, 128), ("flip", "rotate"), 16)
    assert (preset.model["context"], preset.model["inward"]) == (2, "image")
    assert type(t.steps) is int


def test_the_order_and_spelling_of_options_does_not_matter() -> None:
    one = job("train.lr=1e-4", "data.size=[96,96]")
    two = job("data.size=96,96", "train.lr=0.0001")
    assert one.study == two.study == "grad_loss/smoke+data.size=96,96+train.lr=0.0001"
    assert [cell.hash for cell in one.cells] == [cell.hash for cell in two.cells]


def test_another_value_is_another_study_and_folder_and_other_cells() -> None:
    plain, other = job(), job("train.clip=1")
    assert other.folder.name == "smoke+train.clip=1.0"
    assert not {cell.hash for cell in plain.cells} & {cell.hash for cell in other.cells}


@pytest.mark.parametrize("text", ["train.lr=1e-3", "data.workers=2", "train.save_seconds=5"])
def test_what_changes_no_result_changes_no_name_and_no_cell(text: str) -> None:
    plain, same = job(), job(text)
    assert same.study == plain.study
    assert [cell.hash for cell in same.cells] == [cell.hash for cell in plain.cells]


def test_the_same_number_spelled_otherwise_changes_no_name_and_no_cell() -> None:
    plain, same = job(grid="db_loss"), job("boxes.least_side=2", grid="db_loss")
    assert plain.preset.boxes["least_side"] == 2.0
    assert same.study == plain.study
    assert [cell.hash for cell in same.cells] == [cell.hash for cell in plain.cells]


@pytest.mark.parametrize("text", ["model.freeze_backbone=1", "model.bb_pretrained=null"])
def test_what_makes_other_cells_is_in_the_name_too(text: str) -> None:
    plain, other = job(), job(text)  # one stage is frozen, where the preset freezes all
    assert not {cell.hash for cell in plain.cells} & {cell.hash for cell in other.cells}
    assert other.study == f"{plain.study}+{text}"


def test_more_seeds_are_more_cells_of_the_same_study() -> None:
    few, many = job(), job("seeds=3")
    assert many.study == few.study
    assert len(many.cells) == 21
    assert {cell.hash for cell in few.cells} < {cell.hash for cell in many.cells}


def test_a_loss_is_set_in_every_arm() -> None:
    arms = job(
        "loss.pixel.name=structure", "loss.pixel.gamma=1", "loss.gradient_weight=2"
    ).grid.arms
    assert {arm.loss.gradient_weight for arm in arms.values()} == {2.0}
    assert all(arm.loss.pixel == {"name": "structure", "gamma": 1} for arm in arms.values())
    assert arms["mae"].loss.gradient["objective"] == "mae"


def test_an_arm_keeps_the_switch_it_is_about() -> None:
    options = ["--grid", "birefnet_modules", "--preset", "smoke", "--set", "model.inward=image"]
    found = {c.arm: c.config.model["inward"] for c in prepare(parser().parse_args(options)).cells}
    assert (found["full"], found["no_inward"]) == ("image", "none")


def test_deterministic_is_a_setting_of_the_run() -> None:
    flag, text = job(more=["--deterministic"]), job("train.deterministic=true")
    assert flag.study == text.study == "grad_loss/smoke+train.deterministic=true"
    assert flag.preset.train.deterministic


def test_published_metrics_are_a_setting_of_the_run_and_of_its_name() -> None:
    published = job("train.metrics=published")
    assert published.study == "grad_loss/smoke+train.metrics=published"
    assert {cell.config.train.metrics for cell in published.cells} == {"published"}
    assert job("train.metrics=plain").study == "grad_loss/smoke"


def test_the_copy_of_an_a_a_grid_takes_switches_of_the_model_too() -> None:
    options = ["--grid", "aa", "--preset", "smoke", "--set", "model.inward=image"]
    found = {c.arm: c.config.model for c in prepare(parser().parse_args(options)).cells}
    assert found["copy"] == {**found["bce"], "perturb": 1e-6}
    assert found["bce"]["inward"] == "image"


def test_no_value_leads_out_of_the_results_folder(tmp_path) -> None:
    plain = job("model.pretrained=../../../elsewhere")
    assert "/" not in plain.folder.name
    assert plain.folder.parent == job().folder.parent
    assert plain.study != job("model.pretrained=../../..-elsewhere").study
    assert len(job(f"model.pretrained={tmp_path / ('x' * 300)}").folder.name) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.lrr=1", "did you mean 'train.lr'?"),
        ("lr=1", "did you mean 'train.lr'?"),
        ("optimizer=adam", "unknown key of --set 'optimizer'"),
        ("train.steps=1.5", "train.steps is '1.5', expected a whole number"),
        ("train.lr=fast", "train.lr is 'fast', expected a number"),
        ("train.lr=nan", "expected a number"),
        ("train.lr=-1", "train.lr is -1.0, expected above 0"),
        ("train.compile=maybe", "expected true or false"),
        ("train.schedule=cosin", "did you mean 'cosine'?"),
        ("train.accumulate=3", "expected a divisor of train.batch"),
        ("data.size=96", "expected 2 values"),
        (
            "data.size=16,16",
            "arm 'none' (data.size, train.batch, train.accumulate): image is (4, 3, 16, 16), ",
        ),
        ("train.batch=1", "train.accumulate): a batch of one image has no batch statistics"),
        ("train.accumulate=4", "train.accumulate): a batch of one image has no batch statistics"),
        ("data.augment=flop", "did you mean 'flip'?"),
        ("data.counts=8", "did you mean 'data.counts"),
        ("data.name=thin3d", "give --data instead"),
        ("model.preset=lite,official", "unknown preset 'lite,official'"),
        ("model.inwar=none", "did you mean 'model.inward'?"),
        ("model.inward=imag", "did you mean 'image'?"),
        ("model.backbone=pvt_v2_b9", "did you mean 'pvt_v2_b5'?"),
        ("model.dropout=2", "dropout is 2, expected 0 to below 1"),
        ("model.multi_stage=false", "outward needs multi_stage=True"),
        ("loss.pixel.name=structur", "did you mean 'structure'?"),
        ("loss.pixel.name=bce,iou", "unknown loss 'bce,iou'"),
        ("loss.pixel.name.gamma=1", "did you mean 'loss.pixel.name'?"),
        ("loss.gradient_weight=-1", "loss.gradient_weight is -1.0, expected a number of at least"),
        ("loss.pixel.gamma=1", "'birefnet_pixel' has no knob 'gamma'"),
        ("loss.gradient.objective=bce", "are the same setting"),
        ("seeds=0", "seeds is 0, expected 1 to 999"),
        ("seeds=many", "seeds is 'many', expected a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        job(text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("grid", "text", "message"),
    [
        ("db_loss", "data.size=32,32", "H and W from 64"),
        ("db_loss", "boxes.cut=0.5", "each run chooses cut and least_score on its validation"),
        ("db_loss", "boxes.least_score=.5", "what can be set is boxes.unclip, boxes.least_side"),
        ("db_loss", "boxes.uncli=1", "did you mean 'boxes.unclip'?"),
        (
            "db_loss",
            "optimizer=adam",
            "'optimizer' (known: boxes.*, data.*, loss.*, model.*, seeds, train.*)",
        ),
        (
            "db_loss",
            "train.metrics=published",
            "that is for grids of masks, and this is one of text",
        ),
        ("db_loss", "loss.gradient_weight=1", "that is for grids of masks"),
        ("grad_loss", "boxes.form=polygon", "that is for grids of text, and this is one of masks"),
        ("grad_loss", "model.body=fpn", "that is for grids of text"),
    ],
)
def test_a_key_of_the_other_task_or_of_each_run_is_refused_as_such(
    grid: str, text: str, message: str
) -> None:
    with pytest.raises(UserError) as refused:
        job(text, grid=grid)
    assert message in str(refused.value)


@pytest.mark.parametrize("grid", ["grad_loss", "db_loss"])
def test_one_image_is_a_batch_where_no_batch_norm_takes_its_statistics(grid: str) -> None:
    alone = ("train.batch=1", "model.batch_norm=false")
    assert job(*alone, grid=grid).preset.train.batch == 1
    with pytest.raises(UserError, match="freeze_backbone=True"):
        job(*alone, "model.freeze_backbone=false", "model.backbone=resnet18", grid=grid)


def test_an_arm_that_is_not_run_may_have_an_impossible_model() -> None:
    grid = grids.find("grad_loss")
    smoke = grid.presets["smoke"]
    unfit = replace(grid.arms["none"], model={"batch_norm": True})
    changed = replace(grid, arms={**grid.arms, "none": unfit})
    preset = replace(smoke, model={**smoke.model, "batch_norm": False})
    assert overrides.apply(changed, preset, ["train.batch=1"], ["bce"])[1].train.batch == 1
    with pytest.raises(UserError, match="a batch of arm 'none'"):
        overrides.apply(changed, preset, ["train.batch=1"])


def test_a_key_is_set_once() -> None:
    with pytest.raises(UserError, match="is given twice: '1' and '2'"):
        job("train.clip=1", "train.clip=2")


def test_the_checkpoint_of_start_decides_the_model(tmp_path) -> None:
    model = BiRefNet.preset("lite", inter_channels=8, aspp_channels=8, pretrained=False)
    torch.save(models.export_official(model), tmp_path / "official.pth")
    start = ["--start", str(tmp_path / "official.pth")]
    assert job("model.dropout=0", more=start).preset.model["dropout"] == 0
    with pytest.raises(UserError, match="the checkpoint of --start decides"):
        job("model.inward=image", more=start)


@pytest.mark.parametrize("name", ["../x", "a/b", "Upper", "", ".hidden", "with space"])
def test_a_grid_or_arm_has_a_name_that_can_be_a_folder(name: str) -> None:
    grid = grids.find("grad_loss")
    with pytest.raises(UserError, match="expected small letters, digits"):
        replace(grid, name=name)
    with pytest.raises(UserError, match="expected small letters, digits"):
        replace(grid, arms={**grid.arms, name: grid.arms["bce"]})
