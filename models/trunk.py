"""What BiRefNet and DBNet share: an encoder that may be frozen, and BiRefNet's decoder on it."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import backbones
from models.blocks import resize, squeeze_module
from models.checkpointing import recompute
from models.checks import check_finite, check_kind, check_statistics
from models.decoder import STRIDE, Decoder
from models.switches import Switches

LEAST = 2 * STRIDE  # the image at half size still has a pixel at the deepest stride


class Trunk(nn.Module):
    """An encoder `bb` whose first stages may be frozen; its subclasses add what follows it."""

    decoder: nn.Module

    def __init__(self, switches: Switches) -> None:
        super().__init__()
        s = self.switches = switches
        self.pretrained = bool(s.weights)
        self.bb = backbones.build(s.backbone, s.weights, s.drop_path)
        self.bb.checkpoint(s.checkpoint)

    def _add_decoder(self, logits: bool = True) -> int:
        """BiRefNet's squeeze module and decoder; gives the channels of the decoder's last map.

        Args:
            logits: whether the decoder ends in logits.
        """
        s = self.switches
        double = 2 if s.multi_scale_input == "cat" else 1
        channels = [double * c for c in self.bb.channels]
        joined = channels[0] + sum(channels[1 : 1 + s.context])
        self.squeeze_module = squeeze_module(
            s.squeeze, joined, channels[0], s.widths, s.decoder_attention
        )
        recompute(self.squeeze_module, s.checkpoint)
        neck = [double * c for c in s.neck_channels] if self.bb.plain else None
        self.decoder = decoder = Decoder(channels, s.decoder, s.widths, neck, logits)
        return decoder.channels

    def freeze(self, stages: bool | int) -> None:
        """Freeze the encoder's first stages and train the others.

        `bb.requires_grad_(True)` alone gives gradients, but leaves them in evaluation mode.

        Args:
            stages: 0 to 5; True is all, False none.

        Raises:
            ValueError: another number.
        """
        if not isinstance(stages, int) or stages not in range(6):
            raise ValueError(f"stages are {stages!r}, expected True, False or 0 to 5")
        self.frozen = 5 if stages is True else int(stages)
        for i, stage in enumerate(self.bb.stages()):
            for module in stage:
                module.requires_grad_(i >= self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Trunk":
        """As usual, but the encoder's frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in self.bb.stages()[: self.frozen]:
            for module in stage:
                module.eval()
        if self.frozen == 5:
            self.bb.eval()
        return self

    def _encode(self, image: Tensor) -> list[Tensor]:
        """Encoder maps, coarse to fine, the half-size image's joined to them."""
        join = self.switches.multi_scale_input
        # an image that asks for its gradient has it through a frozen encoder too
        wanted = image.requires_grad or any(p.requires_grad for p in self.bb.parameters())
        with nullcontext() if wanted else torch.no_grad():
            maps: list[Tensor] = self.bb(image)
            if join != "none":
                half = resize(image, tuple(side // 2 for side in image.shape[-2:]))
                sizes = (m.shape[-2:] for m in maps)
                halves = [resize(h, size) for h, size in zip(self.bb(half), sizes, strict=True)]
                pairs = zip(maps, halves, strict=True)
                maps = [torch.cat((m, h), dim=1) if join == "cat" else m + h for m, h in pairs]
        return maps[::-1]

    def _squeeze(self, maps: list[Tensor]) -> list[Tensor]:
        """Encoder maps, coarse to fine, the coarsest with its context and squeezed."""
        coarsest, *finer = maps
        if self.switches.context:
            context = [resize(m, coarsest.shape[-2:]) for m in finer[: self.switches.context]]
            coarsest = torch.cat((*context[::-1], coarsest), dim=1)
        return [self.squeeze_module(coarsest), *finer]

    @property
    def least(self) -> int:
        """The shortest side of an image in pixels."""
        return LEAST

    def check(self, image: Tensor) -> None:
        """Refuse what the model cannot take; values are looked at where that costs nothing.

        Raises:
            ValueError: as `forward`'s. Of a meta tensor all but its values is checked.
        """
        check_kind(image, next(self.parameters()).dtype, self.least)
        check_statistics(self, image)
        if torch.compiler.is_compiling() or image.is_meta:
            return  # a compiled graph cannot stop to look at values, a meta tensor has none
        if self.training and image.device.type != "cpu":
            return  # to look would wait for the device; a training loop sees it in its loss
        check_finite(image)


def pad(image: Tensor, stride: int = STRIDE) -> Tensor:
    """Channels-last, and continued by its border to multiples of the stride."""
    height, width = image.shape[-2:]
    image = image.contiguous(memory_format=torch.channels_last)
    return F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")
