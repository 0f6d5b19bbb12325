"""Pictures of edge weights, and of the schedules that loss terms can follow."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import losses
from analysis.edge_weights.measure import (
    DEFAULT_GAMMA,
    DEFAULT_WINDOW,
    GAMMAS,
    WINDOWS,
    edge_share,
    profile,
    weights,
    zoomed,
)
from analysis.figures import COLUMN, new_figure, style
from analysis.figures.style import BLUE, GREEN, ORANGE, VERMILION, fit
from analysis.gradient_maps.figures import given, pictures
from analysis.samples import Images
from losses.boundary import Border, Window
from losses.pixel import Mode, progressive_weights
from losses.schedules import cosine, exponential, linear, piecewise, steps, warmup

COLOURS = (BLUE, ORANGE, GREEN, VERMILION)
LINES = ("-", "--", "-.", ":")
HEAVIEST = 1 + DEFAULT_GAMMA


def weight_maps(images: Images) -> Figure:
    """Image, target and edge weights by window at gamma 5; black 1, bright 6.

    The last column is U-Net's weight, which is high between neighbouring objects, over its
    greatest value in the picture.
    """
    tiles = given(images)
    tiles += [(_window(k), weights(images, window=k)) for k in WINDOWS]
    unet = losses.unet_weight(images.targets)[:, 0].numpy()
    tiles.append(("U-Net", unet / unet.max(axis=(1, 2), keepdims=True)))
    limits = {_window(k): (1.0, HEAVIEST, "magma") for k in WINDOWS}
    height, width = images.size
    title = (
        "Edge weights, gamma 5, by window: black 1, bright 6; U-Net's: bright is its greatest in "
        f"the picture.\n{fit(images.data, 3)}, {height} x {width} px"
    )
    return pictures(tiles, images.names, title, {**limits, "U-Net": (0, 1, "magma")})


def profiles(images: Images) -> Figure:
    """Weight against the signed distance to the edge: by gamma (window 31), by window (gamma 5).

    Lines: mean over the pixels at that distance, as far as any are; bands: quartiles.
    """
    targets = images.targets[:, 0].numpy()
    with style():
        figure = new_figure(COLUMN, 3.6)
        upper, lower = figure.subplots(2, 1, sharex=True)
        figure.subplots_adjust(left=0.14, right=0.97, top=0.93, bottom=0.11, hspace=0.28)
        for i, gamma in enumerate(GAMMAS):
            _line(upper, profile(weights(images, gamma=gamma), targets), f"{gamma:g}", i)
        for i, window in enumerate(_PROFILED):
            _line(lower, profile(weights(images, window=window), targets), f"{window}", i)
        upper.set_title(f"gamma, window {DEFAULT_WINDOW} px:", loc="left", pad=3)
        lower.set_title(f"window in px, gamma {DEFAULT_GAMMA:g}:", loc="left", pad=3)
        lower.set_xlabel("distance to the edge, px (outside < 0 < inside)")
        for axes in (upper, lower):
            axes.set_xmargin(0.01)
            axes.set(ylabel="weight")
            axes.axvline(0, color="0.6", lw=0.6, zorder=0)
            axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=4, handlelength=1.6,
                        columnspacing=0.9, borderaxespad=0, borderpad=0.2)  # fmt: skip
    return figure


_PROFILED: tuple[Window, ...] = (7, 15, 31, 91)  # 91: "relative" at 1024 px


def _line(axes: Axes, found: pd.DataFrame, name: str, index: int) -> None:
    colour, at = COLOURS[index], found["distance"]
    axes.plot(at, found["mean"], color=colour, ls=LINES[index], label=name)
    axes.fill_between(at, found["low"], found["high"], color=colour, alpha=0.15, lw=0)


def borders(images: Images) -> Figure:
    """Objects that run out of the picture, with padding counted as background and left out.

    Counted, as published, the picture's own border weighs like an edge of the object.
    """
    cut = zoomed(images)
    zero, exclude = (weights(cut, border=b) for b in _BORDERS)
    names = ("padding counts\n(as published)", "padding left out", "difference")
    tiles = [*given(cut), *zip(names, (zero, exclude, zero - exclude), strict=True)]
    ranges = dict.fromkeys(names[:2], (1.0, HEAVIEST, "magma"))
    limits = {**ranges, names[2]: (0.0, DEFAULT_GAMMA, "magma")}
    title = (
        f"Edge weights where objects leave the picture: dark 1, bright {HEAVIEST:g}; "
        f"difference: dark 0, bright {DEFAULT_GAMMA:g}"
    )
    return pictures(tiles, cut.names, title, limits)


_BORDERS: tuple[Border, ...] = ("zero", "exclude")


def sizes(by_size: Sequence[Images]) -> Figure:
    """Edge weights of one image by its size, with a window of 31 px and a relative one, dark 1
    and bright 6.

    Below: the edge term's share of the total weight, over all images, against their size.
    """
    with style():
        figure = new_figure(COLUMN, 4.25)
        figure.text(0.02, 0.985, f"Edge weight: dark 1, bright {HEAVIEST:g}", va="top")
        shown = [by_size[i] for i in sorted({0, len(by_size) // 2, len(by_size) - 1})]
        for column, one in enumerate(shown):
            for row, window in enumerate(_COMPARED):
                box = (0.34 + column * 1.01, 2.74 - row * 1.01, 0.95, 0.95)
                place = [x / (COLUMN, 4.25)[i % 2] for i, x in enumerate(box)]
                axes = figure.add_axes((place[0], place[1], place[2], place[3]))
                axes.set(xticks=[], yticks=[], title=f"{one.size[0]} px" if row == 0 else "")
                if column == 0:
                    axes.set_ylabel(_window(window), labelpad=2)
                found = weights(one.first(1), window=window)[0]
                axes.imshow(found, cmap="magma", vmin=1, vmax=HEAVIEST, aspect="auto")
        _shares(figure.add_axes((0.14, 0.1, 0.83, 0.265)), by_size)
    return figure


_COMPARED: tuple[Window, ...] = (DEFAULT_WINDOW, "relative")


def _shares(axes: Axes, by_size: Sequence[Images]) -> None:
    places = [(one.size[0] * one.size[1]) ** 0.5 for one in by_size]
    for i, window in enumerate(_COMPARED):
        share = [100 * edge_share(weights(one, window=window)) for one in by_size]
        look = LINES[i] + "os"[i]
        axes.plot(places, share, look, color=COLOURS[i], ms=3, label=_window(window))
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:.0f}" for place in places])
    axes.minorticks_off()
    axes.set(xlabel="image size, px", ylabel="edge share of weight, %", ylim=(0, None))
    axes.legend(loc="lower left")


def schedules() -> Figure:
    """Schedules of a loss's weight against the progress u of training.

    Above: the weights of BCE and MAE in the modes of `progressive`; below: general schedules.
    """
    u = np.linspace(0, 1, 401)
    modes: tuple[Mode, ...] = get_args(Mode)
    general = {
        "linear": linear(0, 1),
        "cosine": cosine(1, 0),
        "exponential": exponential(1, 0.05),
        "warm-up": warmup(1, share=0.1),
        "steps": steps([1, 0.5, 0.25], [0.5, 0.75]),
        "piecewise": piecewise([(0, 0), (0.3, 0.8), (1, 0.4)]),
    }
    with style():
        figure = new_figure(COLUMN, 4.6)
        panels = figure.subplots(5, 2, sharex=True, sharey=True).ravel()
        figure.subplots_adjust(left=0.1, right=0.97, top=0.95, bottom=0.09, hspace=0.55)
        for axes, mode in zip(panels, modes, strict=False):
            both = np.array([progressive_weights(float(x), mode) for x in u])
            axes.plot(u, both[:, 0], color=COLOURS[0], label="BCE")
            axes.plot(u, both[:, 1], "--", color=COLOURS[3], label="MAE")
            axes.set_title(f"progressive, {mode}", loc="left", pad=3)
        panels[1].legend(loc="lower left", handlelength=1.6)
        for axes, (name, weight) in zip(panels[len(modes) :], general.items(), strict=True):
            axes.plot(u, [weight(float(x)) for x in u], color="0.25")
            axes.set_title(name, loc="left", pad=3)
        for axes in panels:
            axes.set(xlim=(0, 1), ylim=(-0.04, 1.04), yticks=[0, 1])
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        for axes in panels[-2:]:
            axes.set_xlabel("progress u")
    return figure


def _window(window: Window) -> str:
    return f"window {window}" if isinstance(window, str) else f"window {window} px"
