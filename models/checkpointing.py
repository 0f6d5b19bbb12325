"""Gradient checkpointing: what is inside a module is computed again for the backward pass.

Values, gradients, random numbers and batch statistics are those of the plain computation, which
is also what happens without gradients (Chen et al., Training Deep Nets with Sublinear Memory
Cost, 2016).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(module: nn.Module, *args: Tensor) -> Tensor:
    """`module(*args)`, its inner maps forgotten and computed again when gradients are asked for.

    Args:
        module: called with `args`; gives one tensor.
        args: its inputs, which are kept.
    """
    out: Tensor = _called(module, module, *args)
    return out


def recompute(modules: Iterable[nn.Module], on: bool) -> None:
    """Have modules forget their inner maps at every call from now on, or no longer."""
    for module in modules:
        vars(module).pop("forward", None)
        if on:  # on the object, so that its class, and with it all names, stay
            vars(module)["forward"] = partial(_forward, module)


def _forward(module: nn.Module, *args: Any, **settings: Any) -> Any:
    return _called(module, partial(type(module).forward, module), *args, **settings)


def _called(module: nn.Module, call: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    if not torch.is_grad_enabled():
        return call(*args, **settings)
    # A compiled graph updates statistics once by itself, and takes no contexts of others.
    if _norms(module) and not torch.compiler.is_compiling():
        settings["context_fn"] = partial(_contexts, module)
    return checkpoint(call, *args, use_reentrant=False, **settings)


def _contexts(module: nn.Module) -> tuple[AbstractContextManager[None], ...]:
    """For the first computation and for the second."""
    return nullcontext(), _statistics_kept(module)


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms count no batch a second time."""
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in _norms(module)]
    try:
        for norm, _, _ in before:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count


def _norms(module: nn.Module) -> list[_BatchNorm]:
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
