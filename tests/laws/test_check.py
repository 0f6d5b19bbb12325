"""``check`` and ``score`` on one's own functions and modules, and the table of all losses."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
from losses import image_mean, image_sum, prepare, reduce
from losses.db import DB_FLAVOURS
from losses.laws import BY_NUMBER, check, make_case, plain, score
from losses.laws.__main__ import main
from losses.laws.recipes import Recipe, Wants
from losses.pixel import bce_map


def sound(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
    """Keeps all laws."""
    b = prepare(logits, target, mask)
    with torch.autocast("cpu", enabled=False):
        values = F.binary_cross_entropy_with_logits(b.logits, b.target, reduction="none")
        return reduce(image_mean(values, b.mask), reduction)


def bare(logits: Tensor, target: Tensor) -> Tensor:
    """Takes neither mask nor reduction, as losses of other libraries."""
    return F.binary_cross_entropy_with_logits(logits, target)


class Dice(nn.Module):
    """Over the batch, as a module."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """One number for the batch."""
        p = logits.sigmoid()
        return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


def broken_by(loss: object) -> dict[int, str]:
    return {v.law: v.what for v in check(loss)}  # type: ignore[arg-type]


def test_a_sound_loss_of_ones_own_keeps_every_law() -> None:
    assert check(sound) == []
    scores = {s.law: s for s in score(sound)}
    assert sorted(scores) == sorted(BY_NUMBER)
    assert all(s.status == "kept" and s.reached > 0 for n, s in scores.items() if n <= 10)
    assert scores[11].reason == "it has no knob to turn"
    assert scores[13].reason == "'convex' is not claimed"
    assert check(sound, laws=[13, 14]) == []


def test_a_function_without_a_mask_is_told_so_and_tried_on_the_other_laws() -> None:
    found = broken_by(bare)
    assert found[2] == "takes no mask"
    assert set(found) <= {2, 9}


def test_a_module_with_sums_over_the_batch_is_no_mean_of_its_images() -> None:
    found = broken_by(Dice())
    assert found[3] == "the mean is not that of the images"
    assert 10 in found


def test_a_value_per_pixel_is_one_per_image_to_all_laws_but_the_third() -> None:
    found = broken_by(F.binary_cross_entropy_with_logits)
    assert "not one value per image" in found[3]
    assert set(found) <= {2, 3, 9}


def test_an_error_that_the_loss_raises_is_a_violation() -> None:
    def fails(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
        if logits.shape[0] == 1:
            raise RuntimeError("squeeze took the batch away")
        return sound(logits, target, mask=mask, reduction=reduction)

    (found,) = check(fails, laws=[6])
    assert found.what == "raises RuntimeError: squeeze took the batch away"
    assert "# loss: the fails that was checked" in found.reproduce


def test_a_loss_in_single_precision_is_tried_in_it() -> None:
    def single(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
        return sound(logits.float(), target.float(), mask=mask, reduction=reduction)

    found = broken_by(single)
    assert set(found) == {7}
    assert "gradients cannot be checked" in found[7]


def test_a_law_that_no_case_reaches_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_NUMBER, 2, replace(BY_NUMBER[2], wants=Wants(masks=("none",))))
    (scored,) = score(sound, laws=[2], cases=4)
    assert (scored.status, scored.tried, scored.reached) == ("unreached", 20, 0)
    (found,) = check(sound, laws=[2], cases=4)
    assert found.what == "none of 20 cases reached its premise: nothing is known"


def test_an_unknown_law_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown laws \[17\]: expected numbers in 1\.\.16"):
        check(sound, laws=[3, 17])


def test_other_kinds_are_checked_as_functions_too() -> None:
    def first_level(levels, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
        return losses.birefnet_pixel(levels, target, mask=mask, ssim=0.0, reduction=reduction)

    assert check(first_level, kind="levels", cases=5) == []
    assert check(losses.weighted_sum({"bce": 1.0, "dice": 0.5}), cases=5) == []


def test_the_same_seed_finds_the_same() -> None:
    assert check(Dice(), seed=3) == check(Dice(), seed=3)


@pytest.mark.parametrize("kind", ["logits", "map", "levels", "gradient", "db"])
def test_a_recipe_prints_as_the_call_that_makes_its_case(kind: losses.registry.Kind) -> None:
    recipe = Recipe(kind, 7, (1, 3, 2), "soft", "some", 0.1, True, torch.float32)
    made = eval(str(recipe), {"make_case": make_case, "torch": torch})
    again = recipe.case()
    pairs = zip((*made.predictions, made.target), (*again.predictions, again.target), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert made.target.dtype == torch.float32


def test_a_law_can_be_tried_on_one_case() -> None:
    case = make_case("logits", 0, mask="some")
    assert BY_NUMBER[2](sound, case)
    with pytest.raises(AssertionError, match=r"bare breaks law 2 \(ignored pixels are inert\)"):
        BY_NUMBER[2](plain(bare), case)


def test_the_laws_are_printed_in_a_line_each_without_a_warning() -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "losses.laws"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(n) for n in BY_NUMBER]
    assert done.stderr == ""


def test_the_table_of_one_loss_shows_how_each_law_stands(capsys: pytest.CaptureFixture) -> None:
    assert main(["--loss", "ssim", "--cases", "3"]) == 0
    row = " ".join(capsys.readouterr().out.splitlines()[1].split())
    assert row == "ssim ok ok ok ok no* no* ok ok ok ok ok - - - - ok"
    assert main(["--loss", "dice", "--cases", "2", "--markdown"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| dice | ok | ok |")


def test_losses_of_an_installed_library_are_scored_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    package = tmp_path / "monai"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "losses.py").write_text(
        "class DiceLoss:\n"
        "    def __init__(self, sigmoid): ...\n"
        "    def __call__(self, logits, target): return (logits.sigmoid() - target).abs().mean()\n"
    )
    broken = tmp_path / "segmentation_models_pytorch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('built for another torch')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("losses.laws.__main__.names", lambda: ["bce"])
    main(["--table", "--cases", "2"])
    out = capsys.readouterr().out
    assert "does not import: RuntimeError: built for another torch" in out
    assert "DiceLoss 2: takes no mask" in out
    sys.modules.pop("monai.losses")
    sys.modules.pop("monai")


def test_law_9_takes_a_sum_over_pixels_whose_slopes_float16_holds() -> None:
    recipe = Recipe("db", 1, size=(2, 36, 36))  # float16: an odd seed
    summed = losses.build("db", **DB_FLAVOURS["paper"])
    assert BY_NUMBER[9](summed, recipe.case())


@pytest.mark.parametrize(("times", "fault"), [(1e7, 1.0), (1e3, 1.002)])
def test_law_9_refuses_slopes_past_float16_and_a_fault_of_float16_alone(
    times: float, fault: float
) -> None:
    def summed(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
        b = prepare(logits, target, mask)
        off = fault if logits.dtype == torch.float16 else 1.0
        return reduce(times * off * image_sum(bce_map(b.logits, b.target), b.mask), reduction)

    assert check(summed, laws=[9])


def test_law_5_takes_the_rounding_of_a_gradient_that_is_0_for_no_push() -> None:
    published = losses.build("db", **DB_FLAVOURS["PaddleOCR"])
    assert BY_NUMBER[5](published, Recipe("db", 0, size=(1, 1, 1), target="empty").case())


def test_law_5_finds_labels_that_are_smoothed_a_little() -> None:
    def smoothed(logits: Tensor, target: Tensor, *, mask=None, reduction="mean") -> Tensor:
        moved = 0.998 * target + 0.001
        return losses.bce(logits, moved, mask=mask, reduction=reduction)

    assert check(smoothed, laws=[5])
