"""A picture of a few of a run's images and maps, side by side."""

from typing import Any

import numpy as np
from PIL import Image

COLUMNS = (
    "target",
    "prediction",
    "edge_weight",
    "gradient_label",
    "gradient_prediction",
    "threshold_label",
    "threshold",
    "binary",
)


def preview(maps: dict[str, Any]) -> Image.Image:
    """Rows of the image (K, H, W, 3) and of each map (K, H, W) of COLUMNS that there is."""
    columns = [np.asarray(maps["image"])]
    for name in COLUMNS:
        if name in maps:
            grey = np.asarray(maps[name], dtype=np.float32)
            if name == "edge_weight":
                grey = (grey - 1) / max(1e-6, float(grey.max()) - 1)
            if np.asarray(maps[name]).dtype != np.uint8:
                grey = grey * 255
            columns.append(np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=-1))
    rows = np.concatenate(columns, axis=2)
    return Image.fromarray(rows.reshape(-1, *rows.shape[2:]))
