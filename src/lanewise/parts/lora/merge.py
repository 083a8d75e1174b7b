"""A model whose adapters have become part of its weights."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from lanewise.base.torch_modules import check_module, own_parameters
from lanewise.errors import InputError
from lanewise.parts.lora.layers import AdaptedLayer, Adapter, LoraWeight


@torch.no_grad()
def merge_lora(model: nn.Module) -> nn.Module:
    """A copy of `model` without adapters, whose weights are W + alpha / rank B A.

    Its layers have the classes, and its `state_dict` the names, of the model that `lora` was given; in evaluation it
    gives what `model` gives, up to rounding. It shares no memory with `model`, and all of its parameters train.

    Raises:
        InputError: `model` has no adapters of `lora`.

    >>> from lanewise.parts.lora import lora
    >>> model = lora(nn.Sequential(nn.Linear(4, 2)), rank=1)
    >>> list(merge_lora(model).state_dict())
    ['0.weight', '0.bias']
    """
    check_module("merge_lora", model)
    if not any(isinstance(module, Adapter) for module in model.modules()):
        raise InputError("merge_lora: the model has no adapters of lora")
    model = copy.deepcopy(model)
    for layer in list(model.modules()):
        if isinstance(layer, AdaptedLayer):
            layer.take_in()
        elif isinstance(made := getattr(layer, "parametrizations", None), nn.ModuleDict):
            for name in [name for name, own in made.items() if isinstance(own[0], LoraWeight)]:  # type: ignore[index]
                parametrize.remove_parametrizations(layer, name)
                own = own_parameters(layer)
                # What was registered last would be last in `state_dict`; these layers have their weights first.
                own.update({other: own.pop(other) for other in list(own) if "bias" in other})
        elif isinstance(layer, nn.TransformerEncoderLayer):
            layer.activation_relu_or_gelu = fast_activation(layer)
    return model.requires_grad_(True)


def fast_activation(layer: nn.TransformerEncoderLayer) -> int:
    """What torch keeps of the activation of `layer`, by which it may take a faster way in evaluation."""
    if layer.activation is F.relu or isinstance(layer.activation, nn.ReLU):
        return 1
    return 2 if layer.activation is F.gelu or isinstance(layer.activation, nn.GELU) else 0
