"""Pretrained weights: from the hub, from a folder or from a file."""

import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")  # of a state dict
# a classifier, what only it reads, and what only pretraining reads
SPARE = re.compile(
    r"(\w+\.)?(classifier|head|heads|fc|pre_logits|pooler|layernorm|norm|conv_head|bn1|lm_head)\."
    r"|(.*\.)?mask_token$|(.*\.)?relative_position_index$"
)
# norms of maps that no classifier has, counts and zero biases that older files lack
GIVEN = re.compile(
    r"hidden_states_norms\.|swin\.layernorm\.|norm\.|.*num_batches_tracked$"
    r"|model\.layer\.\d+\.attention\.[qv]_proj\.bias$|embeddings\.mask_token$"
)


def reachable() -> bool:
    """Whether the hub answers, found out in seconds: its library retries for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=5):
            return True
    except HTTPError:
        return True
    except URLError as error:  # a certificate that this check does not know is an answer
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False


def download(repo: str, file: str = "model.safetensors") -> str:
    """The path of a repository's file, from the hub or its cache.

    Raises:
        ValueError: neither has it.
    """
    from huggingface_hub import hf_hub_download

    try:
        return str(hf_hub_download(repo, file, local_files_only=not reachable()))
    except OSError as error:
        raise nowhere(repo, repo) from error


def nowhere(source: str, hub: str) -> ValueError:
    """The error for weights that are not to be had."""
    return ValueError(
        f"no weights at {source!r}: with a network, pretrained=True loads {hub!r} from the hub; "
        "without one, give pretrained='path' to its folder or to a state dict (.safetensors, .pth)"
    )


def read(file: str) -> dict[str, Tensor]:
    """The state dict in a file; the entry "model" or "state_dict" of it if there is one.

    Raises:
        ValueError: no such file, a broken one, or no tensors by name in it.
    """
    if not Path(file).is_file():
        raise ValueError(f"no file {file!r}: expected a state dict (.safetensors or .pth)")
    with Path(file).open("rb") as opened:
        head = opened.read(24)
    try:
        if file.endswith(".safetensors"):
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle raises nearly anything
        raise broken(file, f"{type(error).__name__}; it begins with {head!r}") from error
    for entry in ("model", "state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(entry), Mapping):
            state = state[entry]
    if not isinstance(state, Mapping):
        raise ValueError(f"{file!r} holds a {type(state).__name__}, expected a state dict")
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(
            f"{file!r} holds no tensors by name, but {[*state][:5]}; expected a state dict: if "
            "one of these is it, save that alone"
        )
    return tensors


def broken(source: str, seen: object) -> ValueError:
    """The error for weights that are not what their name says."""
    return ValueError(
        f"{source!r} cannot be read ({seen}); expected a state dict in .safetensors, or as "
        "torch.save writes it, of tensors alone: is the download complete? is it a git-lfs "
        "pointer, to be had with `git lfs pull`?"
    )


def ours(name: str, file: str) -> dict[str, Tensor]:
    """The state dict in a file by our names, whichever release it is from."""
    from models.keys import to_ours

    return to_ours(name, read(file))


def fit(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load all that a module has; a classifier may be left over.

    Raises:
        ValueError: keys missing or left over, a tensor of another shape.
    """
    own = module.state_dict()
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    if shapes:
        raise misfit(module, source, [], shapes)
    found = module.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    check(module, source, found.missing_keys, [key for key in state if key not in own])


def check(
    module: nn.Module, source: str, missing: Sequence[str], unexpected: Sequence[str]
) -> None:
    """Refuse missing and unexpected keys but for those that do not matter.

    Raises:
        ValueError: there are others.
    """
    missing = [key for key in missing if not GIVEN.match(key)]
    unexpected = [key for key in unexpected if not SPARE.match(key)]
    if missing or unexpected:
        raise misfit(module, source, missing, unexpected)


def misfit(
    module: nn.Module, source: str, missing: Sequence[str], unexpected: Sequence[str]
) -> ValueError:
    """The error for weights of another network."""
    counts = f"{len(missing)} and {len(unexpected)} in all"
    return ValueError(
        f"{source!r} does not fit {type(module).__name__}: missing {list(missing[:3])}, "
        f"unexpected or of another shape {list(unexpected[:3])} ({counts}); "
        "expected the keys of transformers, of torchvision or of the original release"
    )
