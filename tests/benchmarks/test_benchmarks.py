"""The benchmarks run and count bytes rightly; no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import losses

from .inputs import Size, blobs, counted_bytes, make
from .measure import Timing, saved_bytes
from .report import markdown
from .suite import BENCHMARKS, Ratio

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_quick_runs_through_and_writes_a_well_formed_result(tmp_path: Path) -> None:
    out = tmp_path / "new" / "quick.json"
    done = command("--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    assert {"cpu", "cores", "threads", "python", "torch", "commit", "date"} <= set(
        result["machine"]
    )
    assert [b["name"] for b in result["benchmarks"]] == list(BENCHMARKS)
    assert [m["loss"] for m in result["memory"]] == losses.names()
    for found in result["benchmarks"]:
        assert all(len(row["samples_s"]) == 1 for row in found["subjects"].values())
        assert all(ratio["ratio"] > 0 for ratio in found["ratios"])
    tables = out.with_suffix(".md").read_text(encoding="utf-8")
    assert [n for n in [*BENCHMARKS, *losses.names()] if n not in tables] == []
    assert "missed" not in tables.split("## structure")[1], "nothing is judged on small images"


def test_a_name_that_fits_nothing_is_an_error_that_says_where_the_names_are() -> None:
    done = command("--list", "--only", "structur")
    assert done.returncode == 1
    assert "structur" in done.stderr
    assert "--list" in done.stderr


def test_a_pattern_chooses_among_the_names() -> None:
    done = command("--list", "--only", "memory:*iou")
    assert done.stdout.split() == ["memory:iou", "memory:patch_iou"]


def test_a_storage_saved_twice_counts_once_and_a_view_counts_whole() -> None:
    z = torch.randn(2, 1, 8, 8, requires_grad=True)
    assert saved_bytes(lambda x: x.sigmoid().square().sum(), (z,)) == z.nbytes
    assert saved_bytes(lambda x: x.exp()[:, :, :2].square().sum(), (z,)) == z.nbytes


@pytest.mark.parametrize(("kind", "maps"), [("logits", 2), ("map", 2), ("db", 4)])
def test_predictions_and_labels_count_masks_do_not(kind: str, maps: int) -> None:
    assert counted_bytes(make(kind, Size(2, 64))) == maps * 2 * 64 * 64 * 4


def test_a_fifth_of_each_target_is_positive_in_blobs() -> None:
    t = blobs(Size(3, 128))
    torch.testing.assert_close(t.mean((1, 2, 3)), torch.full((3,), 0.2), atol=1e-3, rtol=0)
    edges = (t.diff(dim=-1) != 0).float().mean()
    assert edges < 0.05, "noise has an edge at every third pixel"


def test_a_missed_target_is_said_to_be_missed() -> None:
    fast, dear = Ratio("a", "b", wanted=2), Ratio("a", "b", "cost", wanted=2)
    assert (fast.met(fast.of(1.0, 3.0)), fast.met(fast.of(1.0, 1.5))) == (True, False)
    assert (dear.met(dear.of(3.0, 1.0)), dear.met(dear.of(1.5, 1.0))) == (False, True)
    row = {"subject": "a", "against": "b", "kind": "cost", "ratio": 3.0, "wanted": 2.0}
    found = {"name": "n", "title": "t", "size": "s", "subjects": {}, "traffic": None}
    ratios = [{**row, "met": False, "values_apart": None}]
    result = {"benchmarks": [{**found, "ratios": ratios}], "memory": []}
    text = markdown({"machine": {}, "method": "", **result})
    assert "| a in times of b | 3.00x | <= 2x | **missed** |" in text


def test_the_median_is_of_the_rounds() -> None:
    assert Timing((5.0, 1.0, 2.0)).median == 2.0
