"""Write a grid's tables and figures: `python -m analysis.report results/<grid>/<preset>`."""

import argparse
import sys
from pathlib import Path

from analysis import figures, latex, strip, tables
from analysis.load import load
from analysis.notes import count
from analysis.summary import Summary, summarise


def write(folder: Path | str) -> list[Path]:
    """Write table.md, table.tex, table.csv, differences.png/.pdf and strip.png/.pdf into `folder`.

    Returns the files written. A grid without contrasts has no differences, one whose runs kept
    no gradient_maps.npz no strip; the files of an earlier call are then removed. A second call
    on the same runs writes the same bytes. Raises what `analysis.load.load` raises.
    """
    folder = Path(folder)
    return _write(folder, summarise(load(folder)))


def _write(folder: Path, summary: Summary) -> list[Path]:
    texts = {
        "table.md": tables.markdown(summary),
        "table.tex": latex.latex(summary),
        "table.csv": tables.table_csv(summary),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    drawn = {"differences": figures.differences(summary), "strip": strip.strip(summary)}
    paths = [folder / name for name in texts]
    for stem, figure in drawn.items():
        targets = [folder / f"{stem}{suffix}" for suffix in (".png", ".pdf")]
        if figure is None:
            for target in targets:
                target.unlink(missing_ok=True)
        else:
            figures.save(figure, targets)
            paths += targets
    return paths


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 for a folder that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Write the tables and figures of a grid into its folder: table.md, .tex, "
        ".csv, differences.png, .pdf (the contrasts) and strip.png, .pdf (test images with maps "
        "and predictions). Reads what experiments/run.py wrote; needs no torch. An unfinished "
        "grid is reported with what is missing; runs on other data or by other code are refused.",
        epilog="example: python -m analysis.report results/grad_loss/laptop",
    )
    parser.add_argument("folder", type=Path, help="results/<grid>/<preset>, with a grid.json")
    folder = parser.parse_args(arguments).folder
    try:
        summary = summarise(load(folder))
        paths = _write(folder, summary)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables.markdown(summary))
    for path in paths:
        print(path)
    absent = len(summary.results.absent)
    if absent:
        print(f"unfinished: {count(absent, 'run')} missing, see the footnote", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
