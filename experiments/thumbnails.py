"""Small pictures of every test image, its mask and its prediction: enough to look at a result."""

import io
from typing import Any

import pandas as pd
from PIL import Image

from experiments.data import Samples
from experiments.data.decode import Pixels
from experiments.evaluate import Evaluation

QUALITY = 90  # of the photographs' JPEG; masks and predictions are kept as they are


def thumbnails(samples: Samples, tested: Evaluation) -> pd.DataFrame:
    """A row per image of a split: its name, and the bytes of three files of equal size.

    picture: JPEG, RGB; target and prediction: PNG, 8-bit grey. At most 256 px a side, in the
    proportions of the mask.
    """
    rows = []
    for index, (prediction, target) in enumerate(tested.small):
        height, width = target.shape
        picture = Image.fromarray(samples[index][0]).resize((width, height))
        rows.append(
            {
                "image": samples.names[index],
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
