"""A model as functions of a lane's tensors, and what one training pass gives."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lanewise.lanes.model.bound import Bound
from lanewise.lanes.model.lane_layers import LaneDropout
from lanewise.lanes.model.plain_autograd import Batch
from lanewise.lanes.model.traits import named

NO_MASKS = {"dropout": 0.0, "stochastic_depth": 0.0}
"""Numbers of the passes: masks are drawn otherwise in lane layers than by the layers themselves."""
NEUTRAL = {**NO_MASKS, "norm_momentum": 0.1, "label_smoothing": 0.0}


Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Passed:
    """What a training pass gave. `gradients` of the parameters that have one."""

    loss: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


class Functions:
    """A model as functions of a lane's tensors, with the numbers `NEUTRAL`.

    Args:
        gradients: `LaneStep.gradients`. train, evaluated: copies of the lane layer model, this object's own. params:
        names
            of the parameters that train. draws: names of the draws of dropout layers.
    """

    def __init__(
        self, gradients: Callable[..., Any], train: Bound, evaluated: Bound, params: Collection[str], draws: Any
    ) -> None:
        self._gradients, self._train, self._evaluated = gradients, train, evaluated
        self._params, self._draws = params, draws
        for layer in train.model.modules():
            if isinstance(layer, LaneDropout):
                layer.own_rate = 0.0

    def passed(self, tensors: dict[str, Tensor], batch: Batch, by_leaves: bool) -> Passed:
        """A training pass, by plain autograd on leaves or by `torch.func.grad`."""
        params = {name: tensor for name, tensor in tensors.items() if name in self._params}
        buffers = {name: tensor for name, tensor in tensors.items() if name not in self._params}
        like = next(iter(params.values())).detach()
        like = like.real if like.is_complex() else like
        numbers = {name: like.new_tensor(value) for name, value in NEUTRAL.items()}
        drawn = {name: like.new_zeros(()) for name in self._draws}
        gradients, loss, buffers = self._gradients(self._train, params, buffers, numbers, batch, drawn, by_leaves)
        return Passed(loss, gradients, buffers)

    def scored(self, tensors: dict[str, Tensor], batch: Batch) -> Tensor:
        """Losses in evaluation mode."""
        with torch.no_grad():
            (losses, _), _ = self._evaluated.run(dict(tensors), "scores", *batch)
        found: Tensor = losses
        return found

    def failing_layer(self, tensors: dict[str, Tensor], batch: Batch) -> str:
        """The innermost layer in which a training pass raises an error, or nothing."""
        with watched(self._train.model) as inside, contextlib.suppress(Exception):
            self.passed(tensors, batch, by_leaves=False)
        return inside[-1] if inside else ""


@contextlib.contextmanager
def watched(model: nn.Module) -> Iterator[list[str]]:
    """The layers that `model` is in, outermost first: what is left of them after an error did not come back."""
    with entered(model, called) as inside:
        yield inside


def called(name: str, layer: nn.Module) -> str:
    """How a layer is named for users."""
    return f"{type(layer).__name__} {name}".strip()


@contextlib.contextmanager
def entered(model: nn.Module, kept: Callable[[str, nn.Module], Kept]) -> Iterator[list[Kept]]:
    """What `kept` makes of the names and layers that `model` is in, outermost first."""
    inside: list[Kept] = []
    hooks: list[Any] = []
    for name, layer in model.named_modules():
        told = kept(name, layer)
        # First, for what the layer's own hooks do (spectral norm of old) is done in the layer, too.
        hooks.append(layer.register_forward_pre_hook(lambda *_, told=told: inside.append(told), prepend=True))
        hooks.append(layer.register_forward_hook(lambda *_: inside.pop() and None))
    try:
        yield inside
    finally:
        for hook in hooks:
            hook.remove()


def computed(model: nn.Module) -> str:
    """Which layers hold tensors that hooks compute from others, so that there is no copy of them, or nothing."""
    found = [
        called(name, layer)
        for name, layer in model.named_modules()
        if any(isinstance(value, Tensor) and not value.is_leaf for value in vars(layer).values())
    ]
    if not found:
        return ""
    return (
        f"torch.func cannot take {named(found)}, whose weight a hook computes from others; "
        "torch.nn.utils.parametrizations.weight_norm in place of torch.nn.utils.weight_norm can be packed"
    )
