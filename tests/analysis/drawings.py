"""What the figures draw, as tests read it."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures import FIGURES, TEXT_WIDTH, style
from analysis.summary import Summary
from analysis.wording import Task

OF_OTHERS: dict[Task, set[str]] = {"masks": {"text_maps"}, "text": {"maps", "histograms"}}
OF_MASKS = tuple(stem for stem in FIGURES if stem not in OF_OTHERS["masks"])


def drawn(stem: str, summary: Summary) -> Figure:
    figure = FIGURES[stem](summary)
    assert figure is not None
    return figure


def words(figure: Figure) -> str:
    """All text of a figure."""
    return "\n".join(text for found in figure.findobj(Text) if (text := found.get_text()))


def outside(figure: Figure) -> list[str]:
    """What reaches over the edge of a drawn picture."""
    box = figure.bbox.padded(1)
    spans = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    spans += [(axes.get_title(), tight) for axes in figure.axes if (tight := axes.get_tightbbox())]
    return [
        name
        for name, s in spans
        if s.x0 < box.x0 or s.y0 < box.y0 or s.x1 > box.x1 or s.y1 > box.y1
    ]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other in a drawn picture."""
    texts = [*figure.texts]
    for axes in figure.axes:
        for axis, place, (low, high) in (
            (axes.xaxis, 0, sorted(axes.get_xlim())),
            (axes.yaxis, 1, sorted(axes.get_ylim())),
        ):
            labels = axis.get_ticklabels()
            texts += [label for label in labels if low <= label.get_position()[place] <= high]
        texts += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
    boxes = [(t.get_text(), t.get_window_extent().padded(-1)) for t in texts if t.get_text()]
    return [(a, b) for (a, x), (b, y) in itertools.combinations(boxes, 2) if x.overlaps(y)]


def lines(axes: Axes, width: float) -> list[tuple[float, float]]:
    """Ends of the horizontal bars of one line width, from the top."""
    found = [line for line in axes.lines if line.get_linewidth() == width]
    spans = [np.asarray(line.get_xdata(), dtype=float) for line in found if line.get_ls() == "-"]
    return [(float(x[0]), float(x[1])) for x in spans]


def check_texts(summary: Summary, *, missing: set[str]) -> None:
    figures = {stem: draw(summary) for stem, draw in FIGURES.items()}
    left = {stem for stem, figure in figures.items() if figure is None}
    assert left == missing | OF_OTHERS[summary.grid.task]
    for stem, figure in figures.items():
        if figure is not None:
            with style():
                figure.draw_without_rendering()
                assert (stem, outside(figure)) == (stem, [])
                assert (stem, overlapping(figure)) == (stem, [])
            assert figure.get_figwidth() <= TEXT_WIDTH
