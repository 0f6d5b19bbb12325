"""`--start`: every run of a grid begins with an official checkpoint."""

from dataclasses import replace
from pathlib import Path

from experiments.errors import UserError
from experiments.files import file_digest
from experiments.grid import Preset

OF_TRAINING = ("freeze_backbone", "dropout", "drop_path", "checkpoint")  # switches of the model


def with_start(preset: Preset, file: Path) -> Preset:
    """The preset with every run starting from an official checkpoint of BiRefNet.

    The checkpoint decides what the model is made of; the preset's switches of training stay.

    Raises:
        UserError: no such file, or none that a BiRefNet can be made of.
    """
    import models  # --help needs none of it

    if not file.is_file():
        raise UserError(f"--start {file}: no such file; expected a .pth or .safetensors file")
    kept = {key: value for key, value in preset.model.items() if key in OF_TRAINING}
    try:
        models.load_official(file, **kept)
    except ValueError as error:
        raise UserError(f"--start {file}: {error}") from error
    start = {"start": str(file.resolve()), "start_digest": file_digest(file)}
    return replace(preset, model={**start, **kept})
