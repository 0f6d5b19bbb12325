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
        value["ToyLaptopMaeVsBceDiff"],
        f"[{value['ToyLaptopMaeVsBceLow']}, {value['ToyLaptopMaeVsBceHigh']}]",
        f"[{value['ToyLaptopMaeVsBceNewLow']}, {value['ToyLaptopMaeVsBceNewHigh']}]",
        value["ToyLaptopMaeVsBceP"],
        value["ToyLaptopMaeVsBceVerdict"],
        value["ToyLaptopMaeVsBceN"],
    ]
    assert (
        f"{value['ToyLaptopBceMean']} {{\\scriptsize $\\pm$ {value['ToyLaptopBceHalf']}}}" in table
    )


def test_every_metric_arm_contrast_and_stratum_has_macros(planted: Summary) -> None:
    names = macros(planted).keys()
    assert names >= {
        "ToyLaptopArms",
        "ToyLaptopSeeds",
        "ToyLaptopImages",
        "ToyLaptopMargin",
        "ToyLaptopSmallestP",
    }
    assert names >= {
        "ToyLaptopMaeStepsNineZeroMean",
        "ToyLaptopMaeGMAEHalf",
        "ToyLaptopMaeVsBceFMaxDiff",
    }
    assert names >= {"ToyLaptopMaeVsBceAreaSmallDiff", "ToyLaptopMaeVsBceMAEAreaSmallLow"}
    assert names >= {
        "ToyLaptopMaeVsBceEffect",
        "ToyLaptopMaeVsBceSuperiorityLow",
        "ToyLaptopMaeVsBceDetectable",
    }


def test_a_comment_says_what_each_number_is(planted: Summary) -> None:
    found = macros(planted)
    assert found["ToyLaptopMaeVsBceMAELow"][1] == "mae - bce, MAE: low end, 95 %"
    assert (
        found["ToyLaptopMaeVsBceNewHigh"][1] == "mae - bce, F_weighted, new images: high end, 95 %"
    )
    assert found["ToyLaptopNoneMean"][1] == "none, F_weighted: mean"
    assert found["ToyLaptopNoneGMAEMean"][0] == "---"


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
        "ToyLaptopABMean": "a_b",
        "ToyLaptopABTwoMean": "a-b",
        "ToyLaptopABThreeMean": "a b",
        "ToyLaptopAbTwoMean": "ab two",
        "ToyLaptopXMean": "...",
        "ToyLaptopUgkcbUfhilMean": r"\u6a21\u578b",
        "ToyLaptopXTwoMean": "x2",
    }
    assert {"ToyLaptopABTwoVsABDiff", "ToyLaptopXTwoVsUgkcbUfhilDiff"} <= found.keys()


def test_two_presets_and_two_grids_share_no_macro_and_the_head_names_the_variant(
    make_grid: Any,
) -> None:
    settings: list[dict[str, Any]] = [{}, {"preset": "paper"}, {"grid": "other"}]
    found = [summarise(load(make_grid(seeds=2, **one))) for one in settings]
    names = [macros(summary).keys() for summary in found]
    assert len({*names[0], *names[1], *names[2]}) == sum(map(len, names))
    assert "preset laptop, metrics plain;" in numbers_tex(found[0])
    published = summarise(load(make_grid(seeds=2, variant="published")))
    assert "preset laptop, metrics as published;" in numbers_tex(published).splitlines()[0]


def test_small_p_are_powers_of_ten_and_what_is_not_tested_is_a_dash(make_grid: Any) -> None:
    two: dict[str, Any] = {"arms": ("bce", "mae"), "contrasts": (("mae", "bce"),), "images": 1}
    many = macros(summarise(load(make_grid(seeds=16, effects={"mae": 0.05}, **two))))
    assert many["ToyLaptopSmallestP"][0] == r"\ensuremath{3.1\times 10^{-5}}"
    few = macros(summarise(load(make_grid(seeds=3, **two))))
    assert few["ToyLaptopMaeVsBceP"][0] == few["ToyLaptopMaeVsBceVerdict"][0] == "---"
    none = macros(summarise(load(make_grid(seeds=6, test=False, **two))))
    assert not any(name.endswith(("VsBceP", "Verdict", "Effect")) for name in none)
