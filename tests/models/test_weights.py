"""Pretrained weights of backbones: from a folder, from a file, by the names of every release."""

import copy
from email.message import Message
from functools import partial
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models import BiRefNet, backbones, export_official, load_official
from models.backbones import weights
from models.keys import to_theirs


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def drawn(name: str) -> dict[str, Tensor]:
    """A backbone's state, every parameter from its own draw."""
    bb = backbones.build(name)
    torch.manual_seed(0)
    with torch.no_grad():
        for p in bb.parameters():
            p.uniform_(-1, 1)
    return bb.state_dict()


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return list(one) == list(two) and all(torch.equal(v, two[k]) for k, v in one.items())


@pytest.mark.parametrize("name", ["resnet18", "swin_v1_t", "pvt_v2_b0", "dino_v3_s", "vgg16bn"])
def test_weights_load_by_the_names_of_every_release(name: str, tmp_path: Path) -> None:
    state = drawn(name)
    original = {**to_theirs(name, state), "head.weight": torch.zeros(3)}
    library = {key.removeprefix("net."): value.contiguous() for key, value in state.items()}
    torch.save({"model": original, "epoch": 3}, tmp_path / "original.pth")
    torch.save(state, tmp_path / "ours.pth")
    save_file(library, tmp_path / "library.safetensors")
    for file in ("original.pth", "ours.pth", "library.safetensors"):
        assert same(state, backbones.build(name, str(tmp_path / file)).state_dict())


def test_the_package_of_efficientnet_and_a_file_of_its_names_agree(tmp_path: Path) -> None:
    state = backbones.build("efficientnet_lite0", True).state_dict()
    for prefix in ("", "_"):
        torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "file.pth")
        bb = backbones.build("efficientnet_lite0", str(tmp_path / "file.pth"))
        assert same(state, bb.state_dict())


@pytest.mark.parametrize("kind", ["Swin", "PvtV2"])
def test_a_classifier_of_the_hub_gives_its_encoder(kind: str, tmp_path: Path) -> None:
    import transformers

    name = {"Swin": "swin_v1_t", "PvtV2": "pvt_v2_b0"}[kind]
    config = backbones.build(name).net.config
    net = getattr(transformers, f"{kind}ForImageClassification")(config)
    net.half().save_pretrained(tmp_path / "half")
    for source in (tmp_path / "half", tmp_path / "half" / "model.safetensors"):
        state = backbones.build(name, str(source)).state_dict()
        assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float32}
        encoder = {k.split(".", 1)[1]: v for k, v in net.state_dict().items()}
        key = next(key for key in encoder if key.endswith("weight"))
        found = next(v for k, v in state.items() if k.endswith(key))
        assert torch.equal(found, encoder[key].float())


OLDER = {  # transformers' names until its fifth version, as the hub's files have them
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.o_proj": "attention.output.dense",
    "attention.relative_position_bias.": "attention.self.",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def test_files_of_the_hub_load_by_their_older_names(tmp_path: Path) -> None:
    state = drawn("swin_v1_t")
    older = {}
    for key, value in state.items():
        for new, old in OLDER.items():
            key = key.replace(new, old)
        if "hidden_states_norms" not in key:  # a classifier has none
            older[key.removeprefix("net.")] = value
    older |= {"swin.layernorm.weight": torch.ones(768), "classifier.bias": torch.ones(5)}
    save_file(older, tmp_path / "model.safetensors")
    found = backbones.build("swin_v1_t", str(tmp_path / "model.safetensors")).state_dict()
    learned = [key for key in state if "hidden_states_norms" not in key]
    assert all(torch.equal(found[key], state[key]) for key in learned)


@pytest.fixture
def biased(tmp_path: Path) -> str:
    """A DINOv3 as of the hub, one of whose query biases is not zero."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    net = DINOv3ViTModel(DINOv3ViTConfig(num_register_tokens=4))
    torch.nn.init.ones_(net.model.layer[2].attention.q_proj.bias)
    net.save_pretrained(tmp_path / "biased")
    return str(tmp_path / "biased")


def test_biases_of_dino_stay_only_where_they_count(biased: str) -> None:
    """The official code has none; those of the hub's smallest model are not zero."""
    state = backbones.build("dino_v3_s", biased).state_dict()
    biases = [key for key in state if key.endswith(("q_proj.bias", "v_proj.bias", "k_proj.bias"))]
    assert biases == ["net.model.layer.2.attention.q_proj.bias"]
    assert not any("mask_token" in key or key.startswith("net.norm") for key in state)


def test_a_dino_with_biases_is_saved_and_loaded_again(biased: str, tmp_path: Path) -> None:
    small = {"inter_channels": 8, "aspp_channels": 8, "neck_channels": (8,) * 4}
    model = BiRefNet("dino_v3_s", pretrained=biased, **small)
    model.save_pretrained(tmp_path / "saved")
    loaded = copy.deepcopy(BiRefNet("dino_v3_s", **small).double())
    loaded.load_state_dict(model.state_dict())
    for again in (
        loaded.float(),
        BiRefNet.from_pretrained(tmp_path / "saved"),
        load_official(export_official(model)),
    ):
        assert same(model.state_dict(), again.state_dict())
        assert not any(p.requires_grad for p in again.bb.parameters())


@pytest.mark.parametrize(
    ("name", "of", "message"),
    [
        ("pvt_v2_b0", "resnet18", "does not fit PvtV2Backbone: missing .*encoder.layers"),
        ("resnet50", "resnet18", "does not fit ResNetBackbone: .*another shape .*encoder.stages"),
        ("vgg16", "vgg16bn", "does not fit VGG: .*another shape .*features.7.weight"),
        ("vgg16bn", "vgg16", "does not fit VGG: .*features"),
    ],
)
def test_weights_of_another_backbone_are_refused(name, of, message, tmp_path: Path) -> None:
    torch.save(backbones.build(of).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=message):
        backbones.build(name, str(tmp_path / "other.pth"))


def test_missing_and_left_over_keys_are_named(tmp_path: Path) -> None:
    state = {
        k.removeprefix("net."): v for k, v in backbones.build("resnet18").state_dict().items()
    }
    state["encoder.surprise"] = state.pop("embedder.embedder.convolution.weight")
    torch.save(state, tmp_path / "changed.pth")
    message = r"missing \['embedder.embedder.convolution.weight'\].*\['encoder.surprise'\]"
    with pytest.raises(ValueError, match=message):
        backbones.build("resnet18", str(tmp_path / "changed.pth"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stub.pth", b"version https://git-lfs.github.com/spec/v1\n"),
        ("stub.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        ("text.pth", b"version of hello world\n"),
        ("cut.pth", b"PK\x03\x04 version"),
        ("empty.pth", b""),
    ],
)
def test_a_broken_file_is_a_clear_error(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    message = rf"{name}' cannot be read .*begins with b'.*is the download complete\?.*git-lfs"
    with pytest.raises(ValueError, match=message):
        backbones.build("vgg16", str(tmp_path / name))


def test_a_folder_with_a_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    backbones.build("resnet18").net.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=r"cannot be read .*is the download complete"):
        backbones.build("resnet18", str(tmp_path))


@pytest.mark.parametrize("name", ["vgg16", "swin_v1_t", "nobody/nothing"])
def test_without_a_network_and_a_file_both_ways_are_told(name: str) -> None:
    with pytest.raises(ValueError, match=r"with a network.*without one.*\.safetensors, \.pth"):
        backbones.build(name, True)


@pytest.mark.parametrize("name", ["vgg16", "swin_v1_t", "efficientnet_lite0"])
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no file .*expected a state dict \(.safetensors or .pth\)"
    ):
        backbones.build(name, str(tmp_path / "none.pth"))


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list, expected a state dict"):
        backbones.build("vgg16", str(tmp_path / "list.pth"))


def test_a_file_whose_tensors_lie_deeper_names_its_entries(tmp_path: Path) -> None:
    file = tmp_path / "training.pth"
    torch.save({"epoch": 3, "net": {"weight": torch.zeros(2)}}, file)
    for load in (partial(backbones.build, "vgg16"), load_official):
        with pytest.raises(ValueError, match=r"holds no tensors by name, but \['epoch', 'net'\]"):
            load(str(file))


def answer(error: OSError) -> object:
    def urlopen(*_: object, **__: object) -> None:
        raise error

    return urlopen


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (URLError("no such host"), False),
        (TimeoutError(), False),
        (HTTPError("hub", 503, "busy", Message(), None), True),
    ],
)
def test_a_hub_that_answers_is_reachable(error, expected, monkeypatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights, "urlopen", answer(error))
    assert weights.reachable() is expected
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert not weights.reachable()
