"""The evaluation: who computes the metrics changes nothing, and what arms are compared on."""

import numpy as np
import py_sod_metrics as sod
import pytest
import torch
from torch.nn.functional import interpolate

import losses
from experiments.data import Samples, load, normalise, to_tensors
from experiments.errors import UserError
from experiments.evaluate import ALL, evaluate
from experiments.gradient_record import common_scores
from experiments.model import build_model
from experiments.scores import Scorer, at_resolution, scored
from models.birefnet import BiRefNet, BiRefNetOutput
from tests.experiments.orphans import ends_with_its_run
from tests.experiments.torn import Torn, outputs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tiny) -> BiRefNet:
    return build_model(tiny)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Images with masks of another size than the model takes."""
    return load("thin3d", "test", size=(64, 64), count=6)


def test_processes_that_compute_metrics_change_no_bit(model, samples) -> None:
    alone, shared = (
        evaluate(model, samples, ALL, CPU, size=4, workers=workers) for workers in (0, 2)
    )
    assert alone.table.equals(shared.table)
    assert alone.scores == shared.scores
    assert alone.table["image"].drop_duplicates().tolist() == samples.names


def test_threads_change_no_bit_of_what_is_scored() -> None:
    """The processes have one each, a run as many as its configuration says."""
    logits = torch.randn(1, 255, 333, generator=torch.Generator().manual_seed(0))
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(at_resolution(logits, (1000, 777)))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_no_more_outputs_are_made_than_are_being_scored() -> None:
    made = []

    def counted():
        for output in outputs(20):
            made.append(output.index)
            yield output

    seen = []
    for one in scored(Scorer(Torn(), ("MAE",)), counted(), workers=0):
        seen.append(one.index)
        assert len(made) == len(seen)
        if one.index == 1:
            break
    made.clear()
    stream = scored(Scorer(Torn(), ("MAE",)), counted(), workers=1)
    assert next(stream).index == 0
    assert len(made) <= 4
    stream.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mask_that_cannot_be_read_is_told_in_a_line(workers) -> None:
    with pytest.raises(UserError, match=r"^cannot read 2.png as an image: torn$"):
        list(scored(Scorer(Torn(), ("MAE",)), outputs(4), workers))


def test_a_process_that_is_killed_is_told_with_the_fix() -> None:
    with pytest.raises(UserError, match=r"^a process of data.workers was ended .*workers lower"):
        list(scored(Scorer(Torn(kill=True), ("MAE",)), outputs(4), 1))


def test_who_computes_metrics_ends_with_the_run(tmp_path) -> None:
    code = """
import multiprocessing, os, signal
from experiments.scores import Scorer, scored
from tests.experiments.torn import Torn, outputs
if __name__ == "__main__":
    stream = scored(Scorer(Torn(), ("MAE",)), outputs(2) * 10_000, workers=2)
    next(stream), next(stream)
    pids = [p.pid for p in multiprocessing.active_children()]
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)  # a stop request goes to the group: it is the run's to obey
    for _ in range(20):
        next(stream)
    print(*pids, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert ends_with_its_run(tmp_path, code) == 2


@pytest.mark.parametrize("variant", ["plain", "published"])
def test_the_maxima_are_those_of_the_library_s_mean_curves(model, samples, variant) -> None:
    emeasure = sod.Emeasure()
    handler = sod.FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)
    fmeasure = sod.FmeasureV2({"fm": handler})
    names = ("E_mean", "F_mean")
    result = evaluate(model, samples, names, CPU, size=6, variant=variant)
    images, _ = to_tensors([samples[i] for i in range(len(samples))])
    with torch.inference_mode():
        logits = model.eval()(normalise(images)).logits
    model.train()
    for i, one in enumerate(logits):
        mask = samples.native_mask(i)
        found = at_resolution(one, mask.shape)
        pair = (np.rint(255 * found).astype(np.uint8), mask)
        pair = pair if variant == "published" else (found, mask > 127)
        for measure in (emeasure, fmeasure):
            measure.step(*pair, normalize=variant == "published")
    curves = emeasure.get_results()["em"]["curve"], fmeasure.get_results()["fm"]["dynamic"]
    expected = {"E_max": curves[0].max(), "F_max": curves[1].max()}
    expected |= {"E_mean": curves[0].mean(), "F_mean": curves[1].mean()}
    assert result.scores == pytest.approx(expected, abs=1e-9)


def gradients(z: torch.Tensor) -> BiRefNetOutput:
    coarse = [torch.zeros(len(z), 1, s, s) for s in (8, 16, 32)]
    return BiRefNetOutput(coarse[-1], coarse, [*coarse[:2], z], None, None)


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy image, and an object in its middle."""
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    return image, target


def test_gradients_are_scored_on_the_ground_truth_s_label_over_the_object(scene) -> None:
    image, target = scene
    edges = losses.gradient_map(image).abs()
    label = (edges / edges.flatten().quantile(0.99)).clamp(max=1)[target > 0.5]
    z = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    grown = interpolate(z, (32, 32), mode="bilinear", align_corners=True).sigmoid()[target > 0.5]
    (found,) = common_scores(gradients(z), image, target)
    assert found["G_MAE"] == pytest.approx(float((grown - label).abs().mean()), abs=1e-3)
    expected = float(torch.corrcoef(torch.stack([grown, label]))[0, 1])
    assert found["G_corr"] == pytest.approx(expected, abs=1e-2)
    right = losses.gradient_labels([z], image, target, gate="gt", squash="abs")[0]
    (found,) = common_scores(gradients(right.logit(1e-6)), image, target)
    assert found == pytest.approx({"G_MAE": 0, "G_corr": 1}, abs=1e-5)


def test_gradients_of_flat_maps_and_empty_masks_have_finite_scores(scene) -> None:
    image, target = scene
    flat, z = torch.zeros(1, 1, 32, 32), torch.randn(1, 1, 32, 32)
    for found in (
        common_scores(gradients(flat), image, target),
        common_scores(gradients(z), torch.ones_like(image), target),
        common_scores(gradients(z), image, 0 * target),
    ):
        assert found[0]["G_corr"] == 0
        assert 0 <= found[0]["G_MAE"] <= 1
    alone = gradients(z)._replace(gradient_logits=[])
    assert common_scores(alone, image, target) == [{}]


def test_the_label_gradients_are_scored_on_does_not_depend_on_the_arm(scene) -> None:
    """The levels, of which an arm's own label may be made, are others; the scores the same."""
    image, target = scene
    out = gradients(torch.randn(1, 1, 32, 32))
    other = out._replace(levels=[level + 3 for level in out.levels])
    assert common_scores(out, image, target) == common_scores(other, image, target)
