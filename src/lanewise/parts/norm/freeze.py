"""Freezing batch norm: its running statistics stay as they are, whatever `model.train()` says."""

import functools
from typing import Any, Self

from torch import nn

from lanewise.base.torch_modules import AnyBatchNorm, check_module


class Frozen(nn.Module):
    """A batch norm that stays in evaluation mode; combined with the layer's own class by `frozen_class`."""

    original: type[nn.Module]
    thawed: dict[str, bool]

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return blank, (self.original,), self.__dict__


@functools.cache
def frozen_class(original: Any) -> type[Frozen]:
    """The class of a frozen layer of class `original`; it is a subclass of that."""
    return type(f"Frozen{original.__name__}", (Frozen, original), {"original": original, "__module__": __name__})


def blank(original: Any) -> Frozen:
    """A frozen layer before its state is set: how a frozen layer is copied and unpickled."""
    cls = frozen_class(original)
    return cls.__new__(cls)


def freeze_norm(model: nn.Module, affine: bool = True) -> list[str]:
    """Keep every batch norm of `model` in evaluation mode, in place, until `unfreeze_norm`.

    `model.train()` no longer reaches these layers: they normalise with their running statistics and leave them as they
    are. Their parameters, names, hooks and places in the model stay, so optimizers and checkpoints fit; a frozen
    `BatchNorm2d` is still a `BatchNorm2d`, and copies and pickles stay frozen.

    Args:
        model: any module.
        affine: whether the weights and biases take no gradient either.

    Returns:
        The names of the layers that were frozen now.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    >>> freeze_norm(model), model.train()[1].training, unfreeze_norm(model), model[1].training
    (['1'], False, ['1'], True)
    """
    check_module("freeze_norm", model)
    frozen = []
    layers: list[tuple[str, Any]] = list(model.named_modules())
    for name, layer in layers:
        if isinstance(layer, AnyBatchNorm) and not isinstance(layer, Frozen) and layer.running_mean is not None:
            freeze_layer(layer, affine)
            frozen.append(name)
    return frozen


def unfreeze_norm(model: nn.Module) -> list[str]:
    """Undo `freeze_norm`: the layers follow `model.train()` again, and parameters take gradients as they did before.

    Returns:
        The names of the layers that were frozen.
    """
    check_module("unfreeze_norm", model)
    thawed = []
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Frozen):
            thaw_layer(layer, model.training)
            thawed.append(name)
    return thawed


def freeze_layer(layer: Any, affine: bool) -> None:
    """Make the batch norm `layer` a frozen one; what its parameters' `requires_grad` was is remembered in it."""
    original: Any = type(layer)
    layer.__class__ = frozen_class(original)
    layer.thawed = {key: parameter.requires_grad for key, parameter in layer.named_parameters(recurse=False)}
    layer.train(False)
    if affine:
        layer.requires_grad_(False)


def thaw_layer(layer: Any, training: bool) -> None:
    """Make the frozen `layer` what it was, in the mode `training`."""
    flags = layer.__dict__.pop("thawed")
    layer.__class__ = layer.original
    for key, parameter in layer.named_parameters(recurse=False):
        parameter.requires_grad_(flags[key])
    layer.train(training)
