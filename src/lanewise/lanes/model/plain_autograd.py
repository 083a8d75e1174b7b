"""Lanes trained one after another in a real module, by plain autograd: for models that `torch.func` cannot take.

The module takes on a lane's tensors, runs, and hands them back; what follows a gradient is the same for all lanes.
Nothing is copied by `copy.deepcopy` and no layer is replaced: the module is as the user's function made it.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import own_buffers
from lanewise.data.arrays.nested import Inputs
from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.attributes.plain_values import packed, unpacked
from lanewise.lanes.model.lane_layers import BATCH_NORMS, DROPOUTS
from lanewise.lanes.model.precision import autocast, widen_outputs
from lanewise.parts.dropout import Dropout
from lanewise.parts.norm import BatchNormLast, GhostBatchNorm
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.task.objectives import Objective

LAYER_NUMBERS = (
    ((*BATCH_NORMS, BatchNormLast, GhostBatchNorm), "momentum", "norm_momentum"),
    (tuple(DROPOUTS), "p", "dropout"),
    ((Dropout,), "rate", "dropout"),
    ((StochasticDepth,), "rate", "stochastic_depth"),
)
"""Types of layers, their attribute, and the recipe's number that is written to it."""
ORIGIN, KEPT = "lane_origin", "lane_attributes"
"""What stands among the buffers of a lane: the repeat that its module is made for, and what that has changed since."""

Batch: TypeAlias = tuple[Inputs, "Tensor | None"]
Blend: TypeAlias = "tuple[Tensor, Tensor] | None"


def layer_numbers(model: nn.Module) -> set[str]:
    """The recipe's numbers that a layer of `model` reads."""
    kinds = {type(module) for module in model.modules()}
    return {name for types, _, name in LAYER_NUMBERS if kinds & set(types)}


def set_layer_numbers(model: nn.Module, numbers: dict[str, Any]) -> None:
    """Write a step's numbers to the layers of `model` that read them."""
    for module in model.modules():
        for kinds, attribute, name in LAYER_NUMBERS:
            if type(module) in kinds and name in numbers:
                setattr(module, attribute, float(numbers[name]))


class Real:
    """A module that lane after lane is loaded into.

    Args:
        model: new, on its device; it is this object's own from now on.
        stateful: whether it changes attributes in a forward pass that count: they then go with the lane.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, precision: str, device: torch.device, stateful: bool = False
    ) -> None:
        self.model, self._objective = model, objective
        self._precision, self._device = precision, device
        if precision != "float32":
            widen_outputs(model)
        self.attributes = Attributes(model) if stateful else None

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor], training: bool = True) -> None:
        """Take on the parameters and buffers of a lane, in training mode, and the attributes that it has."""
        if training:
            self.model.train()
        if self.attributes is not None:
            self.attributes.put(unpacked(tensors[KEPT]))
        for name, param in self.model.named_parameters():
            param.copy_(tensors[name])
            param.grad = None
        for name, buffer in list(self.model.named_buffers()):
            value = tensors[name]
            if buffer.requires_grad or buffer.shape != value.shape:
                owner, _, key = name.rpartition(".")
                own_buffers(self.model.get_submodule(owner))[key] = value.clone()
            else:
                buffer.copy_(value)

    def buffers(self) -> dict[str, Tensor]:
        """The buffers as they are now, and the attributes where they count."""
        found = {name: buffer.detach().clone() for name, buffer in self.model.named_buffers()}
        return found if self.attributes is None else found | {KEPT: packed(self.attributes.changed())}

    def rest(self) -> None:
        """Let globals and attributes be as at first, for whoever else looks at them."""
        if self.attributes is not None:
            self.attributes.put({})

    def gradients(
        self, batches: Sequence[Batch], smoothing: Tensor | float, blends: Sequence[Blend]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """(mean gradient over `batches` of every parameter that has one, dense; mean loss)."""
        losses = []
        for batch, blend in zip(batches, blends, strict=True):
            with torch.enable_grad(), autocast(self._precision, self._device):
                loss = self._objective.training_loss(self.model, *batch, smoothing, blend) / len(batches)
            if loss.requires_grad:
                # Not torch.autograd.grad, which re-entrant checkpoints refuse.
                loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        found = {
            name: param.grad.to_dense() if param.grad.layout != torch.strided else param.grad
            for name, param in self.model.named_parameters()
            if param.grad is not None
        }
        for param in self.model.parameters():
            param.grad = None
        return found, torch.stack(losses).sum()

    def scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(losses, metrics) by `Objective.scores`, in evaluation mode."""
        self.model.eval()
        with autocast(self._precision, self._device):
            return self._objective.scores(self.model, *batch)

    def one_pass(self, batch: Batch) -> None:
        """Run the model in the mode it is in."""
        with autocast(self._precision, self._device):
            self._objective.one_pass(self.model, *batch)
