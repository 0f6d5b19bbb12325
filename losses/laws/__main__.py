"""The laws of the losses; with ``--table``, how every loss stands with each.

``--loss NAME...`` is a table of these losses with code for what they break. Losses of other
libraries are scored beside those of this one where segmentation_models_pytorch or monai is
installed. The exit status is 1 if a loss of this library breaks a law that it does not declare,
2 for an unknown name.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from ..bound import build
from ..registry import names, spec
from . import others, report
from .runner import score


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m losses.laws", description=__doc__)
    parser.add_argument("--table", action="store_true", help="score losses on the laws")
    parser.add_argument(
        "--loss", metavar="NAME", nargs="+", action="extend", help="score these alone"
    )
    parser.add_argument("--cases", metavar="N", type=int, default=50, help="cases a law (50)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    asked = parser.parse_args(given)
    try:
        for name in asked.loss or ():
            spec(name)
    except ValueError as error:
        parser.error(str(error))
    return asked


def _show(title: str, scores: report.Scores, *, markdown: bool, code: bool) -> None:
    print(report.matrix(title, scores, markdown=markdown))
    for text in (report.reasons(scores), report.broken(scores, code=code)):
        if text:
            print(f"\n{text}")
    print(flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Print what is asked for; return the exit status.

    Raises:
        SystemExit: with status 2, for an argument that is not understood or an unknown loss.
    """
    asked = _arguments(given)
    if not asked.table and asked.loss is None:
        print(report.laws())
        return 0
    own = {n: score(build(n), cases=asked.cases) for n in asked.loss or names()}
    _show("losses", own, markdown=asked.markdown, code=asked.loss is not None)
    for library in [] if asked.loss else others.installed():
        if library.trouble:
            print(f"{library.name} is installed but does not import: {library.trouble}")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, about their own inputs
            theirs = {k: score(loss, cases=asked.cases) for k, loss in library.losses.items()}
        _show(library.name, theirs, markdown=asked.markdown, code=False)
    return int(any(s.violation for found in own.values() for s in found))


if __name__ == "__main__":
    sys.exit(main())
