"""Lanes trained one after another in a real module, by plain autograd: for models that `torch.func` cannot take.

The module takes on a lane's tensors, runs, and hands them back; what follows a gradient is the same for all lanes.
Nothing is copied by `copy.deepcopy` and no layer is replaced: the module is as the user's function made it.
"""

from collections.abc import Iterable
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
from lanewise.parts.lora.layers import Adapter
from lanewise.parts.norm import BatchNormLast, GhostBatchNorm
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.task.objectives import Objective

LAYER_NUMBERS = (
    ((*BATCH_NORMS, BatchNormLast, GhostBatchNorm), "momentum", "norm_momentum"),
    (tuple(DROPOUTS), "p", "dropout"),
    ((Dropout,), "rate", "dropout"),
    ((StochasticDepth,), "rate", "stochastic_depth"),
    ((Adapter,), "alpha", "lora_alpha"),
)
"""Types of layers, their attribute, and the recipe's number that is written to it."""
ORIGIN, KEPT = "lane_origin", "lane_attributes"
"""What stands among the buffers of a lane: the repeat that its module is made for, and what that has changed since."""

Batch: TypeAlias = tuple[Inputs, "Tensor | None"]
Blend: TypeAlias = "tuple[Tensor, Tensor] | None"


def layer_numbers(model: nn.Module) -> set[str]:
    """The recipe's numbers that a layer of `model` reads."""
    return {name for types, _, name in LAYER_NUMBERS for module in model.modules() if is_of(module, types)}


def set_layer_numbers(model: nn.Module, numbers: dict[str, Any]) -> None:
    """Write a step's numbers to the layers of `model` that read them."""
    for module in model.modules():
        for kinds, attribute, name in LAYER_NUMBERS:
            if name in numbers and is_of(module, kinds):
                setattr(module, attribute, float(numbers[name]))


def is_of(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether `module` is of one of these types; of types made from them only where it is an adapter."""
    return type(module) in kinds or (Adapter in kinds and isinstance(module, Adapter))


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
            # Not `copy_`: since `RealForm.take_on` a parameter may hold the tensor of a lane.
            param.data = tensors[name].clone()
            param.grad = None
        self.load_buffers(tensors)

    @torch.no_grad()
    def load_buffers(self, tensors: dict[str, Tensor]) -> None:
        """Take on copies of the buffers of a lane."""
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

    def backward(self, batch: Batch, smoothing: Tensor | float, blend: Blend, share: float = 1.0) -> Tensor:
        """The loss of a batch, 0-d, times `share`, after it went back into the gradients."""
        with torch.enable_grad(), autocast(self._precision, self._device):
            loss = self._objective.training_loss(self.model, *batch, smoothing, blend)
            loss = loss if share == 1 else loss * share
        if loss.requires_grad:
            # Not torch.autograd.grad, which re-entrant checkpoints refuse.
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def taken_gradients(self) -> dict[str, Tensor]:
        """The gradients since the last call, dense, by name, of the parameters that have one."""
        found = {}
        for name, param in self.model.named_parameters():
            if param.grad is not None:
                found[name] = param.grad.to_dense() if param.grad.layout != torch.strided else param.grad
                param.grad = None
        return found

    def scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(losses, metrics) by `Objective.scores`, in evaluation mode."""
        self.model.eval()
        with autocast(self._precision, self._device):
            return self._objective.scores(self.model, *batch)

    def one_pass(self, batch: Batch) -> None:
        """Run the model in the mode it is in."""
        with autocast(self._precision, self._device):
            self._objective.one_pass(self.model, *batch)


class RealForm:
    """The real module of a lane at work: its parameters are the lane's tensors, which a step overwrites.

    Args:
        real: this object's own for as long as the lane is at work.
    """

    def __init__(self, real: Real) -> None:
        self._real = real

    @property
    def model(self) -> nn.Module:
        """The module that trains."""
        return self._real.model

    def take_on(self, tensors: dict[str, Tensor]) -> None:
        """Let the parameters be `tensors`; buffers and attributes are copied from them."""
        real = self._real
        real.model.train()
        if real.attributes is not None:
            real.attributes.put(unpacked(tensors[KEPT]))
        for name, param in real.model.named_parameters():
            param.data, param.grad = tensors[name], None
        real.load_buffers(tensors)

    def params(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The parameters by their `names`: a forward pass may put others in their places."""
        found = dict(self._real.model.named_parameters())
        return {name: found[name].detach() for name in names}

    def buffers(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copies of the buffers and attributes as they are now, those of `given` otherwise."""
        found = self._real.buffers()
        return {name: found.get(name, tensor) for name, tensor in given.items()}

    def loss(
        self, batch: Batch, numbers: dict[str, float], drawn: dict[str, Tensor], blend: Blend, share: float
    ) -> Tensor:
        """The loss of a batch, 0-d, times `share`, after it went back into the gradients."""
        set_layer_numbers(self._real.model, numbers)
        return self._real.backward(batch, numbers["label_smoothing"], blend, share)

    def gradients(self) -> dict[str, Tensor]:
        """The gradients since the last call, dense, by name, of the parameters that have one."""
        return self._real.taken_gradients()

    def rest(self) -> None:
        """See `Real.rest`."""
        self._real.rest()
