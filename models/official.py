"""Checkpoints of the official BiRefNet (ZhengPeng7/BiRefNet), read and written."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.backbones import names
from models.backbones.weights import SUFFIXES, reachable, read
from models.birefnet import BiRefNet
from models.inferred import infer
from models.keys import to_ours, to_theirs

State = Mapping[str, Tensor]
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")  # of DistributedDataParallel and torch.compile
ENCODERS = ("bb.", "refiner.bb.")
WEIGHTS = "model.safetensors"  # the file of a repository on the hub


def load_official(source: str | Path | State, **switches: Any) -> BiRefNet:
    """A BiRefNet with the weights of an official checkpoint, in evaluation mode.

    Its switches are told from the names and shapes of the weights, but for those that leave no
    trace there: "add" or "none" for `multi_scale_input` (one must be given where it is not
    "cat"), `refine_iterations`, `refine_scale`, and those of training. For a backbone that is none
    of `models.backbones.names()` both `backbone` and `multi_scale_input` must be given.

    Args:
        source: a file (.safetensors or .pth), a folder with a model.safetensors, a state dict, or
            a name on the hub, such as "ZhengPeng7/BiRefNet". Prefixes "module." and "_orig_mod."
            are taken off.
        switches: of `BiRefNet`; they go before what the weights tell.

    Raises:
        ValueError: a source that cannot be read; no BiRefNet; a switch that the weights do not
            tell; weights that are missing, left over or of another shape, with their names.
    """
    if not isinstance(source, str | Path | Mapping):
        raise ValueError(
            f"source is a {type(source).__name__}, expected a file, a folder, a name on the hub "
            "or a state dict: of a model give model.state_dict()"
        )
    state = _bare(source if isinstance(source, Mapping) else _read(str(source)))
    found = infer(state, switches.get("backbone")) | switches
    if "multi_scale_input" not in found:
        known = found["backbone"] in names()
        why = "'add' and 'none' have equal shapes" if known else "the encoder's widths are unknown"
        raise ValueError(
            f"the weights do not tell multi_scale_input: {why}; give the one it was trained with: "
            f"load_official(..., multi_scale_input={'none' if known else 'cat'!r})"
        )
    model = BiRefNet(**found)
    _fit(model, _renamed(to_ours, model.switches.backbone, state))
    return model.eval()


def export_official(model: BiRefNet) -> dict[str, Tensor]:
    """The state dict that the official code loads strictly, ready to be saved.

    Parts that it has not (other backbones, a fourth stage of outward reference) keep their names
    here. `load_official` of the result gives an equal model, with the switches that it asks for.
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
    """A state dict from a file, a folder or the hub."""
    path = Path(source)
    if path.is_dir():
        path /= WEIGHTS
    elif not path.exists() and path.suffix not in SUFFIXES:
        path = Path(_download(source))
    return read(str(path))


def _download(name: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return hf_hub_download(name, WEIGHTS, local_files_only=not reachable())
    except (OSError, HFValidationError) as error:
        local = isinstance(error, HFValidationError) or Path(name).parent.is_dir()
        advice = (
            f"expected .safetensors or .pth, a folder with {WEIGHTS}, or 'organisation/name'"
            if local
            else f"and the hub gives no {WEIGHTS} of that name. Without a network get "
            f"https://huggingface.co/{name}/resolve/main/{WEIGHTS} elsewhere, give its path"
        )
        raise ValueError(f"{name!r} is no file or folder, {advice}") from error


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


def _fit(model: BiRefNet, state: State) -> None:
    """Load; refuse names that are missing or left over, and other shapes."""
    own = model.state_dict()
    other = [k for k in own if k in state and state[k].shape != own[k].shape]
    fitting = {k: v for k, v in state.items() if k not in other}
    unexpected = model.load_state_dict(fitting, strict=False).unexpected_keys
    wrong = [f"missing {k}" for k in own if k not in state]
    wrong += [f"unexpected {k}" for k in unexpected]
    wrong += [f"{k} is {tuple(state[k].shape)}, expected {tuple(own[k].shape)}" for k in other]
    if wrong:
        raise ValueError(
            f"{len(wrong)} weights do not fit the model that their shapes tell (was it trained "
            "with another version of the official code, or are switches given that it had not?):\n"
            + "\n".join(wrong)
        )
