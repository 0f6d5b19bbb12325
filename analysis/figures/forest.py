"""The forest plot: what each contrast of a grid came to by its primary metric."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.intervals import bar, contrast_labels, frame, limits
from analysis.figures.style import (
    BLUE,
    COLUMN,
    DARK,
    GREEN,
    VERMILION,
    add_axes,
    style,
    text_width,
    titled_figure,
    write,
)
from analysis.spelling import p_value
from analysis.stats import Verdict
from analysis.summary import ContrastRow, Summary

# The marker repeats what the colour says.
LOOKS: dict[Verdict | None, tuple[str, str]] = {
    "better": (GREEN, "^"),
    "worse": (VERMILION, "v"),
    "equivalent": (BLUE, "s"),
    "undecided": (DARK, "o"),
    None: (DARK, "o"),
}
_FOOT, _ROW = 0.66, 0.30  # inches


def differences(summary: Summary) -> Figure | None:
    """Forest plot of the contrasts by the primary metric; None if the grid names none.

    Per contrast: mean paired difference (marker) with its 95 % interval for this test set (thick
    bar) and for new images of this kind (thin bar), the difference of every seed (circles), the
    margin (grey band), and at the right the verdict and adjusted p. An interval that would
    squeeze the rest is cut with an arrow head.
    """
    rows = summary.primary
    if not rows:
        return None
    with style():
        tall = _ROW * len(rows)
        subject = f"differences in {summary.grid.primary}"
        figure = titled_figure(summary, subject, COLUMN, _FOOT + tall + 0.06)
        write(figure, 0.06, 0.05, _legend(summary), va="bottom", linespacing=1.3)
        labels = contrast_labels(summary, 1.1)
        left = 0.16 + max(text_width(label) for label in labels)
        right = 0.72 if _margin_text(summary) else 0.10
        axes = add_axes(figure, left, _FOOT, COLUMN - left - right, tall)
        dots = [value for row in rows for value in row.values]
        reach = [interval for row in rows for interval in (row.difference, row.new_images)]
        margin = summary.grid.margin
        frame(axes, summary, labels, limits([-margin, *dots, margin], reach, stretch=0.5))
        for index, row in enumerate(rows):
            _draw_row(axes, row, index, judged=summary.grid.test)
    return figure


def _legend(summary: Summary) -> str:
    both = any(r.new_images is not None for r in summary.primary)
    thin = "; thin: for new images" if both else ""
    return (
        f"Thick bar: 95 % interval for this test set{thin}.\n"
        f"Circles: seeds; band: margin ±{summary.grid.margin:g}."
    )


def _margin_text(summary: Summary) -> bool:
    return summary.grid.test or any(row.difference.n == 0 for row in summary.primary)


def _draw_row(axes: Axes, row: ContrastRow, y: int, *, judged: bool) -> None:
    color, marker = LOOKS[row.judged]
    interval = row.difference
    dots = [y + 0.24] * len(row.values)
    axes.plot(row.values, dots, "o", ms=2.2, mfc="none", mec="0.45", mew=0.5, zorder=2)
    if row.new_images is not None:
        bar(axes, row.new_images, y, color, 0.6)
        ends = [row.new_images.low, row.new_images.high]
        axes.plot(ends, [y, y], "|", ms=4.5, mew=0.6, color=color, zorder=3)
    bar(axes, interval, y, color, 2.0)
    if interval.n:
        axes.plot(interval.mean, y, marker, ms=4.5, color=color, mec="white", mew=0.5, zorder=4)
    p = "no p" if row.p is None else f"p {p_value(row.p)}"
    text = f"{row.judged}\n{p}" if row.judged else "no test"
    if row.silent:
        text = "no words\nfound"
    if interval.n == 0:
        text = "no runs"
    if judged or interval.n == 0:
        place = axes.get_yaxis_transform()
        axes.text(1.03, y, text, transform=place, va="center", color=color, linespacing=1.1)
