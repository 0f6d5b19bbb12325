"""Edge weights in numbers: their profile against the distance to the edge, their share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

import losses
from analysis.samples import Images
from losses.boundary import Border, Window

Maps = NDArray[np.float32]
REACH = 40  # px on either side of the edge that a profile covers
SIZES = (64, 128, 256, 512, 1024)
WINDOWS: tuple[Window, ...] = (7, 15, 31, "relative")
GAMMAS = (0.0, 1.0, 5.0, 20.0)
DEFAULT_GAMMA, DEFAULT_WINDOW = 5.0, 31  # as published


def weights(
    images: Images,
    *,
    gamma: float = DEFAULT_GAMMA,
    window: Window = DEFAULT_WINDOW,
    border: Border = "zero",
) -> Maps:
    """`losses.boundary_weight` of the images' targets, (B, H, W) in [1, 1 + gamma].

    Raises:
        ValueError: as `losses.boundary_weight`.
    """
    with torch.inference_mode():
        found = losses.boundary_weight(images.targets, gamma=gamma, window=window, border=border)
    maps: Maps = found[:, 0].numpy()
    return maps


def signed_distance(target: NDArray[np.generic]) -> NDArray[np.float64]:
    """Distance in px of each pixel's centre to the edge of target > .5, positive inside.

    The edge runs between pixels, so the nearest ones are .5 away. NaN everywhere in a target
    (H, W) that is all object or all background, and has no edge.
    """
    inside = np.asarray(target) > 0.5
    if inside.all() or not inside.any():
        return np.full(inside.shape, np.nan)
    away = np.where(inside, distance_transform_edt(inside), -distance_transform_edt(~inside))
    distance: NDArray[np.float64] = away - 0.5 * np.sign(away)
    return distance


def profile(maps: Maps, targets: NDArray[np.generic]) -> pd.DataFrame:
    """Weight by signed distance to the edge: columns distance (px), mean, low and high quartile.

    Pixels of all images, in steps of 1 px from -REACH to REACH; steps without pixels are left
    out, so no rows are left where no image has an edge.

    Raises:
        ValueError: weights and targets of different shapes.
    """
    if maps.shape != targets.shape:
        raise ValueError(f"weights are {maps.shape}, targets {targets.shape}: expected the same")
    away = np.stack([signed_distance(target) for target in targets])
    near = np.abs(away) <= REACH
    frame = pd.DataFrame({"distance": np.floor(away[near]) + 0.5, "weight": maps[near]})
    groups = frame.groupby("distance")["weight"]
    parts = {"mean": groups.mean(), "low": groups.quantile(0.25), "high": groups.quantile(0.75)}
    return pd.DataFrame(parts).reset_index()


def edge_share(maps: Maps) -> float:
    """Share of the total weight that the edge term adds, S(w - 1) / S(w), in [0, 1)."""
    total = maps.astype(np.float64)
    return float((total - 1).sum() / total.sum())


def settings(images: Images, by_size: Sequence[Images]) -> pd.DataFrame:
    """Edge weights of one knob after another, else as published (gamma 5, window 31, zero).

    Columns: knob, value, size (px, of the square root of H W); `edge_share`; `edge`: mean weight
    of the pixels within 1 px of the edge; `frame`: mean weight of the object's pixels at the
    picture's own border, NaN where no object reaches it.
    """
    rows = [_row("gamma", f"{g:g}", images, weights(images, gamma=g)) for g in GAMMAS]
    rows += [_row("window", str(k), images, weights(images, window=k)) for k in WINDOWS]
    borders: tuple[Border, ...] = ("zero", "exclude")
    cut = zoomed(images)
    rows += [_row("border", f"{b}, zoomed in", cut, weights(cut, border=b)) for b in borders]
    for window in (DEFAULT_WINDOW, "relative"):
        for one in by_size:
            found = weights(one, window=window)
            rows.append(_row("size", f"window {window}", one, found))
    return pd.DataFrame(rows)


def zoomed(images: Images) -> Images:
    """The middle of the images, half as high and wide, so that objects run out of the picture."""
    height, width = images.size
    rows, columns = (slice(n // 4, n // 4 + max(1, n // 2)) for n in (height, width))
    pixels, targets = (x[:, :, rows, columns] for x in (images.pixels, images.targets))
    return Images(images.data, images.names, pixels, targets)


def _row(knob: str, value: str, images: Images, maps: Maps) -> dict[str, object]:
    targets = images.targets[:, 0].numpy()
    near = maps[np.abs(np.stack([signed_distance(target) for target in targets])) <= 1]
    height, width = images.size
    return {
        "knob": knob,
        "value": value,
        "size": round((height * width) ** 0.5),
        "edge_share": edge_share(maps),
        "edge": float(near.mean(dtype=np.float64)) if near.size else float("nan"),
        "frame": _frame(maps, targets > 0.5),
    }


def _frame(maps: Maps, inside: NDArray[np.bool_]) -> float:
    ring = np.ones(maps.shape[1:], dtype=bool)
    ring[1:-1, 1:-1] = False
    cut = maps[inside & ring]
    return float(cut.mean()) if cut.size else float("nan")
