"""What a ledger's study holds of its cells, and in which folder."""

from dataclasses import replace

import pytest
from optuna.study import StudyDirection

from experiments.errors import UserError
from experiments.ledger.ledger import Ledger
from tests.experiments.trivial import cells, drain, states


def test_enqueueing_twice_makes_no_second_trial(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(5)
    assert ledger.enqueue(todo) == todo
    assert ledger.enqueue(todo) == todo
    assert len(ledger.study.trials) == 5


def test_another_definition_makes_new_cells_and_keeps_the_old_ones(tmp_path) -> None:
    ledger, old, new = Ledger(tmp_path, "study"), cells(2), cells(2, "b")
    ledger.enqueue(old)
    drain(tmp_path, None, old)
    ledger.enqueue(new)
    assert states(ledger, new) == ["missing"] * 2
    assert [(s.arm, s.seed, s.hash) for s in ledger.superseded(new)] == [
        ("a", 0, "a000"),
        ("a", 1, "a001"),
    ]
    assert ledger.superseded([*old, *new]) == []
    assert states(ledger, old) == ["complete"] * 2


def test_seeds_that_a_command_leaves_out_are_not_superseded(tmp_path) -> None:
    ledger, todo = Ledger(tmp_path, "study"), cells(3)
    ledger.enqueue(todo)
    drain(tmp_path, None, todo)
    assert ledger.superseded(todo[:2]) == []


@pytest.mark.parametrize("name", ["what?", "50% done", "a b", "a#b@c"])
def test_a_folder_of_any_name_holds_its_ledger(tmp_path, name) -> None:
    folder, todo = tmp_path / name, cells(1)
    Ledger(folder, "study").enqueue(todo)
    assert sorted(file.name for file in tmp_path.iterdir()) == [name]
    assert (folder / "ledger.db").is_file()
    assert states(Ledger(folder, "study", make=False), todo) == ["missing"]


def test_a_look_at_a_ledger_writes_nothing(tmp_path) -> None:
    with pytest.raises(KeyError):
        Ledger(tmp_path, "study", make=False)
    assert not list(tmp_path.iterdir())
    Ledger(tmp_path, "study").enqueue(cells(1))
    for file in (tmp_path / "locks", tmp_path / "ledger.db.lock"):
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
    with pytest.raises(KeyError):
        Ledger(tmp_path, "another study", make=False)
    assert states(Ledger(tmp_path, "study", make=False), cells(1)) == ["missing"]
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


def test_a_trial_tells_its_seed_and_what_sets_its_arm_apart(tmp_path) -> None:
    ledger = Ledger(tmp_path, "study", metric="MAE")
    todo = [*cells(1, "bce"), *cells(1, "mae")]
    ledger.describe(todo, question="which?", grid="g")
    ledger.enqueue(todo)
    trial = ledger.study.trials[1]
    assert trial.params == {"seed": 0}
    assert trial.user_attrs["loss.pixel.name"] == "mae"
    assert "loss.weight" not in trial.user_attrs
    expected = {"arm": "mae", "hash": "mae000", "data_digest": "d", "code_digest": "c"}
    assert expected.items() <= trial.user_attrs.items()
    assert ledger.study.user_attrs["question"] == "which?"
    assert ledger.study.direction == StudyDirection.MINIMIZE
    assert ledger.study.metric_names == ["MAE"]


def test_a_run_folder_outside_the_results_is_refused(tmp_path) -> None:
    todo = [replace(cells(1)[0], arm="../../somewhere/else")]
    with pytest.raises(UserError, match="expected one inside"):
        Ledger(tmp_path, "study").enqueue(todo)
