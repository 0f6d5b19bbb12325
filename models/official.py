"""Checkpoints of the official BiRefNet (ZhengPeng7/BiRefNet), read and written."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from models.backbones.weights import reachable, read
from models.birefnet import BiRefNet
from models.inferred import infer
from models.keys import to_ours, to_theirs

State = Mapping[str, Tensor]
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")  # of DistributedDataParallel and torch.compile
ENCODERS = ("bb.", "refiner.bb.")
WEIGHTS = "model.safetensors"  # the file of a repository on the hub
SHOWN = 20  # keys in an error


def load_official(source: str | Path | State, **switches: Any) -> BiRefNet:
    """A BiRefNet with the weights of an official checkpoint, in evaluation mode.

    Its switches are told from the names and shapes of the weights, but for those that leave no
    trace there: "add" or "none" for `multi_scale_input` (one must be given where it is not
    "cat"), `refine_iterations`, `refine_scale`, and those of training.

    Args:
        source: a file (.safetensors or .pth), a state dict, or a name on the hub, such as
            "ZhengPeng7/BiRefNet". Prefixes "module." and "_orig_mod." are taken off.
        switches: of `BiRefNet`; they go before what the weights tell.

    Raises:
        ValueError: a source that cannot be read; no BiRefNet; a switch that the weights do not
            tell; weights that are missing, left over or of another shape, with their names.
    """
    state = _bare(_read(str(source)) if isinstance(source, str | Path) else source)
    found = infer(state, switches.get("backbone")) | switches
    if "multi_scale_input" not in found:
        raise ValueError(
            "the weights do not tell multi_scale_input: 'add' and 'none' have equal shapes; give "
            "the one it was trained with: load_official(..., multi_scale_input='none')"
        )
    model = BiRefNet(**found)
    ours = _renamed(to_ours, model.switches.backbone, state)
    _fit(ours, model.state_dict())
    model.load_state_dict(ours)
    return model.eval()


def export_official(model: BiRefNet) -> dict[str, Tensor]:
    """The state dict that the official code loads strictly, ready to be saved.

    Parts that it has not (other backbones, a fourth stage of outward reference) keep their names
    here. `load_official` of the result gives an equal model.
    """
    theirs = _renamed(to_theirs, model.switches.backbone, model.state_dict())
    return {key: value.contiguous() for key, value in theirs.items()}  # channels-last some are


def _renamed(
    rename: Callable[[str, State], dict[str, Tensor]], backbone: str, state: State
) -> dict[str, Tensor]:
    """The state with the names of each encoder changed; those of all other parts are equal."""
    out = {k: v for k, v in state.items() if not k.startswith(ENCODERS)}
    for prefix in ENCODERS:
        inside = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        out |= {prefix + k: v for k, v in rename(backbone, inside).items()}
    return out


def _read(source: str) -> State:
    """A state dict from a file or the hub."""
    if not Path(source).is_file():
        if Path(source).suffix in (".safetensors", ".pth", ".pt", ".bin"):
            raise ValueError(f"no file {source!r}: expected a checkpoint (.safetensors or .pth)")
        source = _download(source)
    try:
        return read(source)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise ValueError(
            f"{source!r} cannot be read ({error}); expected a state dict in .safetensors, or as "
            "torch.save writes it: is the download complete?"
        ) from error


def _download(name: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return hf_hub_download(name, WEIGHTS, local_files_only=not reachable())
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"{name!r} is no file, and the hub gives no {WEIGHTS} of that name. Without a network "
            f"get https://huggingface.co/{name}/resolve/main/{WEIGHTS} elsewhere, give its path"
        ) from error


def _bare(state: State) -> State:
    """Without the prefixes of wrappers."""
    kinds = {type(value).__name__ for value in state.values() if not isinstance(value, Tensor)}
    if kinds:
        raise ValueError(
            f"expected names and tensors, seen {', '.join(sorted(kinds))} among the values: give "
            "the entry that holds the state dict"
        )
    bare = {WRAPPERS.sub("", key): value for key, value in state.items()}
    if len(bare) < len(state):
        raise ValueError("some keys differ in 'module.' or '_orig_mod.' alone: two state dicts?")
    return bare


def _fit(seen: State, expected: State) -> None:
    """Refuse names that are missing or left over, and other shapes."""
    wrong = [f"missing {k}" for k in expected if k not in seen]
    wrong += [f"unexpected {k}" for k in seen if k not in expected]
    wrong += [
        f"{k} is {tuple(seen[k].shape)}, expected {tuple(expected[k].shape)}"
        for k in expected
        if k in seen and seen[k].shape != expected[k].shape
    ]
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise ValueError(
            f"{len(wrong)} weights do not fit the model that their shapes tell (was it trained "
            "with another version of the official code, or are switches given that it had not?): "
            + "; ".join([*wrong[:SHOWN], *more])
        )
