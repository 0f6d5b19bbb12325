"""The laws reject every exhibit, and pass the loss that repairs it."""

from collections.abc import Iterator

import pytest
import torch

from losses import laws
from losses.errata import ERRATA

from .labels import EXHIBITS, OUT_OF_SIGHT, Exhibit

each = pytest.mark.parametrize("exhibit", EXHIBITS, ids=str)
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


@each
def test_the_exhibit_computes_what_was_published(exhibit: Exhibit) -> None:
    if exhibit.published is None:
        return
    g = torch.Generator().manual_seed(5)
    z = 3 * torch.randn(1, 1, 30, 26, generator=g, dtype=torch.float64)
    t = (torch.rand(1, 1, 30, 26, generator=g) < 0.1).double()
    ours, theirs = exhibit.piece()(z, t), exhibit.published(z, t)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


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
