"""The answers in results/README.md say what the committed tables say."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import losses
from analysis import scales as beside
from analysis.answers import BLOCK, contrasts, filled
from analysis.load import load
from analysis.summary import summarise
from experiments import grid as grids
from experiments.data import load as load_data
from experiments.data import normalise, to_tensors
from experiments.gradient_record import common_scores
from models.birefnet import BiRefNetOutput

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "results"
REFERENCE = sorted(file.parent for file in (RESULTS / "reference").glob("*/*/grid.json"))
FOLDER = re.compile(r"reference/([a-z0-9_]+/[a-z0-9_]+)[/: ]")
NUMBER = re.compile(r"(?<![\d.])[−+]?\d+\.\d{2,}(?!\d)")  # percents and factors have one digit
ESTIMATE = re.compile(rf"({NUMBER.pattern}) (\[[^\]]+\])(?!\()")


def answers() -> dict[str, str]:
    """The sections of results/README.md that answer a question, by title."""
    parts = (RESULTS / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: part for part in parts if part.partition("\n")[0][-1] == "?"}


def prose(answer: str) -> str:
    """An answer on one line, without tables, code and addresses."""
    words = " ".join(BLOCK.sub("", answer).split())
    return re.sub(r"`[^`]*`|!?\[[^\]]*\]\([^)]*\)", "", words)


def source(answer: str) -> str:
    """The tables of the folders that an answer links, those of two scales among them."""
    folders = [RESULTS / "reference" / folder for folder in sorted({*FOLDER.findall(answer)})]
    files = [folder / name for folder in folders for name in ("table.md", beside.FILE)]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())


def test_the_tables_of_the_answers_are_those_of_the_committed_values() -> None:
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) >= len(answers())
    assert filled(text, RESULTS) == text


@pytest.mark.parametrize("title", answers())
def test_a_difference_stands_in_a_committed_table_with_the_interval_it_is_quoted_with(
    title: str,
) -> None:
    answer = answers()[title]
    words, tables = prose(answer), source(answer)
    for difference, interval in ESTIMATE.findall(words):
        pair = (f"{difference} {interval}", f"| {difference} | {interval} |")
        assert any(form in tables for form in pair), pair[0]
    known = {*NUMBER.findall(tables)}
    assert [number for number in NUMBER.findall(words) if number not in known] == []


@pytest.mark.parametrize("title", answers())
def test_every_answer_has_a_figure_a_command_and_says_what_was_not_tested(title: str) -> None:
    answer = answers()[title]
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", answer)
    assert pictures
    assert all((RESULTS / picture).is_file() for picture in pictures)
    commands = re.findall(r"--grid\s+(\w+)", answer)
    assert {*commands} >= {folder.split("/")[0] for folder in FOLDER.findall(answer)}
    assert {*commands} <= {*grids.names()}
    assert "Not tested:" in answer


def test_every_committed_grid_answers_a_question() -> None:
    linked = {folder for answer in answers().values() for folder in FOLDER.findall(answer)}
    assert linked == {f"{folder.parent.name}/{folder.name}" for folder in REFERENCE}


def test_no_arm_of_the_laptop_learned_edges_though_its_stages_are_fine_enough() -> None:
    pairs = load_data("embedded", "test", size=(128, 128), count=92)
    image, target = to_tensors([pairs[index] for index in range(len(pairs))])
    image, level = normalise(image), torch.zeros_like(target)

    def scored(gradient: Tensor) -> pd.Series:
        out = BiRefNetOutput(level, [level], [gradient], gradient_map=None, class_logits=None)
        return pd.DataFrame(common_scores(out, image, target)).mean()

    grey = scored(torch.full_like(target, 0.1).logit())["G_MAE"]
    label = losses.gradient_labels([level], image, target, gate="gt", squash="abs")[-1]
    coarse = scored(avg_pool2d(label, 8).logit(eps=1e-6))["G_corr"]
    assert round(coarse, 2) == 0.54
    for grid in ("grad_loss", "grad_loss_wide", "gradient_label"):
        runs = [*(RESULTS / "reference" / grid / "laptop" / "runs").glob("*/metrics.json")]
        read = pd.DataFrame([json.loads(file.read_text(encoding="utf-8")) for file in runs])
        arms = pd.DataFrame([*read["test"]]).groupby(read["arm"])[["G_MAE", "G_corr"]].mean()
        assert len(arms) > 6
        assert grey < arms["G_MAE"].min()
        assert arms["G_corr"].max() < 0.13


def test_the_first_table_of_the_readme_is_that_of_grad_loss_rounded() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| contrast, weighted F"))
    primary = summarise(load(RESULTS / "reference" / "grad_loss" / "laptop")).primary
    table = lines[start + 2 : start + 2 + len(primary)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]

    def short(value: float, digits: int = 3) -> str:
        text = f"{value:.{digits}f}" if round(value, digits) <= 0 else f"+{value:.{digits}f}"
        return (
            text.lstrip("-+").lstrip("0") if not round(value, digits) else text.replace("0.", ".")
        )

    for cells, row in zip(rows, primary, strict=True):
        interval = row.difference
        assert cells[1] == short(interval.mean)
        assert cells[2] == f"[{short(interval.low)}, {short(interval.high)}]"
        assert row.p is not None
        assert cells[3] == f"{row.p:.2f}".lstrip("0")
        assert cells[4] == row.judged


def test_an_unknown_contrast_is_refused_with_those_there_are(make_grid: Any) -> None:
    summary = summarise(load(make_grid(images=6, seeds=6)))
    assert len(contrasts(summary, ["mae - bce"]).rows) == 1
    assert len(contrasts(summary, []).rows) == len(summary.grid.contrasts)
    with pytest.raises(ValueError, match=r"no contrast 'mae - none', but .*mae - bce"):
        contrasts(summary, ["mae - none"])


def test_a_preset_without_a_test_gives_no_answer(make_grid: Any) -> None:
    summary = summarise(load(make_grid(images=6, seeds=2, test=False)))
    with pytest.raises(ValueError, match="is no evidence"):
        contrasts(summary, [])
