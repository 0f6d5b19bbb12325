"""Small pictures of every test image, its mask and its prediction: enough to look at a result."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from PIL import Image

from experiments.data.decode import Pixels

QUALITY = 90  # of the photographs' JPEG; masks and predictions are kept as they are


def thumbnails(
    names: Sequence[str], pictures: Iterable[Pixels], small: Sequence[tuple[Pixels, Pixels]]
) -> pd.DataFrame:
    """A row per image: its name, and the bytes of three files of equal size.

    `small` has predictions and targets, grey, as `scores.shrunk` makes them.

    picture: JPEG, RGB; target and prediction: PNG, 8-bit grey. At most 256 px a side, in the
    proportions of the mask.
    """
    rows = []
    for name, pixels, (prediction, target) in zip(names, pictures, small, strict=True):
        height, width = target.shape
        picture = Image.fromarray(pixels).resize((width, height))
        rows.append(
            {
                "image": name,
                "picture": _encoded(picture, "JPEG", quality=QUALITY),
                "target": _png(target),
                "prediction": _png(prediction),
            }
        )
    return pd.DataFrame(rows)


def _png(grey: Pixels) -> bytes:
    return _encoded(Image.fromarray(grey), "PNG")


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()
