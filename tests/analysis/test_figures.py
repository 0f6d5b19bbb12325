"""The figures: nothing is cut off, whatever the names and the grid, and bytes are stable."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from matplotlib import rc_context

from analysis.figures import CAPTIONS, FIGURES, new_figure, save
from analysis.figures.style import fit, stacked, text_width
from analysis.load import load
from analysis.summary import Summary, summarise

from .drawings import OF_MASKS, check_texts, drawn, words

LONG = ("mae", "x" * 60, "W" * 30, "模型 $a_{b}$", "cost_$5 % & <b>", "two\nlines")


def test_every_figure_has_a_caption_in_the_same_order() -> None:
    assert list(FIGURES) == list(CAPTIONS)


@pytest.mark.parametrize("stem", OF_MASKS)
def test_a_figure_is_saved_as_the_same_bytes_whatever_the_settings_around_it(
    full: Summary, stem: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{stem}{suffix}" for suffix in (".png", ".pdf")]
    save(drawn(stem, full), paths)
    first = [path.read_bytes() for path in paths]
    with rc_context(
        {"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 50, "image.cmap": "jet"}
    ):
        save(drawn(stem, full), paths)
    assert [path.read_bytes() for path in paths] == first
    assert not any(b"matplotlib" in data.lower() or b"CreationDate" in data for data in first)
    assert all(len(data) < 400_000 for data in first)


def test_no_text_of_odd_names_is_cut_at_the_edge_or_lies_on_another(make_grid: Any) -> None:
    arms, pairs = ("bce", *LONG), tuple(itertools.pairwise(("bce", *LONG)))
    folder = make_grid(arms=arms, contrasts=(*pairs, (LONG[1], LONG[3]), (LONG[2], "bce")),
                       seeds=6, images=6, gradient=arms, maps=True, histograms=True,
                       baseline=LONG[3], grid=f"grid {LONG[2]}")  # fmt: skip
    check_texts(summarise(load(folder)), missing=set())


@pytest.mark.parametrize("count", [2, 7, 15])
def test_grids_of_two_to_fifteen_arms_are_readable(make_grid: Any, count: int) -> None:
    arms = ("bce", *(f"arm_number_{i}" for i in range(count - 1)))
    contrasts = tuple((arm, "bce") for arm in arms[1:])
    absent = {(arms[-1], 0): "failed", (arms[-1], 1): "missing"} if count > 2 else None
    folder = make_grid(arms=arms, contrasts=contrasts, seeds=2, images=6, maps=True, absent=absent)
    check_texts(summarise(load(folder)), missing={"histograms"})


BARE: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one arm, one seed, one image": (
        {"arms": ("bce",), "seeds": 1, "images": 1, "maps": True},
        {"differences", "strata", "scatter", "histograms"},
    ),
    "identical arms": (
        {"noise": 0, "object_noise": 0, "seeds": 3, "margin": 0.0},
        {"strip", "maps", "histograms", "strata"},
    ),
    "twenty contrasts": (
        {
            "arms": tuple(f"a{i}" for i in range(21)),
            "contrasts": tuple((f"a{i + 1}", f"a{i}") for i in range(20)),
            "baseline": "a0",
            "images": 6,
            "seeds": 2,
        },
        {"strip", "maps", "histograms"},
    ),
    "no evidence": ({"test": False, "preset": "smoke", "seeds": 2}, {"strip", "maps", "histograms",
                    "strata"}),
    "a primary metric of whole runs": (
        {"primary": "F_max", "images": 8, "maps": True, "seeds": 2},
        {"scatter", "strata", "histograms"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BARE)
def test_what_cannot_be_drawn_is_left_out_and_the_rest_is_whole(make_grid: Any, name: str) -> None:
    settings, missing = BARE[name]
    check_texts(summarise(load(make_grid(**settings))), missing=missing)


def test_a_figure_of_the_published_variant_says_so(make_grid: Any, full: Summary) -> None:
    folder = make_grid(variant="published", maps=True, histograms=True, images=8, seeds=2)
    summary = summarise(load(folder))
    for stem in OF_MASKS:
        assert "metrics as published" in words(drawn(stem, summary))
        assert "as published" not in words(drawn(stem, full))


@given(some.lists(some.floats(-1, 3), min_size=1, max_size=15))
def test_names_are_stacked_in_order_with_a_gap_and_inside_if_they_fit(wanted: list[float]) -> None:
    spots = stacked(wanted, 0.12, 0.0, 2.0)
    assert all(b - a >= 0.12 - 1e-9 for a, b in itertools.pairwise(sorted(spots)))
    assert [spots[i] for i in np.argsort(wanted, kind="stable")] == sorted(spots)
    assert min(spots) >= -1e-9
    assert max(spots) <= 2 + 1e-9


@pytest.mark.parametrize("name", [*LONG, "", "a"])
def test_a_name_is_cut_until_it_fits_its_place(name: str) -> None:
    assert text_width(fit(name, 0.5)) <= 0.5
    assert "\n" not in fit(name, 0.5)
    short = fit("bce_released", 2.0)
    assert short == "bce_released"


def test_a_new_figure_leaves_no_trace_in_pyplot() -> None:
    from matplotlib import pyplot

    new_figure(1, 1)
    assert pyplot.get_fignums() == []
