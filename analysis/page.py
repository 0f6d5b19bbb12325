"""The report of a grid as one HTML page that loads nothing from anywhere."""

import base64
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from analysis import scales as beside
from analysis.figures import captions
from analysis.grid import Grid
from analysis.metrics import METRICS, arrow
from analysis.notes import footnotes, unfinished
from analysis.scales import Scales
from analysis.sections import Cell, Section, Table, definitions, sections
from analysis.spelling import count, p_value, ranges
from analysis.summary import Summary
from analysis.verdict import conclusion
from analysis.wording import WORDING

_PER_INCH, _WIDE = 150, 600  # CSS pixels: an inch of a figure, a figure that narrow pages scroll
# Which figures stand before which tables; the parts below have none, the last takes the rest.
_FIGURES = {
    "contrasts": ("differences",),
    "arms": (),
    "guards": (),
    "outcomes": ("curves", "outcomes"),
    "sizes": ("strata",),
}
_MARKS = {"better": "▲", "worse": "▼", "equivalent": "■", "undecided": "●"}
_BARE = {
    "images": ("Images", ("strip", "scatter")),
    "gradients": ("Maps", ("maps", "histograms", "text_maps")),
    "more": ("More figures", ()),
}


@dataclass(frozen=True)
class Picture:
    """A figure of the page: its PNG as base64, and its size there in CSS pixels."""

    stem: str
    label: str
    alt: str
    caption: str
    data: str
    width: int
    height: int
    wide: bool


@dataclass(frozen=True)
class Part:
    """A part of the page with a heading: a sentence, figures, tables, then notes."""

    key: str
    title: str
    figures: list[Picture]
    tables: tuple[Table, ...]
    lead: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fact:
    """A name and what it stands for."""

    name: str
    value: str


def render(
    summary: Summary,
    pictures: Mapping[str, Path],
    files: Sequence[str],
    scales: Scales | None = None,
) -> str:
    """The page as text: question, verdict, tables, figures, provenance, how to do it again.

    `pictures` maps stems of `analysis.figures.FIGURES` (and that of `analysis.scales`, with
    `scales`) to PNG files at 300 dpi, which are embedded; `files` are the names of what lies
    beside the page, which are linked. `scales` add a part on a smaller run of the grid. Nothing
    is loaded from elsewhere; names are escaped. The same grid gives the same text.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    grid = summary.grid
    return environment.get_template("page.html").render(
        name=f"{grid.name}, preset {grid.preset}",
        question=grid.question,
        verdict=conclusion(summary),
        missing=unfinished(summary),
        facts=_facts(summary),
        parts=_parts(summary, pictures, scales),
        notes=footnotes(summary),
        definitions=definitions(summary),
        metrics={m: METRICS[m].about for m in summary.metrics},
        arrow=arrow,
        marks=_MARKS,
        origin=_origin(summary),
        runs=_runs(summary),
        commands=_commands(summary, scales),
        files=[*files, *([beside.FILE] if scales else [])],
    )


def _parts(summary: Summary, pictures: Mapping[str, Path], scales: Scales | None) -> list[Part]:
    """Tables with the figures that belong to them, figures without tables, another scale."""
    found = {section.slug: section for section in sections(summary)}
    order = [slug for slug in _FIGURES if slug in found]
    order += [slug for slug in found if slug not in _FIGURES]
    left, words = dict(pictures), captions(summary.grid.task)
    last = _beside(scales, left.pop(beside.STEM, None)) if scales else []
    parts = []
    for slug in order:
        own = [stem for stem in _FIGURES.get(slug, ()) if stem in left]
        shown = [_picture(stem, left.pop(stem), words[stem]) for stem in own]
        parts.append(Part(slug, _title(found[slug]), shown, found[slug].tables))
    for key, (title, stems) in _BARE.items():
        kept = [stem for stem in stems or tuple(left) if stem in left]
        shown = [_picture(stem, left.pop(stem), words[stem]) for stem in kept]
        parts += [Part(key, title, shown, ())] if shown else []
    return [*parts, *last]


def _beside(scales: Scales, path: Path | None) -> list[Part]:
    """What the small run is worth."""
    shown = [_picture(beside.STEM, path, beside.caption(scales))] if path else []
    tables = tuple(table for part in beside.sections(scales) for table in part.tables)
    title = f"Beside {scales.small.name}"
    return [Part("beside", title, shown, tables, beside.answer(scales), (*beside.notes(scales),))]


def _title(section: Section) -> str:
    return " ".join(part for part in (section.title, section.metric, section.tail) if part)


def _picture(stem: str, path: Path, caption: str) -> Picture:
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        size = [n / picture.info["dpi"][0] * _PER_INCH for n in picture.size]
    return Picture(
        stem=stem,
        label=f"Figure: {stem}",
        alt=caption.partition(". ")[0].rstrip(".") + ".",
        caption=caption,
        data=base64.b64encode(data).decode("ascii"),
        width=round(size[0]),
        height=round(size[1]),
        wide=size[0] > _WIDE,
    )


def _facts(summary: Summary) -> list[Fact]:
    grid = summary.grid
    done = len(grid.cells) - len(summary.results.absent)
    facts = [
        Fact("arms", str(len(grid.arms))),
        Fact("seeds", str(len(grid.seeds))),
        Fact("runs complete", f"{done} of {len(grid.cells)}"),
        Fact("test images", str(len(summary.results.images))),
        Fact("primary metric", grid.primary),
        Fact("margin", f"±{grid.margin:g}"),
    ]
    if summary.flip is not None:
        facts.append(Fact("smallest possible p", p_value(summary.flip.smallest)))
    return facts


def _origin(summary: Summary) -> list[Fact]:
    grid = summary.grid
    images = summary.results.images
    objects = images["group"].nunique()
    return [
        Fact("data", f"{grid.data_name}, digest {grid.data_digest}"),
        Fact(
            "test set",
            f"{count(len(images), 'image')} of {count(objects, WORDING[grid.task].group)}",
        ),
        Fact("commit", grid.commit or "unknown"),
        Fact("code digest", summary.results.code),
        Fact("packages", ", ".join(f"{k} {v}" for k, v in sorted(grid.versions.items()))),
        Fact("seeds", ranges(grid.seeds)),
    ]


def _runs(summary: Summary) -> Table:
    """The hash of every run, or its state where it is not complete."""
    grid = summary.grid
    cells = {(cell.arm, cell.seed): cell for cell in grid.cells}
    rows = []
    for arm in grid.arms:
        found = [cells[arm, seed] for seed in grid.seeds]
        hashes = (Cell(c.hash if c.state == "complete" else c.state) for c in found)
        rows.append((Cell(names=(arm,)), *hashes))
    header = (Cell("arm"), *(Cell(f"seed {seed}") for seed in grid.seeds))
    return Table(header, tuple(rows))


def _commands(summary: Summary, scales: Scales | None) -> str:
    """What trains the grid, and what reports it from the folder that the first writes into."""
    train, folder = _run(summary.grid)
    report = f"python -m analysis.report {shlex.quote(folder)}"
    if scales is not None:
        report += f" --beside {shlex.quote(_run(scales.small.summary.grid)[1])}"
    return f"{train}\n{report}"


def _run(grid: Grid) -> tuple[str, str]:
    """The command that trains a grid, and the folder it writes into."""
    train = f"python experiments/run.py --grid {shlex.quote(grid.name)}"
    train = grid.command or f"{train} --preset {shlex.quote(grid.preset)}"
    words = shlex.split(train)
    folder = f"results/{grid.name}/{grid.preset}"
    if "--out" in words[:-1]:
        folder = words[words.index("--out") + 1]
    return train, folder
