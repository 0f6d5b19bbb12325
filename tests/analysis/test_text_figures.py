"""The figures of a grid of text detection: what is drawn, and that nothing is cut off."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.figures import FIGURES, captions, save
from analysis.figures.strip import IGNORED
from analysis.load import image_means, load
from analysis.pooled import COUNTS
from analysis.summary import Summary, summarise
from experiments.text import evaluate

from .drawings import OF_OTHERS, check_texts, drawn, words
from .text_grid import write_text_grid

LONG = ("bce", "W" * 30, "cost_$5 % & <b>")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    path = tmp_path_factory.mktemp("text")
    return summarise(load(write_text_grid(path, effects={"dice": 0.2}, images=24, pictures=True)))


def test_every_figure_of_words_is_whole(full: Summary) -> None:
    check_texts(full, missing=set())


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"images": 5, "silent": ("dice",), "seeds": 2}, {"strata", "strip", "text_maps"}),
        ({"arms": LONG, "contrasts": ((LONG[1], "bce"), (LONG[2], "bce")), "pictures": True,
          "seeds": 2}, set()),
    ],
    ids=["few images, an arm that finds nothing", "long names"],
)  # fmt: skip
def test_what_cannot_be_drawn_is_left_out(
    tmp_path: Path, settings: dict[str, Any], missing: set[str]
) -> None:
    check_texts(summarise(load(write_text_grid(tmp_path, **settings))), missing=missing)


def test_captions_of_words_do_not_speak_of_objects(full: Summary) -> None:
    said = captions(full.grid.task)
    assert list(said) == list(FIGURES)
    drawn_here = {stem: text for stem, text in said.items() if stem not in OF_OTHERS["text"]}
    assert not [stem for stem, text in drawn_here.items() if "object" in text or "BCE" in text]


def test_the_maps_are_of_the_baseline_and_the_arm_furthest_from_it(full: Summary) -> None:
    figure = drawn("text_maps", full)
    text = words(figure)
    for part in ("P\nbce", "T\nbce", "B\nbce", "P\ndice", "T\ndice", "B\ndice", "no word"):
        assert part in text
    assert "focal" not in text
    columns = 7
    edges = [np.asarray(axes.images[0].get_array()) for axes in figure.axes[::columns]]
    orange = [np.isclose(edge, [230 / 255, 159 / 255, 0]).all(axis=-1).any() for edge in edges]
    assert orange == [True, True, False]  # the last image has no word


def test_maps_that_an_arm_lacks_are_gaps_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    folder = write_text_grid(tmp_path, pictures=True, seeds=1)
    path = folder / "runs/0-0/text_maps.npz"
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files}
    np.savez(path, **{key: kept[key] for key in kept if key not in ("threshold", "binary")})
    text = words(drawn("text_maps", summarise(load(folder))))
    assert text.count("not trained") == 6  # of the baseline alone
    np.savez(path, **(kept | {"binary": kept["binary"][:, :0]}))
    assert words(drawn("text_maps", summarise(load(folder)))).count("no map") == 3
    np.savez(path, **(kept | {"binary": kept["binary"][:1]}))
    with pytest.raises(ValueError, match=r"text_maps.npz binary is .*; delete the run's folder"):
        FIGURES["text_maps"](summarise(load(folder)))


def test_where_all_arms_tie_the_maps_are_of_the_baseline_alone(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"silent": ("bce", "dice"), "arms": ("bce", "dice"), "seeds": 1}
    text = words(drawn("text_maps", summarise(load(write_text_grid(tmp_path, pictures=True,
                                                                   **settings)))))  # fmt: skip
    assert "P\nbce" in text
    assert "dice" not in text


def test_the_strip_tells_what_the_protocol_counts(full: Summary) -> None:
    figure = drawn("strip", full)
    table = full.results.table[full.results.table["seed"] == 0]
    means = image_means(full.results, "H_image", "bce")
    many = full.results.images["components"]
    ranked = sorted((means[name], many[name], name) for name in means.index if many[name])
    best = table[table["image"] == ranked[-1][2]].set_index(["arm", "metric"])["value"]
    seen = [axes.texts[0].get_text() for axes in figure.axes[-3:]]
    assert seen == ["/".join(f"{best[arm, count]:.0f}" for count in COUNTS)
                    for arm in full.grid.arms]  # fmt: skip
    assert "words matched (IoU above .5) / detections / words" in words(figure)
    assert "added wrongly" not in words(figure) + captions("text")["strip"]


def test_the_strip_ranks_by_image_and_shows_ignored_words_grey(full: Summary) -> None:
    scores = image_means(full.results, "H_image", "bce")
    scores = scores[full.results.images["components"] > 0].sort_values()
    figure = drawn("strip", full)
    text = words(figure)
    assert f"worst\n{scores.iloc[0]:.3f}\n#20 of 20" in text
    assert f"best\n{scores.iloc[-1]:.3f}\n#1 of 20" in text
    assert "Of 20 test images with words by H_image of bce" in text
    assert "grey: ignored words" in text
    assert IGNORED == evaluate.IGNORED
    tiles = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    rows = [tiles[start + 1 : start + 5] for start in (0, 5, 10)]  # target and three arms
    first = [[tile[6, 10] for tile in row] for row in rows]  # in the first word
    ignored = [row for row in first if row[0] == pytest.approx([0.5] * 3, abs=0.01)]
    assert ignored
    assert np.ptp(ignored, axis=1).max() < 0.01  # whether an arm found it or not


def test_the_scatter_has_no_band_where_the_margin_is_of_another_metric(full: Summary) -> None:
    figure = drawn("scatter", full)
    assert "H_image by test image" in words(figure)
    bands = [patch.get_extents().height for axes in figure.axes for patch in axes.patches]
    assert max(bands) == 0


def test_the_scatter_tells_images_without_a_word_from_the_others(full: Summary) -> None:
    images = dict.fromkeys("vo^", 0)
    for line in drawn("scatter", full).axes[0].lines:
        if line.get_ls() == "None":  # dots of so many images
            many = round((line.get_markersize() / 2.8) ** 3)
            images[str(line.get_marker())] += many * len(np.asarray(line.get_xdata()))
    assert images == {"v": 4, "o": 10, "^": 10}


def test_the_scatter_tells_ties_and_shows_how_many_images_lie_on_a_dot(tmp_path: Path) -> None:
    folder = write_text_grid(tmp_path, silent=("dice", "bce"), seeds=2)
    axes = drawn("scatter", summarise(load(folder))).axes[0]  # all H_image 0, or 1 without words
    assert axes.texts[0].get_text() == "better 0 %, equal 100 %, worse 0 %"
    dots = [line for line in axes.lines if line.get_ls() == "None"]
    assert sorted(round((line.get_markersize() / 2.8) ** 3) for line in dots) == [3, 6, 7]


def test_the_maps_are_saved_as_the_same_bytes(full: Summary, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab" for suffix in (".png", ".pdf")]
    save(drawn("text_maps", full), paths[:2])
    save(drawn("text_maps", full), paths[2:])
    data = [path.read_bytes() for path in paths]
    assert data[:2] == data[2:]
    assert all(len(one) < 400_000 for one in data)
