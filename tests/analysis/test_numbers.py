"""A macro for each number: it says what the table says, and no two have the same name."""

import re
from typing import Any

import pytest

from analysis.latex import latex
from analysis.load import load
from analysis.numbers import numbers_tex
from analysis.summary import Summary, summarise

from .conftest import write_grid

MACRO = re.compile(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}% (.+)")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    folder = tmp_path_factory.mktemp("planted")
    write_grid(folder, effects={"mae": -0.03}, images=6, gradient=("bce", "mae"))
    return summarise(load(folder))


def macros(summary: Summary) -> dict[str, tuple[str, str]]:
    """Text and comment by name; every line but the first is a macro."""
    found = [MACRO.fullmatch(line) for line in numbers_tex(summary).splitlines()[1:]]
    assert None not in found
    matches = [match for match in found if match]
    assert len({match[1] for match in matches}) == len(matches)
    return {match[1]: (match[2], match[3]) for match in matches}


def plain(text: str) -> str:
    """A macro's number as the tables print it."""
    return re.sub(r"\\ensuremath\{(.*)\}", r"\1", text).replace("-", "$-$")


def test_macros_hold_the_numbers_of_the_table(planted: Summary) -> None:
    found, table = macros(planted), latex(planted)
    row = next(line for line in table.splitlines() if line.startswith("mae $-$ bce &"))
    cells = [cell.strip() for cell in row.removesuffix(r"\\").split(" & ")]
    value = {name: plain(text) for name, (text, _) in found.items()}
    assert cells[1:] == [
        value["ToyMaeVsBceDiff"],
        f"[{value['ToyMaeVsBceLow']}, {value['ToyMaeVsBceHigh']}]",
        f"[{value['ToyMaeVsBceNewLow']}, {value['ToyMaeVsBceNewHigh']}]",
        value["ToyMaeVsBceP"],
        value["ToyMaeVsBceVerdict"],
        value["ToyMaeVsBceN"],
    ]
    assert f"{value['ToyBceMean']} {{\\scriptsize $\\pm$ {value['ToyBceHalf']}}}" in table


def test_every_metric_arm_contrast_and_stratum_has_macros(planted: Summary) -> None:
    names = macros(planted).keys()
    assert names >= {"ToyArms", "ToySeeds", "ToyImages", "ToyMargin", "ToySmallestP"}
    assert names >= {"ToyMaeStepsNineZeroMean", "ToyMaeGMAEHalf", "ToyMaeVsBceFMaxDiff"}
    assert names >= {"ToyMaeVsBceAreaSmallDiff", "ToyMaeVsBceMAEAreaSmallLow"}
    assert names >= {"ToyMaeVsBceEffect", "ToyMaeVsBceSuperiorityLow", "ToyMaeVsBceDetectable"}


def test_a_comment_says_what_each_number_is(planted: Summary) -> None:
    found = macros(planted)
    assert found["ToyMaeVsBceMAELow"][1] == "mae - bce, MAE: low end, 95 %"
    assert found["ToyMaeVsBceNewHigh"][1] == "mae - bce, F_weighted, new images: high end, 95 %"
    assert found["ToyNoneMean"][1] == "none, F_weighted: mean"
    assert found["ToyNoneGMAEMean"][0] == "---"


def test_names_that_come_out_the_same_are_numbered_in_the_order_of_the_arms(
    make_grid: Any,
) -> None:
    arms = ("a_b", "a-b", "a b", "ab two", "...", "模型", "x2")
    contrasts = (("a-b", "a_b"), ("a b", "a-b"), ("x2", "模型"), ("...", "x2"))
    summary = summarise(load(make_grid(arms=arms, contrasts=contrasts, seeds=1, baseline="a_b")))
    found = macros(summary)
    means = {name: about.split(",")[0] for name, (_, about) in found.items()
             if name.endswith("Mean") and about.endswith(", F_weighted: mean")}  # fmt: skip
    assert means == {
        "ToyABMean": "a_b",
        "ToyABTwoMean": "a-b",
        "ToyABThreeMean": "a b",
        "ToyAbTwoMean": "ab two",
        "ToyXMean": "...",
        "ToyUgkcbUfhilMean": r"\u6a21\u578b",
        "ToyXTwoMean": "x2",
    }
    assert {"ToyABTwoVsABDiff", "ToyXTwoVsUgkcbUfhilDiff"} <= found.keys()


def test_small_p_are_powers_of_ten_and_what_is_not_tested_is_a_dash(make_grid: Any) -> None:
    two: dict[str, Any] = {"arms": ("bce", "mae"), "contrasts": (("mae", "bce"),), "images": 1}
    many = macros(summarise(load(make_grid(seeds=16, effects={"mae": 0.05}, **two))))
    assert many["ToySmallestP"][0] == r"\ensuremath{3.1\times 10^{-5}}"
    few = macros(summarise(load(make_grid(seeds=3, **two))))
    assert few["ToyMaeVsBceP"][0] == few["ToyMaeVsBceVerdict"][0] == "---"
    none = macros(summarise(load(make_grid(seeds=6, test=False, **two))))
    assert not any(name.endswith(("VsBceP", "Verdict", "Effect")) for name in none)
