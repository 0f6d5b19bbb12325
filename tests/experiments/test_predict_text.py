"""Words for folders of images, by a run on text."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from experiments.checkpoint import learned
from experiments.config import LossConfig, RunConfig, TrainConfig
from experiments.data import DataConfig
from experiments.errors import UserError
from experiments.model import build_model
from experiments.predict import __main__ as cli
from experiments.predict.source import load
from experiments.predict.words import Words, drawn, knobs_of
from experiments.results import FINISHED
from experiments.text.boxes import BoxKnobs, Detection
from experiments.text.evaluate import outputs
from models.dbnet import DBNet, DBOutput

CPU = torch.device("cpu")
SIZE = (64, 96)
MODEL = {"preset": "lite", "channels": 8, "pretrained": False}
CORNERS = re.compile(r"\d+(,\d+){7}\n")
PLATES = {  # (H, W), and the sides of a white plate in it
    "wide.png": ((120, 360), (90, 30, 270, 80)),
    "tall.jpg": ((300, 90), (20, 40, 70, 120)),
    "dark.png": ((70, 70), None),
}


class Bright(nn.Module):
    """Finds what is white."""

    def forward(self, image: Tensor) -> DBOutput:
        return DBOutput(20 * image.mean(1, keepdim=True), None)


class Dark(Bright):
    """Finds nothing."""

    def forward(self, image: Tensor) -> DBOutput:
        return DBOutput(-20 * torch.ones_like(image[:, :1]), None)


def plate(name: str) -> Image.Image:
    (height, width), sides = PLATES[name]
    picture = Image.new("RGB", (width, height))
    if sides:
        picture.paste((255, 255, 255), sides)
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Plates on black; the JPEG is stored on its side."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in PLATES:
        picture, turned = plate(name), Image.Exif()
        if name.endswith("jpg"):
            turned[0x0112] = 6
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        picture.save(folder / name, exif=turned)
    return folder


@pytest.fixture(scope="module")
def config() -> RunConfig:
    training, boxes = TrainConfig(steps=1, batch=2, lr=1.0), {"unclip": 0.0}
    data = DataConfig(name="words", size=SIZE)
    return RunConfig(3, data, MODEL, training, LossConfig(), "H_mean", "text", boxes)


@pytest.fixture(scope="module")
def model(config: RunConfig) -> DBNet:
    model = build_model(config)
    assert isinstance(model, DBNet)
    return model.eval()


@pytest.fixture
def run(config: RunConfig, model: DBNet, tmp_path: Path) -> Path:
    """A run's folder whose model finds one word in every image: the whole of it."""
    folder = tmp_path / "run"
    folder.mkdir()
    weights = learned(model)
    last = max(k for k in weights if k.startswith("head.probability") and k.endswith("bias"))
    save_file({**weights, last: weights[last] + 50}, folder / "checkpoint.safetensors")
    (folder / "config.json").write_text(json.dumps(config.as_dict()))
    (folder / FINISHED).write_text(json.dumps({"cut": 0.4, "least_score": 0.25}))
    return folder


def lines(folder: Path, name: str) -> list[list[int]]:
    text = (folder / f"res_{name}.txt").read_text(encoding="ascii")
    return [[int(x) for x in line.split(",")] for line in text.splitlines()]


def written(words: Words, files: Sequence[Path], out: Path) -> None:
    out.mkdir()
    targets = [(out / f"res_{file.stem}.txt", out / f"{file.stem}.jpg") for file in files]
    words.write([words.read(file) for file in files], targets)


def test_words_are_told_in_the_pixels_of_each_image_upright(photos: Path, tmp_path: Path) -> None:
    words = Words(Bright(), SIZE, CPU, BoxKnobs(unclip=0))  # type: ignore[arg-type]
    written(words, sorted(photos.iterdir()), tmp_path / "out")
    for name, ((height, width), sides) in PLATES.items():
        found = lines(tmp_path / "out", Path(name).stem)
        if sides is None:
            assert found == []
            continue
        left, top, right, bottom = sides
        expected = [left, top, right, top, right, bottom, left, bottom]
        pixel = max(height / SIZE[0], width / SIZE[1])  # of the model, in those of the image
        assert found == [pytest.approx(expected, abs=pixel)]
        assert CORNERS.fullmatch((tmp_path / "out" / f"res_{Path(name).stem}.txt").read_text())


def test_the_picture_is_the_image_with_lines_where_words_are(photos: Path, tmp_path: Path) -> None:
    words = Words(Bright(), SIZE, CPU, BoxKnobs(unclip=0))  # type: ignore[arg-type]
    written(words, sorted(photos.iterdir()), tmp_path / "out")
    for name, (shape, sides) in PLATES.items():
        with Image.open(tmp_path / "out" / f"{Path(name).stem}.jpg") as opened:
            picture = np.array(opened).astype(int)
        assert picture.shape == (*shape, 3)
        green = (picture[..., 1] - picture[..., 0] > 60).sum()
        assert (green > 50) == (sides is not None)
        change = np.abs(picture - np.array(plate(name))).max(2) > 60
        assert change.mean() < 0.2


def test_words_are_those_that_the_evaluation_scores(config: RunConfig, model: DBNet) -> None:
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((80, 50), (64, 200))]
    pairs: Any = [(image, ()) for image in images]
    seen = list(outputs(model, pairs, config, CPU))
    model.eval()
    cut = float(np.quantile(seen[0].probability, 0.8))
    knobs = BoxKnobs(cut=cut, least_score=0, least_side=0)
    scored = [one.detections(knobs) for one in seen]
    words = Words(model, SIZE, CPU, knobs)
    found = words.find([words.photo(image) for image in images])
    assert sum(map(len, scored)) > 4
    for a, b in zip(scored, found, strict=True):
        assert [one.score for one in a] == [one.score for one in b]
        assert all(np.array_equal(x.polygon, y.polygon) for x, y in zip(a, b, strict=True))


def test_the_command_takes_the_thresholds_of_the_run_and_those_given(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert knobs_of(run, {}) == BoxKnobs(cut=0.4, least_score=0.25, unclip=0)
    given = knobs_of(run, {"form": "polygon", "cut": 0.7})
    assert given == BoxKnobs(cut=0.7, least_score=0.25, unclip=0, form="polygon")
    options = [str(run), str(photos), "--device", "cpu", "--batch", "2"]
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 0
    assert f"3 words in 3 of 3 images, in {tmp_path / 'out'}" in capsys.readouterr().out
    for name, ((height, width), _) in PLATES.items():
        whole = [0, 0, width, 0, width, height, 0, height]
        assert lines(tmp_path / "out", Path(name).stem) == [pytest.approx(whole, abs=5)]
        with Image.open(tmp_path / "out" / f"{Path(name).stem}.jpg") as picture:
            assert picture.size == (width, height)


def test_the_command_tells_in_how_many_images_it_found_words(
    run: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "loaded", lambda _: (model, SIZE))
    for model, words in ((Bright(), "2 words in 2 of 3 images,"), (Dark(), "no word in 3 images")):
        monkeypatch.setattr(cli, "DBNet", type(model))
        options = [str(run), str(photos), "--device", "cpu", "--batch", "2", "--overwrite"]
        assert cli.main([*options, "--out", str(tmp_path / "out")]) == 0
        told = capsys.readouterr().out
        assert told.startswith(words)
        assert told.endswith(f" in {tmp_path / 'out'}\n")
    assert "at cut 0.4 and least score 0.25 (--cut and --least-score set others)" in told
    options = [str(run), str(photos / "dark.png"), "--device", "cpu", "--cut", "0.9"]
    assert cli.main([*options, "--out", str(tmp_path / "one")]) == 0
    assert "no word in 1 image at cut 0.9" in capsys.readouterr().out


def test_the_folder_of_a_grid_is_refused_with_one_of_its_runs(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "laptop" / "runs" / "db-seed0-abc"
    first.mkdir(parents=True)
    options = [str(photos), "--out", str(tmp_path / "out"), "--cut", "0.5"]
    for source in (first.parent.parent, first.parent):
        assert cli.main([str(source), *options]) == 2
        assert "is a folder of runs; none of them is finished" in capsys.readouterr().err
    (first / FINISHED).write_bytes((run / FINISHED).read_bytes())
    for source in (first.parent.parent, first.parent):
        assert cli.main([str(source), *options]) == 2
        told = capsys.readouterr().err
        assert told == f"error: {source} is a folder of runs; name one of them, such as {first}\n"


def test_every_mistake_is_an_error_in_one_line(
    run: Path,
    finished: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "dark.jpg").write_bytes(b"mine")
    bare, half = tmp_path / "bare", tmp_path / "half"
    for folder in (bare, half):
        folder.mkdir()
        (folder / "config.json").write_bytes((run / "config.json").read_bytes())
    (bare / FINISHED).write_text("{}")
    there = ["--out", str(tmp_path / "there")]
    cases: list[tuple[Path, list[str], str]] = [
        (run, ["--cut", "2"], "cut is 2.0, expected between 0 and 1"),
        (run, ["--least-score", "-1"], "least_score is -1.0"),
        (run, ["--size", "8", "8"], "--size (8, 8)"),
        (run, there, "1 of 3 files are there already"),
        (bare, [], "is no run on text, or is damaged"),
        (half, [], "is a run that is not finished"),
        (finished, ["--cut", "0.5"], "--cut is for a run on text"),
        (finished, ["--form", "polygon"], "--form is for a run on text"),
    ]
    for folder, options, message in cases:
        out = [] if "--out" in options else ["--out", str(tmp_path / "out")]
        assert cli.main([str(folder), str(photos), *options, *out]) == 2, options
        told = capsys.readouterr().err
        assert message in told
        assert told.startswith("error: "), told
        assert told.count("\n") == 1, told
    assert (tmp_path / "there" / "dark.jpg").read_bytes() == b"mine"


def test_a_run_on_text_makes_no_masks(run: Path) -> None:
    with pytest.raises(UserError, match="is a run on text"):
        load(str(run))


def test_a_score_is_printed_only_where_it_hides_nothing() -> None:
    def box(left: float, top: float, right: float, bottom: float) -> Detection:
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        return Detection(np.array(corners, float), 0.87)

    image = np.full((200, 300, 3), 90, np.uint8)
    alone = np.array(drawn(image, [box(50, 80, 150, 110)]))
    assert (alone[:77] != 90).any()  # above it
    full = np.array(drawn(image, [box(2, 2, 298, 198)]))
    assert (full[10:190, 10:290] == 90).all()  # no room above or below
    rows = [box(50, top, 150, top + 20) for top in (60, 83, 106)]
    middle = np.array(drawn(image, rows))[86:100, 55:145].astype(int)
    assert np.abs(middle - 90).max() < 10
