"""Edge weights: their numbers on shapes whose answer is known, and the files of the command."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from analysis import edge_weights as edges
from analysis.edge_weights.__main__ import main
from analysis.edge_weights.measure import zoomed
from analysis.samples import Images, read_images
from losses.boundary import Window


def images_of(*targets: torch.Tensor) -> Images:
    """Images that are their own targets (H, W)."""
    stacked = torch.stack(targets)[:, None].float()
    names = tuple(f"{i}" for i in range(len(targets)))
    return Images("made", names, stacked.repeat(1, 3, 1, 1), stacked)


def half(side: int) -> torch.Tensor:
    """Object in the right half."""
    return (torch.arange(side) >= side // 2).float().repeat(side, 1)


def discs(side: int) -> Images:
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return images_of(torch.from_numpy(np.hypot(x, y) < 0.3))


def folder_of_ones_own(root: Path) -> Path:
    """Images and masks without splits, one of them all object, one all background."""
    draw = np.random.default_rng(0)
    masks = {"Grün": 255 * (np.mgrid[:40, :60][1] > 30), "voll": 255, "leer": 0}
    for folder in ("im", "gt"):
        (root / folder).mkdir(parents=True)
    for name, mask in masks.items():
        pixels = draw.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "im" / f"{name}.jpg")
        plane = np.broadcast_to(np.asarray(mask, dtype=np.uint8), (40, 60))
        Image.fromarray(np.ascontiguousarray(plane)).save(root / "gt" / f"{name}.png")
    return root


def test_the_distance_is_half_a_pixel_beside_the_edge_and_positive_inside() -> None:
    found = edges.signed_distance(half(8).numpy())
    expected = np.arange(8) - 3.5
    assert (found == expected).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_without_an_edge_there_is_no_distance_and_no_profile(value: float) -> None:
    target = np.full((1, 8, 8), value)
    assert np.isnan(edges.signed_distance(target[0])).all()
    assert edges.profile(np.ones((1, 8, 8), np.float32), target).empty


@pytest.mark.parametrize(("gamma", "window"), [(5.0, 31), (20.0, 7)])
def test_across_a_straight_edge_the_weight_falls_by_gamma_over_k_a_pixel(
    gamma: float, window: int
) -> None:
    images = images_of(half(128))
    weights = edges.weights(images, gamma=gamma, window=window, border="exclude")
    found = edges.profile(weights[:, 40:88], images.targets[:, 0, 40:88].numpy())
    away = np.floor(found["distance"].abs())  # whole pixels between it and the edge
    expected = 1 + gamma * np.maximum(window // 2 - away, 0) / window
    assert len(found) == 80
    np.testing.assert_allclose(found["mean"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["low"], found["high"], rtol=1e-5)


def test_a_profile_refuses_weights_of_another_shape() -> None:
    with pytest.raises(ValueError, match="expected the same"):
        edges.profile(np.ones((1, 8, 8), np.float32), np.ones((1, 8, 9)))


def test_a_mask_that_is_all_object_has_edges_at_the_border_only_where_padding_counts() -> None:
    images = images_of(torch.ones(64, 64))
    published, repaired = (edges.weights(images, border=b)[0] for b in ("zero", "exclude"))
    assert published[0, 0] == pytest.approx(4.668, abs=5e-4)  # 1 + 5 (1 - 16^2 / 31^2)
    assert published[0, 32] == pytest.approx(3.419, abs=5e-4)
    assert (repaired == 1).all()


def test_the_edge_share_is_the_weight_beyond_one() -> None:
    assert edges.edge_share(np.array([[[1, 1, 4, 2]]], np.float32)) == 0.5
    assert edges.edge_share(edges.weights(discs(64), gamma=0)) == 0


def test_a_relative_window_keeps_the_edges_share_and_a_fixed_one_loses_it() -> None:
    def shares(window: Window) -> list[float]:
        return [edges.edge_share(edges.weights(discs(s), window=window)) for s in (128, 512)]

    fixed, relative = shares(31), shares("relative")
    assert fixed[1] < 0.4 * fixed[0]
    assert relative[1] == pytest.approx(relative[0], rel=0.05)


def test_the_table_of_settings_has_a_row_for_each_value_of_each_knob() -> None:
    images = discs(64)
    rows = edges.settings(images, [images, discs(128)])
    assert rows.groupby("knob").size().to_dict() == {
        "gamma": 4,
        "window": 4,
        "border": 2,
        "size": 4,
    }
    gamma = rows[rows["knob"] == "gamma"]["edge_share"].tolist()
    assert gamma == sorted(gamma)
    zero, exclude = rows[rows["knob"] == "border"]["frame"]
    assert zero > 3 > exclude
    assert zoomed(images).size == (32, 32)


def test_the_weight_at_the_edge_is_the_mean_over_its_pixels() -> None:
    images = images_of(half(64), torch.nn.functional.pad(torch.ones(8, 8), (28, 28, 28, 28)))
    rows = edges.settings(images, [images])
    near = np.abs([edges.signed_distance(t) for t in images.targets[:, 0].numpy()]) <= 1
    expected = edges.weights(images)[near].mean()
    assert rows["edge"].iloc[2] == pytest.approx(float(expected), rel=1e-6)


def test_u_nets_weight_is_scaled_in_each_picture() -> None:
    figure = edges.weight_maps(images_of(half(64), (half(64) * 0)))
    drawn = [axes.images[0].get_array().max() for axes in figure.axes[-2:]]
    assert drawn == [1, 1]


def test_the_schedules_drawn_are_those_of_the_losses() -> None:
    figure = edges.schedules()
    ends = {
        axes.get_title(loc="left"): [(line.get_ydata()[0], line.get_ydata()[-1]) for line in
                                     axes.get_lines()]
        for axes in figure.axes
    }  # fmt: skip
    assert ends["progressive, add"] == [(1, 1), (0, 1)]
    assert ends["progressive, reverse"] == [(0, 1), (1, 0)]
    assert ends["steps"] == [(1, 0.25)]


def test_a_folder_of_ones_own_needs_no_splits_and_gives_the_same_bytes_twice(
    tmp_path: Path,
) -> None:
    data = folder_of_ones_own(tmp_path / "meine Bilder")
    command = ["--data", str(data), "--size", "48", "64", "--sizes", "32", "64"]
    command += ["--images", "3", "--out"]
    assert [main([*command, str(tmp_path / out)]) for out in ("a", "b")] == [0, 0]
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 12
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a/edge_weights.md").read_text(encoding="utf-8")
    assert "3 images of meine Bilder, 48 x 64 px" in text


def test_images_are_spread_over_the_folder(tmp_path: Path) -> None:
    data = folder_of_ones_own(tmp_path)
    assert read_images(str(data), (8, 8), 2).names == ("Grün", "voll")
    assert len(read_images(str(data), (8, 8), 99).names) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "embeded"), "did you mean 'embedded'"),
        (("--data", "no/such"), "no folder no/such"),
        (("--images", "0"), "expected 1 or more"),
    ],
)
def test_bad_input_is_told_without_a_traceback(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert main([*options, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
