"""The table of metrics against what the runs measure."""

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
