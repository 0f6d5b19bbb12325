"""The optimizer of a run: AdamW by groups, its schedule, clipping, and float16's scaler."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from experiments.config import TrainConfig
from experiments.model import Network


class Optimizer:
    """AdamW as a run configures it. The order of a step: set_rate, backward, norm, step.

    Gradients are scaled in float16 alone, whose small ones would be zero; a step whose gradients
    overflow is skipped, and the scale halved (Micikevicius et al., ICLR 2018).
    """

    def __init__(self, model: Network, t: TrainConfig, device: torch.device) -> None:
        groups = parameter_groups(model, t)
        self.t = t
        self.adamw = torch.optim.AdamW(groups, weight_decay=t.weight_decay, fused=True)
        self.scales = t.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.scales)

    def set_rate(self, step: int) -> float:
        """Set every group's learning rate for `step`; that of the last group, the decoder's."""
        for group in self.adamw.param_groups:
            group["lr"] = group["base"] * lr_factor(step, self.t)
        rate: float = self.adamw.param_groups[-1]["lr"]
        return rate

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to what is there."""
        self.scaler.scale(loss).backward()

    def norm(self) -> Tensor:
        """Norm of all gradients together, before clipping; not finite if one of them is not."""
        self.scaler.unscale_(self.adamw)
        return get_total_norm([p.grad for p in self._parameters() if p.grad is not None])

    def step(self, norm: Tensor) -> None:
        """Clip, update the weights and forget the gradients."""
        if self.t.clip:
            clip_grads_with_norm_(self._parameters(), self.t.clip, norm)
        self.scaler.step(self.adamw)
        self.scaler.update()
        self.adamw.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """AdamW's moments and the scale."""
        return {"adamw": self.adamw.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()` of another process."""
        self.adamw.load_state_dict(state["adamw"])
        self.scaler.load_state_dict(state["scaler"])

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [p for group in self.adamw.param_groups for p in group["params"]]


def parameter_groups(model: Network, t: TrainConfig) -> list[dict[str, Any]]:
    """Optimizer groups: the backbone at its own rate, and the rest; `base` is the full rate."""
    backbone = [p for p in model.bb.parameters() if p.requires_grad]
    known = {id(p) for p in backbone}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups = [(backbone, t.lr * t.backbone_lr), (rest, t.lr)]
    return [{"params": params, "lr": lr, "base": lr} for params, lr in groups if params]


def lr_factor(step: int, t: TrainConfig) -> float:
    """Learning rate at `step` as a share of the configured one."""
    if step < t.warmup:
        return (step + 1) / t.warmup
    if t.schedule == "constant":
        return 1.0
    if t.schedule == "step":
        return t.drop ** sum(step >= share * t.steps for share in t.drops)
    u = (step - t.warmup) / max(1, t.steps - t.warmup)
    return 0.5 * (1 + math.cos(math.pi * u))
