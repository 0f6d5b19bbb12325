"""The evaluation of a run on words: its scores, chosen thresholds, and kept maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from experiments.data.text import Word, text_labels
from experiments.data.text_sets import TextSplit
from experiments.text.evaluate import evaluate
from experiments.text.maps import shown
from experiments.text.samples import Pictures, placed
from models.dbnet import DBOutput
from tests.experiments.one_word import CPU, One, one


class Told(nn.Module):
    """A model that says what the labels say."""

    def __init__(self, size: tuple[int, int], height: float = 6.0) -> None:
        super().__init__()
        scale = np.diag([size[1] / 128, size[1] / 128, 1])
        label = text_labels(placed(One().words(0), scale), size)[0]
        self.logits = torch.from_numpy(label)[None, None] * 2 * height - height

    def forward(self, inputs: torch.Tensor) -> DBOutput:
        bright = inputs.amax((1, 2, 3), keepdim=True) > 1
        return DBOutput(torch.where(bright, self.logits, -9.0), None)


@pytest.mark.parametrize("size", [(96, 128), (128, 128), (192, 256)])
def test_a_model_that_says_what_the_labels_say_finds_every_word(small, size) -> None:
    config = replace(small, data=replace(small.data, size=size), boxes={"unclip": 2.0})
    chosen = evaluate(Told(size), one(3), config, CPU).chosen
    assert chosen == {"cut": 0.3, "least_score": 0.6}
    found = evaluate(Told(size), one(3), config, CPU, final=chosen)
    assert found.scores["H_mean"] == found.scores["H_published"] == 1
    assert found.scores["P_textfree"] == 1
    rows = found.table[found.table["image"] == "i0"].iloc[0]
    assert rows["components"] == 1
    assert rows["area"] == pytest.approx(60 * 20 / (96 * 128))
    assert rows["outline"] == pytest.approx(160 / np.hypot(96, 128))


def test_a_validation_chooses_thresholds_that_serve_timid_probabilities(small) -> None:
    config = replace(small, data=replace(small.data, size=(96, 128)), boxes={"unclip": 2.0})
    timid = Told((96, 128), height=0.1)  # P is .475 outside and .525 inside
    found = evaluate(timid, one(3), config, CPU)
    assert found.scores["H_mean"] == 1
    assert found.chosen["cut"] == 0.5
    tested = evaluate(timid, one(3), config, CPU, final=found.chosen)
    assert tested.scores["H_mean"] == 1
    assert tested.scores["H_published"] == 0
    tested = evaluate(timid, one(3), config, CPU, final={"cut": 0.6, "least_score": 0.0})
    assert tested.scores["H_mean"] == 0


def test_a_set_without_an_image_free_of_text_has_no_score_of_those(small) -> None:
    config = replace(small, data=replace(small.data, size=(96, 128)))
    assert "P_textfree" not in evaluate(Told((96, 128)), one(1), config, CPU).scores


def test_the_maps_that_are_kept_show_an_image_without_words() -> None:
    class LastFree(One):
        def words(self, i: int) -> tuple[Word, ...]:
            return () if i == 4 else super().words(0)

    names = [*"abcdef"]
    assert shown(Pictures(TextSplit(names, names, LastFree(), "")), 3) == [0, 1, 4]
    assert shown(one(2), 4) == [0, 1]
    assert shown(one(3), 1) == [0]
