"""A search whose file or budget was changed: what is new, superseded or kept."""

from pathlib import Path

import pytest

from experiments.search import report as search_report
from experiments.search import setting as search_setting
from experiments.search import study as search_study
from experiments.search.search import Search
from experiments.search.study import Settings
from tests.experiments.parabola import parabola, plan_in, searched

BY_HAND = """
from experiments.config import LossConfig
from experiments.grid import Arm
from experiments.search.search import Search

def suggest(trial):
    gamma = trial.suggest_float("gamma", 0.0, {top})
    return Arm("weighted", LossConfig(pixel={{"name": "structure", "gamma": gamma}}))

SEARCH = Search(
    "by_hand", "{question}", "which_loss", suggest, {{"smoke": {trials}}}, seeds={seeds}
)
"""


def by_hand(file: Path, **changed: object) -> Search:
    """The search that somebody wrote into a file."""
    written = {"top": 20.0, "seeds": 2, "question": "Which gamma?", "trials": 3, **changed}
    file.write_text(BY_HAND.format(**written), encoding="utf-8")
    names: dict[str, object] = {"__name__": "by_hand"}
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), names)
    return names["SEARCH"]


@pytest.mark.parametrize(("change", "runs"), [({"top": 10.0}, 6), ({"seeds": 3}, 9)])
def test_an_edited_search_makes_new_settings_and_the_old_ones_are_superseded(
    tmp_path, monkeypatch, change, runs
) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    file = tmp_path / "by_hand.py"
    before = searched(plan_in(tmp_path, 3, by_hand(file)))
    after = searched(plan_in(tmp_path, 3, by_hand(file, **change)))
    assert not {slot.hash for slot in before.slots} & {slot.hash for slot in after.slots}
    assert (len(after.latest()), after.tried(), after.superseded_settings()) == (3, 3, 3)
    assert search_report.summary(after)["budget"]["runs"] == runs  # of the folder's 9 or 12


def test_another_question_or_budget_makes_no_new_settings(tmp_path) -> None:
    file = tmp_path / "by_hand.py"
    before = plan_in(tmp_path, 3, by_hand(file)).slots()
    other = by_hand(file, question="Which one?", trials=40)
    assert [slot.hash for slot in plan_in(tmp_path, 3, other).slots()] == [s.hash for s in before]


def test_a_setting_whose_knobs_make_another_run_by_now_is_not_reported(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    plan = searched(plan_in(tmp_path, 2)).plan
    monkeypatch.setattr(search_study, "setting", lambda *_: "another")
    settings = Settings(plan)
    assert settings.latest() == {}
    assert settings.superseded_settings() == 2


def test_a_smaller_budget_hides_no_setting_that_was_tried(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(search_setting, "train", parabola)
    searched(plan_in(tmp_path, 3))
    settings = searched(plan_in(tmp_path, 1))
    found = search_report.summary(settings)["budget"]
    assert (found["settings"], found["complete"], found["runs"]) == (3, 3, 6)
    assert "3 of 3 settings tried" in search_report.listing(settings)
