"""Every grid's arms are losses that train, and a loss of one's own is one more arm."""

import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import experiments.grids
import experiments.searches
import losses
from analysis.metrics import METRICS
from experiments import grid as grids
from experiments import pilot
from experiments import task as tasks
from experiments.cli.options import grids_help
from experiments.config import LossConfig, RunConfig
from experiments.errors import UserError
from experiments.model import MAKERS
from experiments.objective import Objective, grown
from experiments.presets import PRESETS
from experiments.search import search
from models.birefnet import BiRefNetOutput
from models.dbnet import DBOutput


def output() -> tuple[BiRefNetOutput, torch.Tensor, torch.Tensor]:
    """What a model of 64 px gives for two images, with the image and a soft target."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=g)

    levels = [normal(2, 1, s, s).requires_grad_() for s in (8, 16, 32, 64)]
    gradients = [normal(2, 1, s, s).requires_grad_() for s in (8, 16, 32)]
    target = normal(2, 1, 64, 64).clamp(0, 1)  # half of it 0, a sixth 1, the rest soft
    out = BiRefNetOutput(levels[-1], levels, gradients, None, None)
    return out, normal(2, 3, 64, 64), target


def text_output() -> tuple[DBOutput, torch.Tensor, torch.Tensor]:
    """What a DB head of 64 px gives for two images, one without text, and their labels."""
    g = torch.Generator().manual_seed(0)
    logits, raw = (torch.randn(2, 1, 64, 64, generator=g).requires_grad_() for _ in range(2))
    labels = torch.rand(2, 4, 64, 64, generator=g)
    labels[:, [0, 1, 3]] = labels[:, [0, 1, 3]].round()
    labels[1, [0, 3]] = 0
    return DBOutput(logits, raw.sigmoid()), torch.randn(2, 3, 64, 64, generator=g), labels


@pytest.mark.parametrize("name", grids.names())
def test_every_arm_is_a_finite_loss_with_a_gradient_at_any_progress(name: str) -> None:
    grid = grids.find(name)
    given = {"masks": output, "text": text_output}[grid.task]
    for arm, chosen in grid.arms.items():
        objective = tasks.find(grid.task).objective(chosen.loss)
        for u in (0.0, 0.5, 1.0):
            out, image, target = given()
            total = objective.total(objective(out, image, target, u))
            total.backward()
            assert torch.isfinite(total), arm
            assert out.logits.grad.abs().sum() > 0, arm


@pytest.mark.parametrize("name", grids.names())
def test_every_arm_has_a_model_that_can_be_built(name: str) -> None:
    grid = grids.find(name)
    for arm in grid.arms.values():
        switches = {**grid.presets["smoke"].model, **arm.model}
        switches.pop("perturb", None)  # of the initial weights: no switch of the model
        MAKERS[grid.task](switches.pop("preset"), **switches)


def test_the_errata_grid_has_the_settings_of_the_errata() -> None:
    arms = grids.find("errata").arms
    pixel = {name: dict(arm.loss.pixel) for name, arm in arms.items()}
    assert pixel["structure_unweighted"] == {"name": "structure", "weighting": "as_published"}
    assert pixel["patch_first"]["terms"] == "as_published"
    assert pixel["iou_summed"]["iou_reduction"] == "sum"


def test_the_released_composite_is_an_arm_of_which_loss() -> None:
    pixel = dict(grids.find("which_loss").arms["birefnet_pixel"].loss.pixel)
    assert pixel == {"name": "birefnet_pixel", **losses.AS_RELEASED}


def test_the_a_a_grid_has_one_arm_twice_and_16_seeds_but_in_smoke() -> None:
    grid = grids.find("aa")
    bce, copy = grid.arms["bce"], grid.arms["copy"]
    assert bce == grids.find("grad_loss").arms["bce"]
    assert (copy.loss, copy.model) == (bce.loss, {"perturb": 1e-6})
    assert {name: preset.seeds for name, preset in grid.presets.items()} == {
        name: 2 if name == "smoke" else 16 for name in PRESETS
    }


@pytest.mark.parametrize("name", ["structure", "region_adaptive", "unet_bce"])
def test_what_the_target_decides_is_made_once_for_all_levels(name: str, monkeypatch) -> None:
    objective = Objective(LossConfig(pixel={"name": name}))
    out, image, target = output()
    levels = grown(out.levels, target.shape[-2:])
    alone = sum(losses.build(name)(z, target) for z in levels)
    ((key, maker),) = losses.spec(name).makers.items()
    calls = []

    def counted(*args, mask=None, gamma=5.0, window=31, border="zero", w0=10.0, sigma=5.0):
        calls.append(key)
        knobs = {"gamma": gamma, "window": window, "border": border, "w0": w0, "sigma": sigma}
        return maker(
            *args, mask=mask, **{k: knobs[k] for k in signature(maker).parameters if k in knobs}
        )

    monkeypatch.setitem(losses.spec(name).makers, key, counted)
    torch.testing.assert_close(objective(out, image, target, 0.0)["pixel"], alone)
    assert calls == [key]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"primary": "F_max"}, "unknown primary metric .*'F_max'; did you mean 'F_mean'"),
        ({"primary": "G_MAE"}, "unknown primary metric"),
        ({"guards": ("steps_90",)}, "unknown guard"),
        ({"contrasts": (grids.Contrast("mae", "mae", ""),)}, "compares an arm with itself"),
        ({"contrasts": (grids.Contrast("mae", "bce", ""),) * 2}, "is there already"),
        (
            {"contrasts": (grids.Contrast("mae", "bce", ""), grids.Contrast("bce", "mae", ""))},
            "'bce' minus 'mae' .* is there already, reversed",
        ),
    ],
)
def test_a_grid_that_cannot_be_judged_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(grids.find("grad_loss"), **changes)


def test_a_guard_is_anything_that_a_test_measures_and_that_the_analysis_knows() -> None:
    for name, some in (("grad_loss", {"MAE", "F_max", "G_corr"}), ("db_loss", {"P_textfree"})):
        grid = grids.find(name)
        grid = replace(grid, guards=grids.MEASURED[grid.task])
        assert some <= {*grid.guards} <= {*METRICS}


def test_the_pilot_finds_no_gradient_where_no_gradient_is_predicted(tiny: RunConfig) -> None:
    assert pilot.initial_rms(tiny) > 0
    assert pilot.initial_rms(replace(tiny, model={**tiny.model, "outward": False})) == 0


def test_a_mistake_in_a_pilot_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--grid", "grad_loss", "--preset", "smoke", "--arm", "bce", "--weight", "-1"]
    assert pilot.main(options) == 2
    assert capsys.readouterr().err.startswith("error: loss.gradient_weight is -1.0, expected")


def added(kind: ModuleType, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a file `mine.py` among the grids or searches."""
    (folder / "mine.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(kind, "__path__", [*kind.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, f"{kind.__name__}.mine", raising=False)


@pytest.mark.parametrize(
    ("kind", "code", "find"),
    [
        (experiments.grids, "from experiments.grids.grad_loss import GRID", grids.find),
        (experiments.searches, "from experiments.searches.structure import SEARCH", search.find),
    ],
)
def test_a_copied_file_that_kept_the_name_inside_is_refused(
    kind: ModuleType, code: str, find: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(kind, code, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"/mine\.py holds a .* its name is its file's, so 'mine'"):
        find("mine")


def test_a_grid_s_file_with_a_mistake_does_not_take_the_help_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(experiments.grids, "GRID = Grid()", tmp_path, monkeypatch)
    told = grids_help()
    assert "mine              cannot be used: NameError: name 'Grid' is not defined" in told
    assert grids.find("which_loss").question in told


def test_a_registered_loss_is_one_more_arm_with_a_contrast() -> None:
    grid = grids.with_losses(grids.find("grad_loss"), ["lovasz_hinge"])
    assert dict(grid.arms["lovasz_hinge"].loss.pixel) == {"name": "lovasz_hinge"}
    assert grid.arms["lovasz_hinge"].loss.gradient == grid.arms["bce"].loss.gradient
    assert (grid.contrasts[-1].arm, grid.contrasts[-1].minus) == ("lovasz_hinge", "bce")
    assert list(grids.find("grad_loss").arms) == list(grid.arms)[:-1]


def test_a_loss_that_is_unknown_or_an_arm_already_is_refused() -> None:
    grid = grids.find("which_loss")
    with pytest.raises(UserError, match="did you mean 'mae'"):
        grids.with_losses(grid, ["maee"])
    with pytest.raises(UserError, match="has an arm of that name"):
        grids.with_losses(grid, ["dice"])


@pytest.mark.parametrize("name", ["masked_l1", "db", "gradient_supervision"])
def test_a_loss_of_another_kind_is_no_main_loss(name: str) -> None:
    with pytest.raises(UserError, match="a main loss of masks is of kind 'logits' or 'levels'"):
        grids.with_losses(grids.find("which_loss"), [name])
    with pytest.raises(UserError, match="a main loss of masks is of kind 'logits' or 'levels'"):
        Objective(LossConfig(pixel={"name": name}))
