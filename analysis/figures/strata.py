"""Differences by kind of image: area, outline and number of parts of the object, or of words."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.intervals import bar, contrast_labels, frame, limits
from analysis.figures.style import (
    GLYPHS,
    STEPS,
    TEXT_WIDTH,
    add_axes,
    style,
    text_width,
    titled_figure,
    write,
)
from analysis.sections import stratum_label
from analysis.strata import StratumRow, told
from analysis.summary import Summary
from analysis.wording import WORDING

_FOOT, _GAP, _KEY, _LINE = 0.36, 0.12, 0.125, 0.11  # inches


def by_kind(summary: Summary) -> Figure | None:
    """Forest plots of the contrasts within strata of the test images; None if there are none.

    Columns: strata by area, outline and number of components of the object, or by size and number
    of words. Per contrast and stratum the mean paired difference of the primary metric over the
    stratum's images and its 95 % Student t interval over seeds; grey band: the margin. Intervals
    only, no test.
    """
    rows = [*told(summary)]
    titles = WORDING[summary.grid.task].titles
    kinds = [kind for kind in titles if any(row.by == kind for row in rows)]
    if not kinds:
        return None
    contrasts = [str(row.contrast) for row in summary.primary]
    names = {kind: _names(rows, kind) for kind in kinds}
    with style():
        most = max(map(len, names.values()))
        tall = max(0.30, _LINE * most + 0.06) * len(contrasts)
        subject = f"differences in {summary.grid.primary} by kind of image"
        body = _FOOT + tall + _KEY * most + 0.24
        figure = titled_figure(summary, subject, TEXT_WIDTH, body)
        labels = contrast_labels(summary, 1.2)
        left = 0.16 + max(text_width(label) for label in labels)
        wide = (TEXT_WIDTH - left - 0.06) / len(kinds) - _GAP
        margin = summary.grid.margin
        means = [row.difference.mean for row in rows if row.difference.n]
        span = limits([-margin, *means, margin], [row.difference for row in rows], stretch=2)
        for column, kind in enumerate(kinds):
            x = left + column * (wide + _GAP)
            axes = add_axes(figure, x, _FOOT, wide, tall)
            own = [row for row in rows if row.by == kind]
            frame(axes, summary, labels if column == 0 else [""] * len(labels), span)
            _draw(axes, own, contrasts, list(names[kind]))
            _key(figure, x, body - 0.14, titles[kind], names[kind])
    return figure


def _names(rows: list[StratumRow], kind: str) -> dict[str, str]:
    """The strata of one kind in their order, and what each holds."""
    return {row.name: stratum_label(row) for row in rows if row.by == kind}


def _draw(axes: Axes, rows: list[StratumRow], contrasts: list[str], names: list[str]) -> None:
    for between in range(1, len(contrasts)):
        axes.axhline(between - 0.5, color="0.85", lw=0.4, zorder=0)
    step = 0.62 / max(1, len(names) - 1)
    for row in rows:
        interval, place = row.difference, names.index(row.name)
        if not interval.n:
            continue
        color, marker = STEPS[place % len(STEPS)]
        y = contrasts.index(str(row.contrast)) + (place * step - 0.31 if len(names) > 1 else 0)
        bar(axes, interval, y, color, 1.1)
        axes.plot(interval.mean, y, marker, ms=3.4, color=color, mec="white", mew=0.4, zorder=3)


def _key(figure: Figure, x: float, y: float, title: str, names: dict[str, str]) -> None:
    write(figure, x, y, title, va="center", fontweight="bold")
    for index, words in enumerate(names.values()):
        color, marker = STEPS[index % len(STEPS)]
        line = y - (index + 1) * _KEY
        write(figure, x, line, GLYPHS[marker], va="center", color=color)
        write(figure, x + 0.12, line, words, va="center")
