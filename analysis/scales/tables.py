"""Two scales of a grid beside each other: `scales.md`, and the tables of the page's part."""

import math

from analysis.scales.comparison import Scale, Scales
from analysis.scales.words import answer, notes
from analysis.sections import PUBLISHED, Cell, Section, Table, change
from analysis.spelling import DASH, number, places, span
from analysis.stats import Interval, t_interval
from analysis.tables import md_section, md_text

FILE, STEM = "scales.md", "scales"  # of the text, and of the figure's files
_NONE = Interval(0, math.nan, math.nan, math.nan, math.nan)


def markdown(found: Scales) -> str:
    """`scales.md`: the answer, the tables and what each number is."""
    small, large = found.both
    title = f"{found.grid.name}: does {small.name} rank the arms as {large.name} does?"
    lines = [f"# {md_text(title)}", "", md_text(answer(found)), ""]
    for section in sections(found):
        lines += md_section(section)
    return "\n".join([*lines, *(f"- {md_text(note)}" for note in notes(found)), ""])


def caption(found: Scales) -> str:
    """What the figure shows."""
    small, large = found.both
    return (
        f"Arms at {small.name} (across) and {large.name} (upwards): difference in "
        f"{found.grid.primary} from “{found.reference}”. Marker: mean over seeds; bars: 95 % "
        "intervals, paired by seed; dashed diagonal: the same difference at both scales."
    )


def sections(found: Scales) -> tuple[Section, ...]:
    """How far the scales agree, the arms at both, and the contrasts at both, if there are any."""
    metric = found.grid.primary
    tail = PUBLISHED if found.large.summary.results.variant == "published" else ""
    parts = [
        Section(
            "agreement", "Pairs of arms and correlations by", metric, (_summary(found),), tail
        ),
        Section("ranks", "Means by arm:", metric, (_arms(found),), tail),
    ]
    if found.changes:
        parts.append(Section("changes", "Contrasts by", metric, (_changes(found),), tail))
    return tuple(parts)


def _summary(found: Scales) -> Table:
    counts = [
        (Cell("pairs of arms"), len(found.agreement)),
        *((Cell(" separates", names=(s.label,)), s.separates) for s in found.both),
        (Cell("both, the same way"), len(found.separated(1))),
        (Cell("both, opposite ways"), len(found.separated(-1))),
    ]
    rows = [(name, Cell(str(value)), Cell(DASH)) for name, value in counts]
    correlations = [(Cell("Kendall's tau of the means"), found.tau)]
    correlations.append((Cell("Pearson's r of the means"), found.r))
    if found.r_without:
        correlations.append((Cell(" left out: r", names=(found.furthest,)), found.r_without))
    for name, interval in correlations:
        value = interval or _NONE
        rows.append((name, Cell(number(value.mean, 2, signed=True)), Cell(span(value, 2))))
    shares = [(Cell(": reliability of the means", names=(s.label,)), s.reliability)
              for s in found.both]  # fmt: skip
    shares.append((Cell("r if the true means agreed wholly"), found.ceiling))
    rows += [(name, Cell(number(value, 2)), Cell(DASH)) for name, value in shares]
    return Table((Cell("all common arms"), Cell("value"), Cell("95 % interval")), tuple(rows))


def _arms(found: Scales) -> Table:
    columns = [_column(scale) for scale in found.both]
    header = [Cell("arm")]
    for scale in found.both:
        header += [Cell(names=(scale.label,)), Cell("rank")]
    rows = []
    for index, arm in enumerate(found.arms):
        tail = "(baseline)" if arm == found.grid.baseline else ""
        cells = [cell for column in columns for cell in column[index]]
        rows.append((Cell(names=(arm,), tail=tail), *cells))
    return Table(tuple(header), tuple(rows))


def _column(scale: Scale) -> list[tuple[Cell, Cell]]:
    """Of each arm the mean, and the rank with its range."""
    intervals = [t_interval(column) for column in scale.values.T]
    digits = _digits(scale)
    return [
        (
            Cell(number(mean.mean, digits), tail=f"± {number(mean.half, digits)}"),
            Cell(str(rank), tail=f"[{best}, {worst}]"),
        )
        for mean, (rank, best, worst) in zip(intervals, scale.ranks, strict=True)
    ]


def _changes(found: Scales) -> Table:
    small, large = (scale.label for scale in found.both)
    columns = ((small,), (large,), (large, small))
    digits = [*map(_digits, found.both)]
    rows = []
    for row in found.changes:
        pair = Cell(names=(row.contrast.arm, row.contrast.minus))
        cells = zip((row.small, row.large, row.change), (*digits, max(digits)), strict=True)
        rows.append((pair, *(Cell(change(*cell)) for cell in cells)))
    return Table((Cell("contrast"), *(Cell(names=names) for names in columns)), tuple(rows))


def _digits(scale: Scale) -> int:
    """As in the scale's own tables."""
    return places(scale.summary)[scale.summary.grid.primary]
