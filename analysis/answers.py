"""Write the tables of results/README.md from the committed results: `python -m analysis.answers`.

A table stands between `<!-- contrasts FOLDER -->` and `<!-- end -->`; after the folder, which is
relative to the file, single contrasts may be named: `: mae - bce, hybrid - bce`.
"""

import argparse
import re
import sys
from pathlib import Path

from analysis.load import load
from analysis.metrics import arrow
from analysis.sections import Cell, Table, sections
from analysis.shares import SHARE, gradient_shares, spelled
from analysis.summary import Summary, summarise
from analysis.tables import md_table

BLOCK = re.compile(r"<!-- contrasts ([^\s:]+)(?:: ([^>]+))? -->\n(.*?)<!-- end -->", re.DOTALL)
README = Path("results/README.md")


def filled(text: str, home: Path) -> str:
    """The text with each table anew; folders are relative to `home`.

    Raises:
        ValueError: a contrast that its grid does not name, a preset without a test; what
            `analysis.load.load` raises.
    """

    def block(found: re.Match[str]) -> str:
        summary = summarise(load(home / found[1]))
        wanted = [name.strip() for name in (found[2] or "").split(",") if name.strip()]
        head = found[0].partition("\n")[0]
        return "\n".join([head, "", *md_table(contrasts(summary, wanted)), "", "<!-- end -->"])

    return BLOCK.sub(block, text)


def contrasts(summary: Summary, wanted: list[str]) -> Table:
    """The contrasts (all, or the `wanted` ones as "arm - minus") by the primary metric: difference
    and intervals, p, verdict, the smallest detectable difference, and the grad_share of both."""
    grid = summary.grid
    names = [f"{c.arm} - {c.minus}" for c in grid.contrasts]
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"{summary.results.folder} has no contrast {name!r}, but {', '.join(names)}"
            )
    if not grid.test:
        raise ValueError(f"{summary.results.folder}: preset {grid.preset} is no evidence")
    differences, effects = next(s for s in sections(summary) if s.slug == "contrasts").tables
    detectable = [cell.text for cell in effects.header].index("smallest detectable")
    titles = {
        "difference": Cell(f"{grid.primary} {arrow(grid.primary)}"),
        "verdict": Cell(f"verdict at ±{grid.margin:g}"),
    }
    shares = gradient_shares(summary.results)
    header = [titles.get(cell.text, cell) for cell in differences.header[:-1]]  # the last is n
    header += [effects.header[detectable], *([Cell(SHARE)] if shares else [])]
    rows = []
    for name, one, other in zip(names, differences.rows, effects.rows, strict=True):
        if name in wanted or not wanted:
            pair = [spelled(shares[arm])[0] for arm in one[0].names] if shares else []
            rows.append((*one[:-1], other[detectable], *([Cell(", ".join(pair))] if pair else [])))
    return Table(tuple(header), tuple(rows))


def main() -> int:
    """Rewrite the file; returns the exit status: 0, or 2 for results that cannot be read."""
    about = (__doc__ or "").partition("\n")[0]
    argparse.ArgumentParser(prog="python -m analysis.answers", description=about).parse_args()
    try:
        text = filled(README.read_text(encoding="utf-8"), README.parent)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    README.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
