"""What the official BiRefNet code computes from weights that depend on their names alone.

    python tests/models/make_official.py CHECKOUT --out tests/models/official [--only CASE ...]

CHECKOUT is a clone of ZhengPeng7/BiRefNet; the interpreter needs what that code imports. For each
case one `.npz`: the state dict's names and shapes, the settings, and float64 outputs (evaluation,
and training with batch statistics, dropout and drop path off), thinned to a few hundred numbers.
The `old` cases are made, alone, where CHECKOUT is the last commit before afe09e0, which removed
the refinement; since 32c1dcd nothing can be built without `dec_ipt` either.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SIZE = (6, 3, 64, 96)  # with less, norms of pooled maps are far from what float32 can tell
TILE = 32
KEPT = 400  # numbers of each map


@dataclass(frozen=True)
class Case:
    """Settings of the official code and the switches here that mean the same."""

    bb: str
    settings: dict[str, Any] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)
    old: bool = False


B0 = "pvt_v2_b0"
CASES: dict[str, Case] = {
    "resnet50": Case("resnet50"),
    "vgg16bn": Case("vgg16bn"),
    "pvt_v2_b0": Case(B0),
    "swin_v1_t": Case("swin_v1_t"),
    "dino_v3_s": Case("dino_v3_s"),
    "add": Case(B0, {"mul_scl_ipt": "add"}, {"multi_scale_input": "add"}),
    "single_scale": Case(B0, {"mul_scl_ipt": ""}, {"multi_scale_input": "none"}),
    "no_context": Case(B0, {"cxt_num": 0}, {"context": 0}),
    "context_1": Case(B0, {"cxt_num": 1}, {"context": 1}),
    "squeeze_res": Case(
        B0, {"squeeze_block": "ResBlk_x4", "cxt_num": 0}, {"squeeze": "ResBlk_x4", "context": 0}
    ),
    "squeeze_aspp": Case(
        B0, {"squeeze_block": "ASPP_x3", "cxt_num": 0}, {"squeeze": "ASPP_x3", "context": 0}
    ),
    "squeeze_deformable": Case(
        B0,
        {"squeeze_block": "ASPPDeformable_x3", "cxt_num": 0},
        {"squeeze": "ASPPDeformable_x3", "context": 0},
    ),
    "no_squeeze": Case(B0, {"squeeze_block": "", "cxt_num": 0}, {"squeeze": "none", "context": 0}),
    "residual": Case(B0, {"dec_blk": "ResBlk"}, {"decoder_block": "ResBlk"}),
    "aspp": Case(B0, {"dec_att": "ASPP"}, {"decoder_attention": "ASPP"}),
    "no_attention": Case(B0, {"dec_att": ""}, {"decoder_attention": "none"}),
    "whole_image": Case(B0, {"dec_ipt_split": False}, {"inward": "image"}),
    "no_inward": Case(B0, {"dec_ipt": False}, {"inward": "none"}, old=True),
    "refine_unet": Case(
        B0, {"refine": "RefUNet"}, {"refine": "RefUNet", "refine_scale": 1}, old=True
    ),
    "refine_encoder": Case(
        "pvt_v2_b2", {"refine": "Refiner"}, {"refine": "Refiner", "refine_scale": 1}, old=True
    ),
    "no_outward": Case(B0, {"out_ref": False}, {"outward": 0}),
    "single_stage": Case(B0, {"ms_supervision": False}, {"multi_stage": False, "outward": 0}),
    "no_norm": Case(B0, {"batch_size": 1}, {"batch_norm": False}),
    "classes": Case(B0, {"auxiliary_classification": True}, {"classes": 219}),
    "adaptive": Case(B0, {"dec_channels_inter": "adap"}, {"inter_channels": "adap"}),
}


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of mean 0 and variance 1 in [-1.74, 1.74] that depend on name and shape alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return (np.random.Generator(np.random.PCG64(seed)).random(shape) - 0.5) * 12**0.5


def draw(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of a state dict, of a size that keeps activations near 1; offsets move samples."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    values = uniform(name, shape)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith(("weight", "gamma_1"))):
        values = 1 + values / 4
        if name.endswith("bn3.weight"):  # the end of a residual branch: keeps depth well-behaved
            values /= 4
    elif len(shape) == 1:
        values /= 4
    elif len(shape) in (2, 4) and not name.endswith("relative_position_bias_table"):
        values *= (1.5 / np.prod(shape[1:])) ** 0.5 / (4 if "offset_conv" in name else 1)
    return torch.from_numpy(values.astype(np.float32))


def image() -> Tensor:
    """The batch that all cases see: noise on tiles and colours, so that pooled maps differ too."""
    tiles = uniform("tiles", (*SIZE[:2], SIZE[2] // TILE, SIZE[3] // TILE))
    tiles = np.kron(tiles + uniform("colours", (*SIZE[:2], 1, 1)), np.ones((TILE, TILE)))
    return torch.from_numpy(tiles + uniform("image", SIZE) / 4)


def thin(x: Tensor) -> Tensor:
    """Some values of a map and the mean of all."""
    flat = x.detach().double().flatten()
    step = max(1, len(flat) // KEPT) | 1  # odd: meets every column of an even width
    return torch.cat((flat[::step], flat.mean()[None]))


def official(case: Case) -> nn.Module:
    """The official model; its configuration is read at import, so one process makes one."""
    import config

    settings = {"bb": case.bb, "device": "cpu", **case.settings}

    class Changed(config.Config):  # type: ignore[name-defined, misc]
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, settings.get(name, value))

    config.Config = Changed
    from models.backbones import build_backbone

    build = build_backbone.build_backbone  # the refinement asks it for weights from a file
    build_backbone.build_backbone = partial(build, pretrained=False)
    from models.birefnet import BiRefNet

    model: nn.Module = BiRefNet(bb_pretrained=False)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    return model


def forward(model: Any, x: Tensor) -> Any:
    """Levels and classes; with refinement at full size, as the code had it until 740c238."""
    if not hasattr(model, "refiner"):
        out = model(x)
        return (out[0], out[1][0]) if model.training else (out, None)
    levels, classes = model.forward_ori(x)
    firsts = levels[1] if isinstance(levels, tuple) else levels
    firsts += model.refiner([x, firsts[-1]])
    return levels, classes


def outputs(model: nn.Module) -> dict[str, Tensor]:
    """Evaluation output, training levels, gradient logits and labels, class logits."""
    x = image()
    model = model.double()
    model.train(False)
    found = {"evaluation": forward(model, x)[0][-1]}
    model.train(True)
    levels, classes = forward(model, x)
    if isinstance(levels, tuple):
        (gradients, labels), levels = levels
        found |= {f"gradient_{i}": z for i, z in enumerate(gradients)}
        found |= {f"label_{i}": z for i, z in enumerate(labels)}
    found |= {f"level_{i}": z for i, z in enumerate(levels)}
    return found if classes is None else {**found, "classes": classes}


def make(name: str, checkout: Path, out: Path) -> None:
    """Write the numbers of one case."""
    torch.set_num_threads(1)
    sys.path[:0] = [str(checkout)]
    case = CASES[name]
    model = official(case)
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    derived = {k for k in shapes if k.endswith("relative_position_index")}
    state = {k: draw(k, shape) for k, shape in shapes.items() if k not in derived}
    unfit = model.load_state_dict(state, strict=False)
    assert set(unfit.missing_keys) == derived
    git = ("git", "-C", str(checkout), "rev-parse", "HEAD")
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    about = {
        "commit": commit,
        "torch": torch.__version__,
        "settings": {"bb": case.bb, **case.settings},
    }
    with torch.no_grad():
        found = {k: thin(v).numpy() for k, v in outputs(model).items()}
    largest = max(float(np.abs(v).max()) for v in found.values())
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / f"{name}.npz",
        about=np.array(json.dumps(about)),
        keys=np.array([f"{k} {json.dumps(shape)}" for k, shape in shapes.items()]),
        **found,
    )
    print(f"{name}: {len(shapes)} tensors, largest number {largest:.3g}")


def main() -> None:
    """All cases, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a clone of ZhengPeng7/BiRefNet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=CASES, metavar="CASE", help="these cases")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        make(options.case, options.checkout.resolve(), options.out)
        return
    old = (options.checkout / "models" / "refinement").is_dir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in options.only or [k for k, case in CASES.items() if case.old == old]:
        again = [__file__, str(options.checkout), "--out", str(options.out), "--case", name]
        subprocess.run([sys.executable, *again], check=True, env=environment)


if __name__ == "__main__":
    main()
