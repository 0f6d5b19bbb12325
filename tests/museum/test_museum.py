"""The laws reject every exhibit, and pass the loss that repairs it."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from losses import laws
from losses.errata import ERRATA
from tests.upstream import birefnet

from .labels import EXHIBITS, OUT_OF_SIGHT, Exhibit
from .shown import Case, alike, apart, outcome

each = pytest.mark.parametrize("exhibit", EXHIBITS, ids=str)
shown = pytest.mark.parametrize(
    ("exhibit", "case"),
    [pytest.param(e, c, id=f"{e}-{i}") for e in EXHIBITS for i, c in enumerate(e.shown)],
)
# One map in twelve is longer than the patch of 64 px, and the pixel must lie beyond it.
CASES = {"sees_the_first_patch_alone": 60}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Maps are tiny: threads cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@each
def test_the_generic_laws_reject_the_exhibit(exhibit: Exhibit) -> None:
    cases = CASES.get(str(exhibit), 20)
    found = laws.check(exhibit.piece(), kind=exhibit.kind, cases=cases)
    assert exhibit.law in {v.law for v in found}


@each
def test_the_sound_loss_keeps_the_law_that_the_exhibit_breaks(exhibit: Exhibit) -> None:
    assert not laws.check(exhibit.repaired(), laws=[exhibit.law])


@shown
def test_the_exhibit_does_what_was_published_where_its_defect_shows(
    exhibit: Exhibit, case: Case
) -> None:
    assert exhibit.published is not None
    theirs = outcome(exhibit.published, case, exhibit.kind)
    alike(outcome(exhibit.piece(), case, exhibit.kind), theirs)
    ours = outcome(exhibit.meant(), case, exhibit.kind)
    assert ours.value.isfinite()
    assert apart(theirs, ours)


@pytest.mark.parametrize("exhibit", [e for e in EXHIBITS if e.blind], ids=str)
def test_the_sound_loss_does_what_was_published_where_the_defect_does_not_show(
    exhibit: Exhibit,
) -> None:
    assert exhibit.published is not None
    assert exhibit.blind is not None
    theirs = outcome(exhibit.published, exhibit.blind, exhibit.kind)
    alike(outcome(exhibit.meant(), exhibit.blind, exhibit.kind), theirs)
    alike(outcome(exhibit.piece(), exhibit.blind, exhibit.kind), theirs)


@pytest.mark.parametrize("exhibit", [e for e in EXHIBITS if e.idle], ids=str)
def test_a_knob_without_effect_has_one_in_the_sound_loss(exhibit: Exhibit) -> None:
    assert exhibit.published is not None
    assert exhibit.idle is not None
    knob, values = exhibit.idle
    x = exhibit.shown[0].inputs
    for fn in (exhibit.published, exhibit.piece()):
        found = [float(fn(*x, **{knob: v})) for v in values]
        assert found == pytest.approx([found[0]] * len(found), rel=1e-6)
    meant = sorted(float(exhibit.meant(**{knob: v})(*x)) for v in values)
    assert all(b > 1.01 * a for a, b in pairwise(meant))


def test_only_the_defect_of_a_training_loop_has_no_formula() -> None:
    assert [e.erratum for e in EXHIBITS if e.published is None] == [6]
    assert all(e.shown for e in EXHIBITS if e.published is not None)


def test_the_fine_tuning_on_show_lowers_its_weight_at_every_epoch_as_released() -> None:
    exhibit = next(e for e in EXHIBITS if e.erratum == 6)
    piece, repaired = exhibit.piece(), exhibit.repaired()
    z = t = torch.zeros(1, 1, 4, 4)
    released = {"mae": 100.0}
    for epoch in range(1, 41):  # the last 20 of 40 epochs, from progress .5 on
        birefnet.fine_tune(released, epoch, 40, -20, "General")
        piece(z, t, progress=epoch / 40)
        assert piece.weights["mae"] == pytest.approx(released["mae"])  # type: ignore[attr-defined]
    assert released["mae"] == pytest.approx(100 * 0.9**20)
    assert repaired.arguments(1.0)["mae"] == pytest.approx(90)


def test_the_published_step_has_no_gradient_where_it_overflows() -> None:
    exhibit = next(e for e in EXHIBITS if str(e) == "binarises_by_exp")
    found = [exhibit.published, exhibit.piece(), exhibit.meant()]
    slopes = [outcome(fn, exhibit.shown[0], "db").slopes for fn in found if fn]
    assert [all(bool(x.isfinite().all()) for x in s or ()) for s in slopes] == [False, False, True]


def test_the_label_that_is_learnt_is_seen_as_such() -> None:
    exhibit = next(e for e in EXHIBITS if e.kind == "gradient")
    case = laws.make_case("gradient", 0, size=(2, 13, 13), flat=True)
    with pytest.raises(AssertionError, match="moves its own label"):
        laws.BY_NUMBER[5](exhibit.piece(), case)


def test_every_erratum_is_on_show_or_told_to_be_out_of_sight() -> None:
    shown = {e.erratum for e in EXHIBITS} - {0}
    assert not shown & OUT_OF_SIGHT.keys()
    assert shown | OUT_OF_SIGHT.keys() == {e.number for e in ERRATA} == set(range(1, 14))


def test_an_exhibit_is_rejected_by_a_law_that_every_loss_is_held_to() -> None:
    assert {e.law for e in EXHIBITS} <= {*range(1, 12), 15, 16}
