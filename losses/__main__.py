"""Print the table of losses: python -m losses

For each registered loss its formula, knobs with defaults, laws and source. z are logits,
p = sigmoid(z), t the target, m the mask, S a sum over the pixels of one image.
"""

import argparse
import re
import textwrap
from functools import cache
from pathlib import Path

from . import names, spec
from .registry import Spec

REFERENCES = Path(__file__).with_name("references.bib")


@cache
def _references() -> dict[str, dict[str, str]]:
    """The fields of each entry of references.bib."""
    entries = re.findall(r"@\w+\{(\w+),\n(.*?)\n\}", REFERENCES.read_text("utf-8"), re.DOTALL)
    return {key: dict(re.findall(r"(\w+) = \{(.*)\},", body)) for key, body in entries}


def source(key: str) -> str:
    """A citation key in words: Wei et al., AAAI 2020."""
    entry = _references().get(key)
    if entry is None:
        return key or "this project"
    authors = [name.split(",")[0] for name in entry["author"].split(" and ")]
    who = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    return f"{who}, {entry.get('booktitle') or entry['journal']} {entry['year']}"


def ranges(numbers: frozenset[int]) -> str:
    """1-4, 7, 9-11: numbers with runs joined."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


def formula(loss: Spec) -> str:
    """The declared formula, else the first line of the docstring."""
    return loss.formula or (loss.fn.__doc__ or "-").strip().splitlines()[0]


def broken(loss: Spec) -> str:
    """The laws it breaks, with the reasons."""
    by_reason: dict[str, list[int]] = {}
    for law, reason in sorted(loss.breaks.items()):
        by_reason.setdefault(reason, []).append(law)
    return "; ".join(f"{', '.join(map(str, laws))}: {why}" for why, laws in by_reason.items())


def block(loss: Spec) -> str:
    """One loss as a few lines of text."""
    knobs = ", ".join(f"{key}={knob.default!r}" for key, knob in loss.knobs.items())
    rows = [("formula", formula(loss)), ("knobs", knobs), ("laws", ranges(loss.laws))]
    rows += [("breaks", broken(loss)), ("source", source(loss.cite))]
    lines = [
        textwrap.fill(text, 98, initial_indent=f"    {label:<9}", subsequent_indent=" " * 13)
        for label, text in rows
        if text
    ]
    return "\n".join([f"{loss.name} ({loss.kind})", *lines])


def row(loss: Spec) -> str:
    """One loss as a row of a Markdown table."""
    cells = [f"`{loss.name}`", formula(loss), broken(loss), source(loss.cite)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m losses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--markdown", action="store_true", help="as the table the README has")
    p.add_argument("names", nargs="*", metavar="NAME", help="only these losses")
    options = p.parse_args()
    try:
        chosen = [spec(name) for name in options.names or names()]
    except ValueError as error:
        p.error(str(error))
    if options.markdown:
        print("| name | value per image | laws it breaks, and why | source |\n|-|-|-|-|")
        print("\n".join(row(loss) for loss in chosen))
    else:
        print("\n\n".join(block(loss) for loss in chosen))


if __name__ == "__main__":
    main()
