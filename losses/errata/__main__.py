"""Print the errata with source and measured consequence: python -m losses.errata"""

import argparse
import textwrap

from . import ERRATA, Erratum


def _paragraph(label: str, text: str) -> str:
    return textwrap.fill(text, 98, initial_indent=f"    {label:<11}", subsequent_indent=" " * 15)


def describe(e: Erratum) -> str:
    """One erratum as a paragraph each for defect, settings and measurement."""
    lines = [
        f"{e.number}. {e.source}",
        _paragraph("defect", e.defect),
        _paragraph("published", str(e.published)),
        _paragraph("repaired", str(e.repaired)),
        _paragraph("measured", e.consequence()),
    ]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m losses.errata", description=__doc__)
    p.add_argument("--number", type=int, action="append", help="only this one (repeatable)")
    options = p.parse_args()
    known = [e.number for e in ERRATA]
    unknown = sorted(set(options.number or []) - set(known))
    if unknown:
        p.error(f"no erratum {unknown[0]}: they run from {known[0]} to {known[-1]}")
    chosen = [e for e in ERRATA if not options.number or e.number in options.number]
    print("\n\n".join(describe(e) for e in chosen))


if __name__ == "__main__":
    main()
