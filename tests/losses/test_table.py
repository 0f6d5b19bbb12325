"""python -m losses: every loss with formula, knobs, laws and source."""

import re
import subprocess
import sys
from pathlib import Path

import losses
from losses.__main__ import block, ranges, source

ROOT = Path(__file__).parent.parent.parent
BIB = (ROOT / "losses" / "references.bib").read_text(encoding="utf-8")


def table(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "losses", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_table_has_every_loss_with_its_declaration() -> None:
    printed = table().stdout
    for name in losses.names():
        assert block(losses.spec(name)) in printed
    assert "window=31" in printed
    assert "breaks   5, 6: windows overlap" in printed


def test_a_wrong_name_offers_the_nearest() -> None:
    done = table("strcture")
    assert done.returncode == 2
    assert "did you mean 'structure'" in done.stderr


def test_every_key_is_in_the_bibliography_and_every_entry_is_used() -> None:
    keys = set(re.findall(r"@\w+\{(\w+),", BIB))
    assert keys == {losses.spec(n).cite for n in losses.names()} - {""}


def test_sources_are_said_in_words() -> None:
    assert source("wei2020f3net") == "Wei et al., AAAI 2020"
    assert source("xie2015hed") == "Xie and Tu, ICCV 2015"
    assert source("") == "this project"


def test_runs_of_numbers_are_joined() -> None:
    assert ranges(frozenset({1, 2, 3, 5, 7, 8})) == "1-3, 5, 7-8"


def test_every_loss_says_its_formula_in_a_line() -> None:
    assert [n for n in losses.names() if not losses.spec(n).formula] == []
