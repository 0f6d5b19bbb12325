"""The table of metrics against what the runs measure."""

import math
import re
from typing import Any

import numpy as np
import pytest

from analysis.metrics import METRICS, VARIANTS, sign
from analysis.pooled import POOLED
from analysis.works import WORKS
from experiments import metrics as measured
from experiments import text


def test_the_metrics_and_their_directions_are_those_that_runs_measure() -> None:
    names = {*measured.METRICS, *measured.MAXIMA, *measured.GRADIENT}
    words = {*text.MEASURED, "H_image"}
    assert names | words == {*METRICS} - {"steps_90"}  # which the analysis reads off the history
    assert {*POOLED} < words
    assert all(sign(name) > 0 for name in words)
    assert {name for name in names if sign(name) < 0} == {*measured.LOWER_IS_BETTER}


def test_the_published_variant_names_whose_hce_and_mba_are_unstretched() -> None:
    for work in WORKS:
        measures = "HCE" in work.metrics or "mBA" in work.metrics
        stretches = "HCE too" in work.prepares
        named = work.name.split(" (")[0] in VARIANTS["published"]
        assert named == (measures and not stretches), work.name


@pytest.mark.parametrize("size", [64, 128, 250, 400, 1024])
def test_the_radii_that_mba_is_said_to_have_are_those_it_has(monkeypatch: Any, size: int) -> None:
    said = re.search(r"radii 1 \+ (\w+)\(k \(\(H \+ W\) / 300 - 1\) / 5\)", METRICS["mBA"].about)
    assert said
    rounded = getattr(math, said[1])
    used: list[int] = []
    monkeypatch.setattr(measured, "_accuracy", lambda *args: used.append(args[-1]) or 1.0)
    empty = np.zeros((size, size), dtype=bool)
    measured.boundary_accuracy(empty, empty)
    assert used == sorted({1 + rounded(k * (2 * size / 300 - 1) / 5) for k in range(5)})
    assert (used == [1]) == (2 * size < 675)
