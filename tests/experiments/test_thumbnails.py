"""The pictures that a finished run keeps of its test images."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments import scores
from experiments.data import load
from experiments.evaluate import evaluate
from experiments.metrics import iou
from experiments.model import build_model
from experiments.scores import SMALL, shrunk
from experiments.thumbnails import thumbnails

CPU = torch.device("cpu")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_run_keeps_every_test_image_with_its_mask_and_prediction(finished, tiny) -> None:
    kept = pd.read_parquet(finished / "thumbnails.parquet")
    table = pd.read_parquet(finished / "per_image.parquet")
    assert kept["image"].tolist() == table["image"].drop_duplicates().tolist()
    masks = load("embedded", "test", size=tiny.data.size, count=4)
    for index, row in kept.iterrows():
        assert np.array_equal(opened(row["target"]), masks.native_mask(index))
        found, truth = (np.asarray(opened(row[n])) > 127 for n in ("prediction", "target"))
        measured = table.query("image == @row.image and metric == 'IoU'")["value"].item()
        assert iou(found, truth) == pytest.approx(measured, abs=0.02)
        assert opened(row["picture"]).mode == "RGB"


def test_thumbnails_are_small_and_keep_the_proportions_of_the_mask(tiny, monkeypatch) -> None:
    monkeypatch.setattr(scores, "SMALL", 100)  # the masks that ship are of 256 px
    samples = load("thin3d", "test", size=(64, 64), count=3)
    tested = evaluate(build_model(tiny), samples, ("MAE",), CPU)
    pictures = [image for image, _ in samples]
    table = thumbnails(samples.names, pictures, tested.small)
    for index, row in table.iterrows():
        sizes = {opened(row[name]).size for name in ("picture", "target", "prediction")}
        ((width, height),) = sizes
        full = samples.native_mask(index).shape
        assert max(width, height) == 100 < max(full)
        assert width / height == pytest.approx(full[1] / full[0], rel=0.02)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (256, 256), (257, 3)])
def test_shrinking_leaves_small_pictures_alone_and_never_loses_a_side(
    shape: tuple[int, int],
) -> None:
    picture = np.full(shape, 200, np.uint8)
    small = shrunk(picture)
    assert max(small.shape) == min(SMALL, max(shape))
    assert min(small.shape) >= 1
    assert (small == 200).all()
