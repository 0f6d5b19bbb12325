"""Masks for folders of images: by a run's checkpoint or an official one."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import models
from experiments import scores
from experiments.data import DataConfig, load_splits
from experiments.evaluate import evaluate
from experiments.metrics import ImageScores
from experiments.predict import __main__ as cli
from experiments.predict.source import load
from experiments.results import FINISHED
from models import BiRefNet

SIZES = {"wide.png": (90, 150), "large.jpg": (300, 200), "small.png": (64, 64)}  # (H, W)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose test split has images of several sizes, one turned by EXIF."""
    root = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for folder in ("im", "gt"):
            (root / split / folder).mkdir(parents=True)
        for name, (height, width) in SIZES.items():
            name = f"{split}_{name}"
            blobs = draw.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
            image = Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC)
            mask = image.getchannel(0).point(lambda v: 255 if v > 128 else 0)
            turned = Image.Exif()
            if name.endswith("jpg"):
                turned[0x0112] = 6  # stored on its side
                image = image.transpose(Image.Transpose.ROTATE_90)
            image.save(root / split / "im" / name, exif=turned)
            mask.save(root / split / "gt" / f"{Path(name).stem}.png")
    return root


def masks(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: np.array(Image.open(file)) for file in sorted(folder.iterdir())}


def test_masks_are_those_that_the_evaluation_scores(
    finished, photos, tmp_path, monkeypatch
) -> None:
    scored = []

    def noted(found, _mask, _names, _variant):
        scored.append(found)
        return ImageScores({}, {})

    monkeypatch.setattr(scores, "image_metrics", noted)
    model, size = load(str(finished))
    _, _, samples = load_splits(DataConfig(name=str(photos), size=size, cache=False))
    model.to(memory_format=torch.channels_last)
    evaluate(model, samples, ("MAE",), torch.device("cpu"))

    options = [str(finished), str(photos / "test" / "im"), "--out", str(tmp_path / "masks")]
    assert cli.main([*options, "--device", "cpu"]) == 0
    written = masks(tmp_path / "masks")
    assert sorted(written) == sorted(Path(name).stem for name in samples.names)
    for name, found in zip(samples.names, scored, strict=True):
        assert written[name].dtype == np.uint8
        assert np.array_equal(written[name], np.rint(255 * found)), name


def test_a_mask_has_the_shape_of_its_image_upright(finished, photos, tmp_path) -> None:
    options = [str(finished / "checkpoint.safetensors"), str(photos / "val" / "im")]
    assert cli.main([*options, "--out", str(tmp_path), "--batch", "2", "--size", "64", "96"]) == 0
    found = {name: mask.shape for name, mask in masks(tmp_path).items()}
    assert found == {f"val_{Path(name).stem}": shape for name, shape in SIZES.items()}


def test_one_image_by_an_official_checkpoint(photos, tmp_path) -> None:
    model = BiRefNet.preset("lite", inter_channels=8, aspp_channels=8)
    models.initialise(model, 7)
    torch.save(models.export_official(model), tmp_path / "official.pth")
    image = str(photos / "test" / "im" / "test_wide.png")
    options = [str(tmp_path / "official.pth"), image, "--out", str(tmp_path / "masks")]
    assert cli.main([*options, "--size", "64", "64"]) == 0
    assert masks(tmp_path / "masks")["test_wide"].shape == SIZES["wide.png"]


def test_an_unreadable_image_is_told_and_the_others_have_their_masks(
    finished, tmp_path, capsys
) -> None:
    (tmp_path / "im").mkdir()
    Image.new("RGB", (70, 80)).save(tmp_path / "im" / "good.BMP")
    (tmp_path / "im" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    (tmp_path / "im" / "away.png").symlink_to(tmp_path / "a mount that is away.png")
    (tmp_path / "im" / "notes.txt").write_text("no image")
    options = [str(finished), str(tmp_path / "im"), "--out", str(tmp_path / "masks")]
    assert cli.main(options) == 1
    told = capsys.readouterr().err
    assert "left out: cannot read" in told
    assert "torn.jpg" in told
    assert "away.png" in told
    assert list(masks(tmp_path / "masks")) == ["good"]


def test_masks_that_are_there_are_kept_unless_they_may_be_overwritten(
    finished, tmp_path, capsys
) -> None:
    Image.new("RGB", (70, 80)).save(tmp_path / "a.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(b"mine")
    options = [str(finished), str(tmp_path / "a.png"), "--out", str(tmp_path / "masks")]
    assert cli.main(options) == 2
    assert "1 of 1 masks are there already" in capsys.readouterr().err
    assert (tmp_path / "masks" / "a.png").read_bytes() == b"mine"
    assert cli.main([*options, "--overwrite"]) == 0
    assert masks(tmp_path / "masks")["a"].shape == (80, 70)


def test_every_mistake_is_an_error_in_one_line(finished, photos, tmp_path, capsys) -> None:
    run, images, out = str(finished), str(photos / "test" / "im"), str(tmp_path / "masks")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    (tmp_path / "broken").mkdir()
    for name in ("config.json", FINISHED, "checkpoint.safetensors"):
        (tmp_path / "broken" / name).write_text("{}")
    (tmp_path / "twins").mkdir()
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (64, 64)).save(tmp_path / "twins" / name)
    cases = [
        ([str(tmp_path / "nowhere"), images], "no such run or checkpoint"),
        ([str(tmp_path / "empty"), images], "neither a run's folder nor a checkpoint"),
        ([str(tmp_path / "half"), images], "a run that is not finished"),
        ([str(tmp_path / "broken"), images], "is no run's folder, or is damaged"),
        ([run, str(tmp_path / "nowhere")], "no such file or folder"),
        ([run, str(tmp_path / "empty")], "holds no image"),
        ([run, str(tmp_path / "twins")], "would have the same mask a.png"),
        ([run, images, "--batch", "0"], "expected 1 or more"),
        ([run, images, "--size", "8", "8"], "--size (8, 8)"),
        ([run, images, "--size", "0", "0"], "expected 1 or more"),
        ([run, images, "--size", "-64", "64"], "expected 1 or more"),
        ([run, images, "--out", images], "the images' own folder"),
        ([run, images, "--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    ]
    for options, message in cases:
        assert cli.main([*options, *([] if "--out" in options else ["--out", out])]) == 2, options
        told = capsys.readouterr().err
        assert message in told
        assert told.startswith("error: "), told
        assert told.count("\n") == 1, told
    assert not (tmp_path / "masks").exists() or not masks(tmp_path / "masks")


def test_a_disk_that_takes_no_mask_is_an_error_in_one_line(
    finished, tmp_path, capsys, monkeypatch
) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "save", full)
    out = tmp_path / "masks"
    assert cli.main([str(finished), str(tmp_path / "a.png"), "--out", str(out)]) == 2
    assert f"error: cannot write to {out}: " in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path, capsys) -> None:
    for file in finished.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (tmp_path / "config.json").read_text()
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for old, new in (
        ('"lite"', '"lite", "inter_channels": 8'),
        ('"lite"', '"lite", "context": 0'),
    ):
        (tmp_path / "config.json").write_text(config.replace(old, new))
        options = [str(tmp_path), str(tmp_path / "a.png"), "--out", str(tmp_path / "masks")]
        assert cli.main(options) == 2
        assert "does not fit its config.json" in capsys.readouterr().err
