"""DBNet (Liao et al., AAAI 2020): probability and threshold of text, from an FPN or BiRefNet."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import birefnet
from models.blocks import Widths, norm
from models.checkpointing import recompute
from models.decoder import Decoder, resized, stage_size
from models.names import unknown
from models.switches import Switches
from models.trunk import Trunk, pad

Body = Literal["fpn", "birefnet"]
PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "lite": {
        "backbone": "efficientnet_lite0",
        "pretrained": True,
        "channels": 64,
    },
}
# Switches of BiRefNet that an FPN understands too
OF_BOTH = (
    *("backbone", "pretrained", "bb_pretrained", "freeze_backbone", "drop_path"),
    *("batch_norm", "checkpoint"),
)
# Parts of BiRefNet that the losses of DB would not train
UNTRAINED: dict[str, Any] = {
    "outward": False,
    "multi_stage": False,
    "classes": 0,
    "refine": "none",
}


class DBOutput(NamedTuple):
    """What the model predicts of an image (B, 3, H, W)."""

    logits: Tensor  # (B, 1, H, W); their sigmoid P is the probability of (shrunk) text
    threshold: Tensor | None  # (B, 1, H, W) in [0, 1]; None where it was not asked for

    def binary(self, k: float = 50.0) -> Tensor:
        """The approximate binary map sigmoid(k (P - T)), (B, 1, H, W), float32 or wider (eq. 2).

        Raises:
            ValueError: there is no threshold map.
        """
        if self.threshold is None:
            raise ValueError("no threshold map: call the model with threshold=True")
        return torch.sigmoid(k * (_wide(self.logits).sigmoid() - self.threshold))


class DBNet(Trunk):
    """Text detection with differentiable binarization.

    `DBNet()` is the published one but for its deformable convolutions in the encoder, which here
    are plain: a ResNet-50 and an FPN of 256 channels, whose four maps of 64 are joined at stride
    4. With `body="birefnet"` the same head takes the last map of BiRefNet's decoder, at stride 4
    too, with every switch of `models.switches.Switches` but those that add outputs (`outward`,
    `multi_stage`, `classes`, `refine`): the losses of DB would train none of them. The head sees
    of the inward reference what that map has seen, strides 4 to 32; the image at full size is
    shown to BiRefNet's own logits alone.

    Args:
        backbone: as of BiRefNet.
        body: what lies between encoder and head, the attribute `decoder`.
        channels: a multiple of 4. Of the FPN; a quarter is inside the head, with either body.
        switches: with an FPN pretrained, freeze_backbone, drop_path, batch_norm (False: none in
            the head; the encoder keeps its own) and checkpoint.

    Raises:
        ValueError: an unknown switch or choice, with the nearest known one; a switch of BiRefNet
            that the body has not.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        *,
        body: Body = "fpn",
        channels: int = 256,
        **switches: Any,
    ) -> None:
        if type(channels) is not int or channels < 4 or channels % 4:
            raise ValueError(f"channels is {channels!r}, expected a multiple of 4 from 4")
        super().__init__(_switches(body, {"backbone": backbone, **switches}))
        self.body, s = body, self.switches
        if body == "fpn":
            self.decoder, taken = FPN(self.bb.channels, channels), channels
            recompute([self.decoder], s.checkpoint)
        else:
            taken = self._add_decoder(logits=False)
        self.head = DBHead(taken, channels // 4, s.widths)
        recompute(self.head.children(), s.checkpoint)
        self.freeze(s.frozen)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> "DBNet":
        """A named set of switches: "official" (made for 640 px) or "lite" (for a CPU).

        With `body="birefnet"` the decoder's widths are those of BiRefNet's preset of that name.

        Raises:
            ValueError: an unknown preset or switch, with the nearest known one.
        """
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS)
        widths = birefnet.PRESETS[name] if overrides.get("body") == "birefnet" else {}
        return cls(**{**widths, **PRESETS[name], **overrides})

    def forward(self, image: Tensor, *, threshold: bool | None = None) -> DBOutput:
        """Predict for ImageNet-normalised images (B, 3, H, W) of any size from 64 px on.

        Args:
            image: of the model's dtype.
            threshold: whether to compute the threshold map, which only the losses need; None: in
                training.

        Raises:
            ValueError: as BiRefNet's; a threshold map is asked for where the head has no branch.
        """
        self.check(image)
        padded, (height, width) = pad(image), image.shape[-2:]
        maps = self._encode(padded)
        if isinstance(self.decoder, Decoder):
            x = self.decoder.features(padded, self._squeeze(maps))[0]
        else:
            x = self.decoder(padded, maps)
        logits, t = self.head(x, self.training if threshold is None else threshold)
        cut = (..., slice(height), slice(width))
        return DBOutput(logits[cut], t if t is None else t[cut])


class FPN(nn.Module):
    """Feature pyramid (Lin et al., CVPR 2017) as DB has it: four maps joined at stride 4.

    Lateral 1 x 1 convolutions, each finer map added to the one above it (nearest neighbour), then
    3 x 3 convolutions to a quarter of the channels. No biases, norms or activations. Maps of a
    plain transformer, all at stride 16, are first brought to strides 4 to 32, bilinearly.

    Args:
        taken: channels of the encoder's maps, coarse to fine.
        channels: inside, and of the result.
    """

    def __init__(self, taken: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1, bias=False) for c in taken)
        self.outs = nn.ModuleList(
            nn.Conv2d(channels, channels // 4, 3, padding=1, bias=False) for _ in taken
        )

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Encoder maps, coarse to fine, to one (B, channels, H/4, W/4), coarse first."""
        sizes = [stage_size(i, image) for i in range(len(maps))]
        x: Tensor | None = None
        joined = []
        for lateral, out, m, size in zip(self.laterals, self.outs, maps, sizes, strict=True):
            here = resized(lateral, m, size)
            x = here if x is None else here + F.interpolate(x, size)
            joined.append(F.interpolate(out(x), sizes[-1]))
        return torch.cat(joined, dim=1)


class DBHead(nn.Module):
    """Two branches of equal form, from stride 4 to full size: probability and threshold.

    Each: 3 x 3 convolution, norm, ReLU; 2 x 2 transposed convolution of stride 2, norm, ReLU; the
    same to one channel. Weights start as torch's layers do; with the released code's wider ones,
    twice as great a loss at the start, short runs end further from the labels. For deployment set
    `threshold` to None: its weights are then neither in memory nor in the state dict.

    Args:
        taken: channels of the map.
        inside: channels of a branch.
        widths: whether there are batch norms.
    """

    def __init__(self, taken: int, inside: int, widths: Widths) -> None:
        super().__init__()
        self.probability = _branch(taken, inside, widths)
        self.threshold: nn.Module | None = _branch(taken, inside, widths)

    def forward(self, x: Tensor, threshold: bool) -> DBOutput:
        """(B, C, h, w) to maps (B, 1, 4h, 4w)."""
        if not threshold:
            return DBOutput(self.probability(x), None)
        if self.threshold is None:
            raise ValueError("threshold map asked for, but the head has no threshold branch")
        # A step of bfloat16 near .5, times k, would be felt in the binary map.
        return DBOutput(self.probability(x), _wide(self.threshold(x)).sigmoid())


def _branch(taken: int, inside: int, widths: Widths) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(taken, inside, 3, padding=1, bias=False),
        norm(inside, widths),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, inside, 2, 2),
        norm(inside, widths),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, 1, 2, 2),
    )


def _switches(body: str, given: dict[str, Any]) -> Switches:
    if body not in get_args(Body):
        raise unknown("body", body, get_args(Body))
    known = [field.name for field in fields(Switches)]
    for name, value in given.items():
        if name not in known:
            raise unknown("switch of DBNet", name, [*known, "body", "channels"])
        if body == "fpn" and name not in OF_BOTH:
            raise ValueError(f"{name} is a switch of body='birefnet', but the body is 'fpn'")
        if value != UNTRAINED.get(name, value):
            raise ValueError(
                f"{name} is {value!r}, expected {UNTRAINED[name]!r}: no loss of DB trains it"
            )
    if body == "fpn":
        return Switches.of({**given, "multi_scale_input": "none"})
    return Switches.of({**given, **UNTRAINED})


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
