"""The evaluation graph as an ONNX file, compared with the model before anyone relies on it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from models.birefnet import BiRefNet

OPSET = 20  # DeformConv is there from 19 on
TOLERANCE = 1e-4  # of the largest logit
NEEDED = ("onnx", "onnxruntime", "onnxscript")


class Logits(nn.Module):
    """The model with one output."""

    def __init__(self, model: BiRefNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H, W)."""
        logits: Tensor = self.model(image).logits
        return logits


def export(
    model: BiRefNet, path: str | Path, size: tuple[int, int] = (1024, 1024), batch: int = 1
) -> Path:
    """Write the evaluation graph of a model as ONNX, and run it once to compare.

    Input "image" (B, 3, H, W), ImageNet-normalised, float32; output "logits" (B, 1, H, W), whose
    sigmoid is the probability. All sizes are fixed. Deformable convolutions become DeformConv,
    which onnxruntime runs from 1.25 on.

    Args:
        model: as it is; it stays in its mode.
        path: of the file, which is replaced if it is there.
        size: H and W.
        batch: B.

    Returns:
        The path.

    Raises:
        ModuleNotFoundError: packages that only this needs are not installed.
        OSError: the path is a folder, or its folder is missing.
        ValueError: a model that is not in float32; a size that the model refuses; logits of the
            written graph further from the model's than `TOLERANCE` times the largest logit (the
            file stays, to be looked into).
    """
    _need()
    path = Path(path)
    modes = [(module, module.training) for module in model.modules()]
    check_path(path)
    kinds = {str(p.dtype) for p in model.parameters()} - {"torch.float32"}
    if kinds:
        raise ValueError(f"the model has {', '.join(kinds)}; export model.float() instead")
    image = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    image = image.to(next(model.parameters()).device)
    try:
        graph = Logits(model).eval()
        with torch.no_grad(), quiet():
            expected = graph(image)
            program = torch.onnx.export(
                graph,
                (image,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                verbose=False,
            )
    finally:
        for module, training in modes:
            module.training = training
    assert program is not None  # it is with dynamo=True
    program.save(path)
    compare(path, image.cpu(), expected.cpu())
    return path


def run(path: str | Path, **inputs: Tensor) -> Tensor:
    """What onnxruntime computes on the CPU from a written graph with one output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return torch.from_numpy(out)


def compare(path: str | Path, image: Tensor, expected: Tensor) -> None:
    """Refuse a written graph whose logits differ.

    Raises:
        ValueError: by more than `TOLERANCE` times the largest of the expected ones.
    """
    largest = float(expected.abs().max())
    difference = float((run(path, image=image) - expected).abs().max())
    if not difference <= TOLERANCE * largest:  # NaN does not pass
        raise ValueError(
            f"{path} differs from the model by up to {difference:.2g} in logits of up to "
            f"{largest:.2g}, expected {TOLERANCE * largest:.2g} at most: do not use the file; "
            "another version of torch or onnxruntime may write or run it as meant"
        )


def check_path(path: Path) -> None:
    """Refuse early what the export would fail to write at its end.

    Raises:
        OSError: the path is a folder, or its folder is missing.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected a file to write, as {path}/x.onnx")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")


def _need() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"the export needs {', '.join(missing)}: pip install -e '.[onnx]' in the project"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's remarks on itself: what torch deprecates, constants it leaves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.disable(before)
