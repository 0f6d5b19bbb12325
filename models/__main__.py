"""What a model costs, and a BiRefNet's ONNX file: python -m models

Without --onnx: a table of parameters, multiply-adds and memory, a row per preset; those that begin
with dbnet are text detectors.
"""

import argparse
import ast
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from models import dbnet, summary
from models.birefnet import PRESETS, BiRefNet
from models.names import unknown
from models.switches import Switches

DETECTORS = {f"dbnet_{name}": name for name in dbnet.PRESETS}
NAMES = (*PRESETS, *DETECTORS)
EXAMPLES = """examples:
  python -m models --summary
  python -m models --backbone pvt_v2_b0 --switch inward=image --switch outward=4 --size 512
  python -m models --preset dbnet_lite --switch body=birefnet
  python -m models --onnx lite.onnx --checkpoint saved/lite --size 512
"""
WEIGHTLESS = "what a model costs does not depend on its weights"
WORDS = {"true": True, "false": False}
TRAINING: dict[str, Any] = {  # what does not change the graph that is written
    "pretrained": False,
    "bb_pretrained": None,
    "freeze_backbone": None,
    "dropout": 0.0,
    "drop_path": None,
    "checkpoint": False,
}


def switch(text: str) -> tuple[str, Any]:
    """`key=value`: true or false in any case, a value as Python writes it, or a word."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected key=value, as in outward=4")
    if value.casefold() in WORDS:
        return key, WORDS[value.casefold()]
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def pixels(text: str) -> int:
    """A side of an image."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of pixels, as in 512")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="python -m models",
        description=f"{__doc__}\n{summary.__doc__}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = p.add_mutually_exclusive_group()
    what.add_argument("--summary", action="store_true", help="print the table; the default")
    what.add_argument("--onnx", metavar="FILE", help="write the evaluation graph, and compare it")
    p.add_argument("--preset", metavar="NAME", help=f"only this one ({', '.join(NAMES)})")
    p.add_argument("--backbone", metavar="NAME", help="another one; alone: of preset official")
    p.add_argument(
        "--switch",
        type=switch,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="switches",
        help="any switch of the model; may be given several times",
    )
    p.add_argument("--size", type=pixels, metavar="PX", help="height and width; the preset's own")
    p.add_argument("--markdown", action="store_true", help="the table as Markdown")
    p.add_argument(
        "--checkpoint",
        metavar="SOURCE",
        help="weights for --onnx: a folder of save_pretrained, or what models.load_official reads",
    )
    return p


def chosen(options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """Names of presets, and the switches that are set besides."""
    own = dict(options.switches)
    if options.backbone:
        own["backbone"] = options.backbone
    if options.preset is None:
        return (["official"] if own or options.onnx else list(NAMES)), own
    if options.preset not in NAMES:
        raise unknown("preset", options.preset, NAMES)
    if options.onnx and options.preset in DETECTORS:
        raise ValueError(f"--onnx writes a BiRefNet, and {options.preset} is a DBNet")
    return [options.preset], own


def load(options: argparse.Namespace) -> BiRefNet:
    """The model to export, with weights from a checkpoint if there is one."""
    (preset,), own = chosen(options)
    source = options.checkpoint
    if source is None:
        model = BiRefNet.preset(preset, **own)
        others = " but the encoder's" if model.pretrained else ""
        print(f"no --checkpoint: all weights{others} are random", file=sys.stderr)
        return model
    if _saved(Path(source)):
        if options.preset:
            raise ValueError(f"{source} says what the model is made of: leave --preset out")
        return BiRefNet.from_pretrained(source, **own)
    from models.official import load_official

    return load_official(source, **{**PRESETS[preset], **own, "pretrained": False})


def _saved(folder: Path) -> bool:
    """Whether save_pretrained wrote it: an official folder's configuration has no switches."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "backbone" in config


def own_size(model: BiRefNet) -> int:
    """That of the preset with the same parts.

    Raises:
        ValueError: none has.
    """
    for name, switches in PRESETS.items():
        if _parts(Switches.of(switches)) == _parts(model.switches):
            return summary.SIZES[name]
    raise ValueError("the model is none of the presets, whose sizes are known: give --size")


def to_onnx(options: argparse.Namespace) -> str:
    """The path of the file that is written."""
    from models import onnx

    onnx.check_path(Path(options.onnx))
    model = load(options)
    (preset,), _ = chosen(options)
    size = options.size or (own_size(model) if options.checkpoint else summary.SIZES[preset])
    return str(onnx.export(model, options.onnx, (size, size)))


def _parts(switches: Switches) -> Switches:
    return replace(switches, outward=switches.decoder.outward, **TRAINING)


def to_table(options: argparse.Namespace) -> str:
    """The table of costs."""
    names, own = chosen(options)
    told = "".join(f", {key}={value}" for key, value in own.items())
    costs = {name + told: cost(name, options.size or summary.SIZES[name], own) for name in names}
    return summary.table(costs, options.markdown)


def cost(preset: str, size: int, own: dict[str, Any]) -> summary.Cost:
    """Of a preset with switches of one's own."""
    if preset in DETECTORS:
        return summary.cost(size, own, partial(dbnet.DBNet.preset, DETECTORS[preset]))
    return summary.cost(size, {**PRESETS[preset], **own})


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    p = parser()
    options = p.parse_args(arguments)
    if options.markdown and options.onnx:
        p.error("--markdown is for the table, and --onnx writes none")
    if options.checkpoint and not options.onnx:
        p.error(f"--checkpoint is for --onnx: {WEIGHTLESS}")
    if {"pretrained", "bb_pretrained"} & dict(options.switches).keys():
        if not options.onnx:
            p.error(f"--switch pretrained is for --onnx: {WEIGHTLESS}")
        if options.checkpoint:
            p.error(
                "--switch pretrained is for a model without --checkpoint, which has all weights"
            )
    try:
        print(to_onnx(options) if options.onnx else to_table(options))
    except (ValueError, TypeError, OSError, ImportError) as error:
        p.error(str(error))


if __name__ == "__main__":
    main()
