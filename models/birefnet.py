"""BiRefNet (Zheng et al., CAAI AIR 2024), module by module as the official code has it."""

from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import PyTorchModelHubMixin
from kornia.filters import laplacian
from torch import Tensor, nn

from models.blocks import resize
from models.decoder import STRIDE
from models.names import unknown
from models.refinement import Refiner, RefUNet
from models.switches import Switches
from models.trunk import LEAST, Trunk, pad

PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "lite": {
        "backbone": "efficientnet_lite0",
        "pretrained": True,
        "inter_channels": 16,
        "aspp_channels": 32,
        "inward_channels": 16,
    },
}


HUB = {  # keywords of from_pretrained that are no switches
    key
    for way in (PyTorchModelHubMixin.from_pretrained, PyTorchModelHubMixin._from_pretrained)
    for key in signature(way).parameters
}


class BiRefNetOutput(NamedTuple):
    """What the model predicts, in training and evaluation alike."""

    logits: Tensor  # (B, 1, H, W)
    levels: list[Tensor]  # coarse to fine, logits (B, 1, h, w); the last is `logits`
    gradient_logits: list[Tensor]  # of the stages with outward reference, coarse to fine
    # (B, 1, H, W), the Laplacian that those stages are to tell; with a refinement of the image at
    # full size too, where the official code took the smaller one that its first stage saw
    gradient_map: Tensor | None
    class_logits: Tensor | None  # (B, classes)


class BiRefNet(
    Trunk,
    PyTorchModelHubMixin,
    library_name="seglossary",
    paper_url="https://arxiv.org/abs/2401.03407",
    tags=["image-segmentation"],
):
    """Bilateral reference network for high-resolution segmentation.

    `BiRefNet()` is the official one (swin_v1_l, made for 1024 px). Save state dicts, or with
    `save_pretrained`, not pickles of whole models: hooks of transformers cannot be pickled.

    Args:
        backbone, switches: see `models.switches.Switches`.

    Raises:
        ValueError: an unknown switch or choice, with the nearest known one.
    """

    def __init__(self, backbone: str = "swin_v1_l", **switches: Any) -> None:
        s = Switches.of({"backbone": backbone, **switches})
        super().__init__(s)
        self._hub_mixin_config = asdict(s)
        told = self.bb.channels[0] * (2 if s.multi_scale_input == "cat" else 1)
        self.cls_head = nn.Sequential(nn.Linear(told, s.classes)) if s.classes else None
        self._add_decoder()
        self.refiner = _refiner(s)
        self.freeze(s.frozen)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> "BiRefNet":
        """A named set of switches: "official" (swin_v1_l, made for 1024 px) or "lite".

        Raises:
            ValueError: an unknown preset or switch, with the nearest known one.
        """
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS)
        return cls(**{**PRESETS[name], **overrides})

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> "BiRefNet":
        """The mixin's way, but every key must fit; the encoder's weights are among them.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub.
            kwargs: of the mixin, and switches that go before the saved ones.

        Raises:
            ValueError: an unknown or wrong switch; what `save_pretrained` or `push_to_hub` did
                not write.
        """
        Switches.check({k: v for k, v in kwargs.items() if k not in HUB})
        found = {"strict": True, "pretrained": False, "bb_pretrained": None, **kwargs}
        folder = Path(pretrained_model_name_or_path)
        try:
            if folder.is_dir() and not (folder / "config.json").is_file():
                raise FileNotFoundError("it has no config.json")  # the mixin would take defaults
            model: BiRefNet = super().from_pretrained(pretrained_model_name_or_path, **found)
        except (AttributeError, OSError, RuntimeError, ValueError) as error:  # first: no config
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} is not what save_pretrained or "
                f"push_to_hub of this class wrote ({error}); models.load_official loads official "
                "checkpoints"
            ) from error
        return model

    def forward(self, image: Tensor) -> BiRefNetOutput:
        """Segment ImageNet-normalised images (B, 3, H, W) of any size from 64 px on.

        Raises:
            ValueError: no tensor of the model's dtype, another number of channels or dimensions,
                no image, a side below 64 px (with a refinement, 64 times its scale), a single
                image in training with batch norm, NaN or infinite pixels. The last are not looked
                for when compiled, nor in training on a GPU.
        """
        self.check(image)
        padded = pad(image, STRIDE * self._scale)
        levels, gradients, classes = self._segment(padded)
        if self.refiner is not None:
            for _ in range(self.switches.refine_iterations):
                levels += self.refiner(padded, resize(levels[-1], padded.shape[-2:]))
        if padded.shape != image.shape:
            levels = [_crop(z, image, padded) for z in levels]
            gradients = [_crop(z, image, padded) for z in gradients]
        told = laplacian(image.mean(dim=1, keepdim=True), 5) if gradients else None
        return BiRefNetOutput(levels[-1], levels, gradients, told, classes)

    @property
    def least(self) -> int:
        """The shortest side of an image in pixels, which a refinement makes smaller at first."""
        return LEAST * self._scale

    @property
    def _scale(self) -> int:
        """How much smaller the image is that the first stage sees."""
        return 1 if self.refiner is None else self.switches.refine_scale

    def _segment(self, image: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor | None]:
        """Levels, gradient logits and class logits of the first stage."""
        image = resize(image, tuple(side // self._scale for side in image.shape[-2:]))
        maps = self._encode(image)
        classes = None if self.cls_head is None else self.cls_head(maps[0].mean(dim=(2, 3)))
        levels, gradients = self.decoder(image, self._squeeze(maps))
        return levels, gradients, classes


def _refiner(s: Switches) -> nn.Module | None:
    if s.refine == "RefUNet":
        return RefUNet(s.widths, s.checkpoint)
    if s.refine == "none":
        return None
    return Refiner(
        s.backbone, s.weights, s.drop_path, s.refiner_decoder, s.widths, s.neck_channels
    )


def _crop(logits: Tensor, image: Tensor, padded: Tensor) -> Tensor:
    """A map of the padded image, brought to its size and cut to the image."""
    grown = resize(logits, padded.shape[-2:])
    return grown[..., : image.shape[-2], : image.shape[-1]]
