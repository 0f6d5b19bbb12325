"""What a small run of a grid is worth: its arms beside those of a larger run of the same grid.

`compare` makes the comparison (`comparison`, with the statistics of `agreement` and the refusals
of `checked`), `sections` and `markdown` its tables, `answer` and `notes` its sentences; the figure
is `analysis.figures.scales`.
"""

from analysis.scales.comparison import Change, Scale, Scales, compare
from analysis.scales.tables import FILE, STEM, caption, markdown, sections
from analysis.scales.words import answer, notes

__all__ = ["FILE", "STEM", "Change", "Scale", "Scales", "answer", "caption", "compare", "markdown",
           "notes", "sections"]  # fmt: skip
