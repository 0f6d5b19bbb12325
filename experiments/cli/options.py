"""The command line's options, and the help that names grids and searches."""

import argparse
import ast
import pkgutil
from pathlib import Path
from typing import NoReturn

from experiments.errors import UserError, one_line

FOR_GRIDS = ("arm", "loss", "dry_run")  # what a search does not take
PAIRS = ("set", "launcher_set")


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, and whose list of grids is made when it is asked."""

    def error(self, message: str) -> NoReturn:
        """Leave with code 2."""
        self.exit(2, f"error: {message}; --help tells the options\n")

    def format_help(self) -> str:
        """The options, then the grids and searches."""
        self.epilog = f"{grids_help()}\n\n{searches_help()}"
        return super().format_help()

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse does, and what fits together is checked."""
        options, rest = super().parse_known_args(args, namespace)
        try:
            check(options)
        except UserError as error:
            self.error(str(error))
        return options, rest


def parser() -> Parser:
    """The options of `experiments/run.py`."""
    p = Parser(
        prog="python experiments/run.py",
        usage="%(prog)s (--grid NAME | --search NAME) [options]",
        description="Train every cell of a grid that is not complete yet, then write its "
        "report. The same command goes on where it stopped.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--grid", type=given, metavar="NAME", help="which grid (see below)")
    what.add_argument("--search", type=given, metavar="NAME", help="which search (see below)")
    _what_is_run(p.add_argument_group("what is run"))
    _how_it_runs(p.add_argument_group("how it runs"))
    return p


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not fit each other.

    Raises:
        UserError: an option of grids beside --search, or the other way round; settings of a
            cluster without one; KEY=VALUE without "=".
    """
    if options.search is None and options.trials is not None:
        raise UserError("--trials is the budget of a --search; a grid's cells are fixed")
    if options.search is not None:
        for name in FOR_GRIDS:
            if getattr(options, name):
                raise UserError(f"--{name.replace('_', '-')} is for a --grid, not for a --search")
    for name in PAIRS:
        for text in getattr(options, name):
            if not text.partition("=")[0] or "=" not in text:
                raise UserError(
                    f"--{name.replace('_', '-')} is {text!r}, expected KEY=VALUE without spaces"
                )
    if options.launcher_set and options.launcher != "slurm":
        raise UserError("--launcher-set is for jobs of a cluster: give --launcher slurm too")


def given(text: str) -> str:
    """A value that is one: taken as left out, an empty one would run something else."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; is it a shell variable without a value?")
    return text


def path(text: str) -> Path:
    """A path; an empty one would be the current folder."""
    return Path(given(text))


def _what_is_run(p: argparse._ArgumentGroup) -> None:
    p.add_argument(
        "--preset", default="laptop", metavar="NAME", help="its scale (default: laptop; see below)"
    )
    p.add_argument(
        "--data",
        type=given,
        metavar="SET",
        help="what ships: embedded or thin3d (for a grid of text: words); or yours: a folder with "
        "train/, val/ and test/, or train=PATH,val=PATH,test=PATH; several joined by +; text as "
        "ICDAR 2013 or 2015, Total-Text or MhLiao/DB lay it out",
    )
    p.add_argument(
        "--image-dir", type=given, metavar="NAME", help="the images' folder in those of --data"
    )
    p.add_argument(
        "--mask-dir", type=given, metavar="NAME", help="likewise the masks' or annotations' folder"
    )
    p.add_argument(
        "--arm", action="append", default=[], metavar="NAME", help="only this arm (repeatable)"
    )
    p.add_argument(
        "--loss",
        action="append",
        default=[],
        metavar="NAME",
        help="add this registered loss as an arm: the baseline with it as main loss (repeatable)",
    )
    p.add_argument(
        "--start",
        type=path,
        metavar="FILE",
        help="start every run from this official BiRefNet checkpoint, whose model it then is",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value in the preset, such as train.lr=1e-4, data.size=256,256, "
        "model.backbone=pvt_v2_b0 or seeds=12 (repeatable)",
    )
    p.add_argument(
        "--deterministic",
        action="store_true",
        help="kernels that give the same bits twice, on a GPU too (not run there yet); the same "
        "as --set train.deterministic=true",
    )
    p.add_argument("--trials", type=int, metavar="N", help="settings that a search tries in all")


def _how_it_runs(p: argparse._ArgumentGroup) -> None:
    p.add_argument("--list", action="store_true", help="show each cell and its state, run nothing")
    p.add_argument(
        "--dry-run", action="store_true", help="tell what would run and how long, run nothing"
    )
    p.add_argument("--out", type=path, metavar="DIR", help="default: results/<grid>/<preset>")
    p.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="runs at once (default: one a GPU, else cores / threads per run; with --launcher "
        "slurm the number of jobs, default 1)",
    )
    p.add_argument(
        "--storage",
        type=given,
        metavar="URL",
        help="postgresql+psycopg://user@host/db that several machines share "
        "(default: a SQLite file in --out)",
    )
    p.add_argument(
        "--launcher",
        choices=("local", "slurm"),
        default="local",
        help="where workers run (default: local, this machine)",
    )
    p.add_argument(
        "--launcher-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the cluster's jobs, such as slurm_partition=gpu (repeatable)",
    )
    p.add_argument(
        "--retry",
        choices=("failed", "all", "none"),
        default="failed",
        help="which cells that failed run again: failed (default: up to three times), all (also "
        "those that failed three times or whose results are on another machine), none",
    )
    p.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="default: auto, a GPU where there is one",
    )
    p.add_argument(
        "--tensorboard", action="store_true", help="write each run's curves for TensorBoard too"
    )


def grids_help() -> str:
    """The grids with their questions; each preset with its cells and the time they take."""
    from experiments import grid as grids  # torch: only --help and a grid's own run need it

    lines = ["grids and their presets (time on 2 cores, two runs at once):"]
    abouts: dict[str, dict[str, str]] = {}
    for name in grids.names():
        try:
            grid = grids.find(name)
        except Exception as error:  # of one file, which may be half written
            lines.append(f"  {name:<18}cannot be used: {one_line(error)}")
            continue
        lines.append(f"  {name:<18}{grid.question}")
        for key, preset in grid.presets.items():
            abouts.setdefault(grid.task, {})[key] = preset.about
            cells = len(grid.arms) * preset.seeds
            lines.append(f"    {key:<16}{cells:>4} cells, {in_all(cells, preset.minutes)}")
    for task, told in sorted(abouts.items()):
        lines += [
            "",
            f"presets of {task}:",
            *(f"  {key:<18}{about}" for key, about in told.items()),
        ]
    return "\n".join(lines)


def in_all(cells: int, minutes: float | None) -> str:
    """Time that cells of so many minutes take in all, two at once.

    >>> in_all(56, 1.0), in_all(14, 0.07), in_all(8, None)
    ('about 28 min', 'about 30 s', 'not measured; --dry-run estimates it')
    """
    if minutes is None:
        return "not measured; --dry-run estimates it"
    return f"about {duration(cells * minutes * 60 / 2)}"


def duration(seconds: float) -> str:
    """A length of time as one reads it.

    >>> duration(29), duration(1680), duration(7800), duration(400_000)
    ('30 s', '28 min', '2.2 h', '4.6 days')
    """
    if seconds < 95:
        return f"{5 * max(1, round(seconds / 5)):.0f} s"
    if seconds < 5700:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def searches_help() -> str:
    """The searches with their questions, read from their files and not imported."""
    folder = Path(__file__).parent.parent / "searches"
    lines = ["searches:"]
    for module in sorted(pkgutil.iter_modules([str(folder)]), key=lambda m: m.name):
        tree = ast.parse((folder / f"{module.name}.py").read_text(encoding="utf-8"))
        question = (ast.get_docstring(tree) or "").partition("\n")[0]
        lines.append(f"  {module.name:<18}{question}")
    return "\n".join(lines)
