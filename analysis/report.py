"""Write a grid's tables, figures and page: `python -m analysis.report results/<grid>/<preset>`,
beside those of a smaller run if one is given."""

import argparse
import math
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure

from analysis import latex, numbers, page, tables
from analysis import scales as beside
from analysis.figures import FIGURES, save
from analysis.figures.scales import both_scales
from analysis.load import load
from analysis.plan import plan_text
from analysis.scales import Scales, compare
from analysis.summary import Summary, summarise
from analysis.trace import trace
from analysis.verdict import conclusion

FILES = ("table.md", "table.tex", "table.csv", "numbers.tex", "grid.json")  # that the page links


def write(folder: Path | str, small: Path | str | None = None) -> list[Path]:
    """Write a grid's report into `folder`: table.md, .tex and .csv, numbers.tex, every figure as
    .png and .pdf, report.html.

    `folder` is results/<grid>/<preset>, or a results/<grid> with one preset in it; `small` is that
    of a smaller run of the same grid, of which scales.md, .png and .pdf and a part of the page
    tell what it is worth. Returns the files written. A figure with nothing to draw (no contrasts,
    no kept maps) is left out, and its files of an earlier call are removed, as are those of
    another scale without one. A second call on the same runs writes the same bytes. Raises what
    `analysis.load.load` and `analysis.scales.compare` raise, before anything is written.
    """
    summary = summarise(load(found(folder)))
    return write_report(summary, _compared(small, summary))


def _compared(small: Path | str | None, large: Summary) -> Scales | None:
    return None if small is None else compare(summarise(load(found(small))), large)


def write_report(summary: Summary, scales: Scales | None = None) -> list[Path]:
    """As `write`, of a grid that was read already, into its own folder."""
    folder = summary.results.folder
    written = texts(summary, scales)
    paths = [_written(folder / name, text) for name, text in written.items()]
    if scales is None:
        (folder / beside.FILE).unlink(missing_ok=True)
    pictures: dict[str, Path] = {}
    for stem, draw in FIGURES.items():
        paths += _drawn(folder, stem, draw(summary), pictures)
    paths += _drawn(folder, beside.STEM, both_scales(scales) if scales else None, pictures)
    text = page.render(summary, pictures, FILES, scales)
    return [*paths, _written(folder / "report.html", text)]


def _drawn(
    folder: Path, stem: str, figure: Figure | None, pictures: dict[str, Path]
) -> list[Path]:
    """The files of a figure, the PNG noted in `pictures`; without a figure the old ones go."""
    targets = [folder / f"{stem}{suffix}" for suffix in (".png", ".pdf")]
    if figure is None:
        for target in targets:
            target.unlink(missing_ok=True)
        return []
    with _whole(*targets) as drafts:
        save(figure, drafts)
    pictures[stem] = targets[0]
    return targets


def texts(summary: Summary, scales: Scales | None = None) -> dict[str, str]:
    """The tables and macros by file name."""
    return {
        "table.md": tables.markdown(summary),
        "table.tex": latex.latex(summary),
        "table.csv": tables.table_csv(summary),
        "numbers.tex": numbers.numbers_tex(summary),
        **({beside.FILE: beside.markdown(scales)} if scales else {}),
    }


def _written(path: Path, text: str) -> Path:
    with _whole(path) as (draft,):
        draft.write_text(text, encoding="utf-8", newline="\n")
    return path


@contextmanager
def _whole(*paths: Path) -> Iterator[list[Path]]:
    """Drafts beside `paths`, which they become at the end: nobody, not even another report at the
    same time, finds half a file."""
    mine = f"{socket.gethostname()}.{os.getpid()}"
    drafts = [path.with_name(f".{path.stem}.{mine}.tmp{path.suffix}") for path in paths]
    try:
        yield drafts
        for draft, path in zip(drafts, paths, strict=True):
            draft.replace(path)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def found(folder: Path | str) -> Path:
    """The folder with the grid.json: `folder`, or the only folder in it that has one.

    Where there is none or more than one, `folder` itself, whose error names the choices.
    """
    folder = Path(folder)
    inner = [path.parent for path in folder.glob("*/grid.json")]
    return inner[0] if len(inner) == 1 and not (folder / "grid.json").exists() else folder


def essential(markdown: str) -> str:
    """What one reads first of a table.md, for a terminal: the arms, the contrasts, and what is
    not finished."""
    tables, _, notes = markdown.partition("\n- ")
    top, *sections = tables.split("\n## ")
    contrasts = [part.rstrip() + "\n" for part in sections if part.startswith("Contrasts")]
    unfinished = [f"\n{note}" for note in notes.split("\n- ") if note.startswith("Unfinished")]
    text = "\n## ".join([top.rstrip() + "\n", *contrasts]) + "".join(unfinished)
    return re.sub(r"\\([^\w\s|]|_)", r"\1", text).rstrip() + "\n"


def report(folder: Path | str, small: Path | str | None = None) -> str:
    """As `write`; returns the arms, the contrasts, the conclusion, what the small run is worth,
    and where everything is."""
    summary = summarise(load(found(folder)))
    scales = _compared(small, summary)
    names = ", ".join(path.name for path in write_report(summary, scales)[:-1])
    where = summary.results.folder
    worth = f"\n\nbeside {scales.small.name}: {beside.answer(scales)}" if scales else ""
    return (
        f"{essential(tables.markdown(summary))}\n{conclusion(summary)}{worth}\n\n"
        f"written to {where}: {names}\nthe whole report: {where / 'report.html'}"
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 for results that cannot be read."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.stratum and options.trace is None:
        parser.error("--stratum is of --trace: give it a contrast and a metric")
    if options.beside and (options.trace or options.plan):
        parser.error("--beside is of the report, which --trace and --plan do not write: leave out "
                     "either")  # fmt: skip
    try:
        if options.trace is None and options.plan is None:
            print(report(options.folder, options.beside), flush=True)
            return 0
        summary = summarise(load(found(options.folder)))
        if options.trace is not None:
            print(trace(summary, *options.trace, stratum=options.stratum), flush=True)
        if options.plan is not None:
            print(plan_text(summary, options.plan), flush=True)
    except BrokenPipeError:  # `| head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Write the report of a grid into its folder: report.html (one page, needs no "
        "network), table.md, table.tex, table.csv, numbers.tex (a macro for each number), and "
        "every figure as .png and .pdf. Reads what experiments/run.py wrote, needs no torch. An "
        "unfinished grid is reported with what is missing; runs on other data, of other presets "
        "or by other code are refused.",
        epilog="examples: python -m analysis.report results/grad_loss/laptop; python -m "
        "analysis.report results/grad_loss/laptop --trace bce F_weighted; python -m "
        "analysis.report results/grad_loss/evening --beside results/grad_loss/laptop. Exit "
        "status: 0, or 2 for results that cannot be read.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="results/<grid>/<preset>, with a grid.json; or results/<grid> with one preset",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FOLDER",
        help="a smaller run of the same grid (another preset): also write what it is worth, that "
        "is which arms both separate and how they rank, to scales.md, scales.png, scales.pdf and "
        "a part of report.html; without it these files of an earlier call are removed",
    )
    parser.add_argument(
        "--trace",
        nargs=2,
        metavar=("ARM", "METRIC"),
        help="tell the runs (seed, value, hash) that a number of the table comes from; ARM may be "
        "a contrast, such as 'mae - bce'; writes nothing",
    )
    parser.add_argument(
        "--stratum",
        default="",
        metavar="BY:NAME",
        help="with --trace of a contrast: on the images of one kind, such as area:small or, of "
        "text, size:small",
    )
    parser.add_argument(
        "--plan",
        type=_effect,
        metavar="EFFECT",
        help="tell how many seeds each contrast needs to find a true difference of EFFECT in the "
        "primary metric, such as 0.01, with power .8; writes nothing",
    )
    return parser


def _effect(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a difference above 0, such as 0.01")
    return value


if __name__ == "__main__":
    sys.exit(main())
