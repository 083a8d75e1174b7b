"""A model whose batch norms record the statistics of their inputs, as in `parts/norm/reestimate.py`."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import AnyBatchNorm
from lanewise.lanes.model.lane_layers import LaneBatchNorm
from lanewise.parts.norm import Frozen, Statistics, merged
from lanewise.parts.norm.statistics import of_channels


def observing(model: nn.Module) -> nn.Module:
    """A copy of `model`, lane layers in it or not, whose batch norms record statistics."""
    return observe(copy.deepcopy(model))


def observe(model: nn.Module) -> nn.Module:
    """`model` in evaluation mode but for its batch norms, which normalise by batch and record their inputs.

    Frozen ones, those that the model keeps in evaluation mode, and those without running statistics are left as they
    are.
    """
    in_training = {layer for layer in model.train().modules() if layer.training}
    model.eval()
    for layer in model.modules():
        norm = isinstance(layer, (LaneBatchNorm, AnyBatchNorm)) and not isinstance(layer, Frozen)
        if norm and layer.running_mean is not None and layer in in_training:
            layer.train()
            if not isinstance(layer, LaneBatchNorm):
                # What it writes is not looked at, and none would ask how many batches there were.
                layer.momentum = 1.0  # type: ignore[assignment]  # of a batch norm
            layer.observed = []  # type: ignore[assignment]
            layer.register_forward_pre_hook(take_down)
    return model


def take_down(layer: Any, given: tuple[Tensor, ...]) -> None:
    """Keep the statistics of what a batch norm is given."""
    x = given[0]
    layer.observed.append(of_channels(x.reshape(-1, x.shape[-1]) if getattr(layer, "last", False) else x))


def observed(model: nn.Module) -> dict[str, Statistics]:
    """What each layer of an `observing` model was given since the last call, by its name."""
    found: dict[str, Statistics] = {}
    for name, layer in model.named_modules():
        given: list[Statistics] = getattr(layer, "observed", [])
        for statistics in given:
            found[name] = merged(found[name], statistics) if name in found else statistics
        given.clear()
    return found


def normed(observer: nn.Module, one_pass: Callable[[nn.Module], None]) -> tuple[str, ...]:
    """The batch norm layers of an observing model whose statistics can be taken anew."""
    with torch.no_grad():
        one_pass(observer)
    return tuple(observed(observer))
