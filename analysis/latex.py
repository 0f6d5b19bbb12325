"""The tables of a grid as LaTeX (booktabs), with every special character escaped."""

from analysis.metrics import direction
from analysis.notes import DASH, footnotes, judgement, number, p_value, places, span
from analysis.summary import Summary


def latex(summary: Summary) -> str:
    r"""Three `table*` floats (arms, contrasts, guards) for \input.

    The preamble needs only \usepackage{booktabs}.
    """
    grid = summary.grid
    notes = " ".join(tex(note) for note in footnotes(summary))
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in grid.name)
    parts = [r"% needs \usepackage{booktabs}"]
    spec = "l" + "r" * (len(summary.shown) + 1)
    parts += _tex_float(
        f"{tex(grid.question)} Means by arm.", f"tab:{label}-arms", spec, _tex_arms(summary), notes
    )
    if grid.contrasts:
        about = "; ".join(f"{tex(str(c))}: {tex(c.about)}" for c in grid.contrasts if c.about)
        parts += _tex_float(
            f"{tex(grid.question)} Differences in {_tex_metric(grid.primary)}.",
            f"tab:{label}-contrasts",
            "lrrrlr" if grid.test else "lrrr",
            _tex_contrasts(summary),
            about and about + ".",
        )
    if grid.contrasts and grid.guards:
        parts += _tex_float(
            f"{tex(grid.question)} Differences in the guards: 95\\,\\% intervals, no test.",
            f"tab:{label}-guards",
            "l" + "r" * len(grid.guards),
            _tex_guards(summary),
            "",
        )
    return "\n".join(parts) + "\n"


def _tex_arms(summary: Summary) -> list[list[str]]:
    digits = places(summary)
    rows = [["arm", *(_tex_metric(m) for m in summary.shown), "$n$"]]
    for arm in summary.grid.arms:
        cells = []
        for metric in summary.shown:
            row = summary.arms[arm, metric]
            mean = tex(number(row.mean.mean, digits[metric]))
            mean = rf"\textbf{{{mean}}}" if row.best else mean
            half = number(row.mean.half, digits[metric])
            cells.append(mean if half == DASH else rf"{mean} {{\scriptsize$\pm${half}}}")
        n = len(summary.arms[arm, summary.grid.primary].seeds)
        rows.append([tex(arm), *cells, str(n)])
    return rows


def _tex_contrasts(summary: Summary) -> list[list[str]]:
    grid, digits = summary.grid, places(summary)[summary.grid.primary]
    tested = ["$p$ (adj.)", "verdict"] if grid.test else []
    rows = [["contrast", "difference", r"95\,\% interval", *tested, "$n$"]]
    for row in summary.primary:
        cells = [number(row.difference.mean, digits, signed=True), span(row.difference, digits)]
        if grid.test:
            cells += [p_value(row.p), judgement(row)]
        rows.append([tex(str(row.contrast)), *map(tex, cells), str(row.difference.n)])
    return rows


def _tex_guards(summary: Summary) -> list[list[str]]:
    guards, digits = summary.grid.guards, places(summary)
    rows = [["contrast", *(_tex_metric(m) for m in guards)]]
    for index, contrast in enumerate(summary.grid.contrasts):
        found = {m: summary.contrasts[m][index].difference for m in guards}
        cells = [
            f"{number(d.mean, digits[m], signed=True)} {span(d, digits[m])}" if d.n else DASH
            for m, d in found.items()
        ]
        rows.append([tex(str(contrast)), *map(tex, cells)])
    return rows


def _tex_float(
    caption: str, label: str, spec: str, rows: list[list[str]], notes: str
) -> list[str]:
    foot = rf"\par\smallskip\begin{{minipage}}{{\linewidth}}\scriptsize {notes}\end{{minipage}}"
    lines = [" & ".join(_guard(cells)) + r" \\" for cells in rows]
    return [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *([foot] if notes else []),
        r"\end{table*}",
    ]


def _guard(cells: list[str]) -> list[str]:
    """A first cell that starts with [ would be read as the argument of the `\\` before it."""
    return ["{}" + cells[0], *cells[1:]] if cells[0].startswith("[") else cells


def _tex_metric(metric: str) -> str:
    base, _, variant = metric.partition("_")
    name = rf"${base}_{{\mathrm{{{tex(variant)}}}}}$" if variant else tex(base)
    return rf"{name} $\{'up' if direction(metric) == 'up' else 'down'}arrow$"


_TEX = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    DASH: "---",
}


def tex(text: str) -> str:
    """Text with every special character of LaTeX escaped, on one line."""
    return "".join(_TEX.get(character, character) for character in " ".join(text.split()))
