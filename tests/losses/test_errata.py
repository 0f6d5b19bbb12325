"""The errata: each one's settings build and differ, and what they cost is printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import losses
from losses.errata import ERRATA, Erratum

ROOT = Path(__file__).parent.parent.parent
numbered = pytest.mark.parametrize("erratum", ERRATA, ids=lambda e: str(e.number))


def inputs(kind: str) -> tuple[object, ...]:
    g = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(2, 1, 70, 80, generator=g, dtype=torch.float64)
    t = (z + torch.randn(z.shape, generator=g, dtype=torch.float64) > 3).double()
    t = (0.9995 * t).contiguous()
    if kind == "levels":
        return [z], t
    if kind == "gradient":
        return [z], [z.roll(3, -1)], t.repeat(1, 3, 1, 1), t
    if kind == "db":
        return z, z.sigmoid(), t, 0.3 + 0.4 * t, torch.ones_like(t)
    return (z.sigmoid() if kind == "map" else z), t


def test_the_errata_are_numbered_without_gaps() -> None:
    assert [e.number for e in ERRATA] == list(range(1, 14))


@numbered
def test_published_and_repaired_are_two_losses(erratum: Erratum) -> None:
    repaired = erratum.repaired.build()
    assert torch.isfinite(repaired(*inputs(repaired.kind)))  # type: ignore[arg-type]
    if erratum.published is None:
        return
    published = erratum.published.build()
    ours, theirs = repaired(*inputs(repaired.kind)), published(*inputs(published.kind))  # type: ignore[arg-type]
    if published.kind == "gradient":  # the released label differs in gradient too
        assert not published.knobs["detach_target"]
    assert abs(float(ours - theirs)) > 1e-9


@numbered
def test_the_consequence_is_measured(erratum: Erratum) -> None:
    said = erratum.consequence()
    assert len(re.findall(r"\d", said)) >= 3


def test_the_figures_of_the_specification_are_found_again() -> None:
    said = {e.number: e.consequence() for e in ERRATA}
    assert re.search(r"gamma 0 / 5 / 50: ([\d.]+) / \1 / \1, as meant", said[1])
    assert "27.6 / 11.5 / 4.5 times" in said[2]
    assert "in batches of 1 / 4: 0.4102 / 1.641" in said[5]
    assert re.search(r"ratio 0 / 1 / 3 / 30: ([\d.]+) / \1 / \1 / \1 with Dice", said[12])
    assert re.search(r"ratio 0 / 1 / 3 / 30: ([\d.]+) / \1 / \1 / \1, repaired", said[13])


def test_the_command_prints_each_with_source_and_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "losses.errata"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(re.findall(r"^\d+\. ", done.stdout, re.MULTILINE)) == 13
    assert done.stdout.count("measured") == done.stdout.count("published  ") == 13


def test_an_unknown_number_is_refused() -> None:
    command = [sys.executable, "-m", "losses.errata", "--number", "14"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "they run from 1 to 13" in done.stderr


def test_fine_tuning_begins_where_the_release_says_and_needs_no_state() -> None:
    loss = losses.build("birefnet_pixel", **losses.fine_tuning("General", epochs=100))
    for u in (1.0, 0.79, 0.81, 0.0):
        weights = loss.arguments(u)
        tuned = u > 0.8
        assert weights["bce"] == (0 if tuned else 30)
        assert weights["iou"] == (0.25 if tuned else 0.5)
        assert weights["mae"] == pytest.approx(90 if tuned else 100)
    matting = losses.build("birefnet_pixel", **losses.fine_tuning("Matting", epochs=100))
    assert matting.arguments(1.0)["ssim"] == pytest.approx(9)
    assert matting.arguments(1.0)["bce"] == 30
    with pytest.raises(ValueError, match="more than the 40 that DIS5K fine-tunes"):
        losses.fine_tuning("DIS5K", epochs=40)
    with pytest.raises(ValueError, match="did you mean 'Matting'"):
        losses.fine_tuning("Mating", epochs=40)
