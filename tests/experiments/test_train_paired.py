"""Runs paired across arms: the same weights at the start, or a millionth apart."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from experiments import grid as grids
from experiments.errors import UserError
from experiments.model import build_model
from experiments.train import train


def test_arms_start_from_the_same_weights(tiny) -> None:
    released = replace(tiny, loss=replace(tiny.loss, gradient={"objective": "none"}))
    one, two = build_model(tiny).state_dict(), build_model(released).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_copy_of_an_arm_starts_a_millionth_off_and_ends_elsewhere_but_near(
    tiny, finished, tmp_path
) -> None:
    """What makes the grid `aa` one of two arms that chance alone tells apart."""
    copy = grids.find("aa").arms["copy"]
    assert (copy.loss, grids.find("aa").arms["bce"].loss) == (tiny.loss, tiny.loss)
    train(replace(tiny, model={**tiny.model, **copy.model}), tmp_path)
    tables = [pd.read_parquet(folder / "per_image.parquet") for folder in (finished, tmp_path)]
    apart = (tables[0]["value"] - tables[1]["value"]).abs()
    of_areas = apart[tables[0]["metric"] != "HCE"]  # a count
    assert 0 < of_areas.max() < 0.01
    assert of_areas.mean() < 1e-3
    losses = [pd.read_csv(folder / "history.csv")["loss"] for folder in (finished, tmp_path)]
    assert losses[0].tolist() != losses[1].tolist()
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), rel=1e-2)


def test_a_perturbation_depends_on_the_seed_and_the_name_and_spares_no_parameter(tiny) -> None:
    def built(seed: int, **switches: float | bool) -> dict[str, torch.Tensor]:
        model = build_model(replace(tiny, seed=seed, model={**tiny.model, **switches}))
        return dict(model.named_parameters())

    plain, copy = built(0), built(0, perturb=1e-3)
    shifts = {name: (copy[name] / plain[name] - 1)[plain[name] != 0] for name in plain}
    drawn = torch.cat([shift.flatten() for shift in shifts.values()]).detach()
    assert drawn.std() == pytest.approx(1e-3, rel=0.01)
    assert drawn.mean() == pytest.approx(0, abs=1e-5)
    assert all(not torch.equal(copy[n], plain[n]) for n in plain if plain[n].any())
    narrow = built(0, perturb=1e-3, outward=False)
    assert len(narrow) < len(copy)
    assert all(torch.equal(narrow[name], copy[name]) for name in narrow if name in copy)
    frozen = next(name for name in plain if name.startswith("bb."))  # pretrained: of no seed
    assert not torch.equal(built(1, perturb=1e-3)[frozen], copy[frozen])


@pytest.mark.parametrize("amount", [-1e-6, 1.0, "much"])
def test_a_perturbation_out_of_range_is_refused(tiny, amount) -> None:
    with pytest.raises(UserError, match=r"model.perturb is .*, expected a number from 0 to below"):
        build_model(replace(tiny, model={**tiny.model, "perturb": amount}))
