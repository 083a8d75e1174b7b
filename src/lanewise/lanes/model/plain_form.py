"""A model whose parameters are the tensors of the lane at work: what a plain PyTorch loop trains.

Nothing of `torch.func` is in it. A lane takes its turn by letting the parameters point at its tensors; autograd then
leaves the gradients in `param.grad`, and the optimizer overwrites the tensors.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import own_buffers
from lanewise.lanes.model.bound import Bound
from lanewise.lanes.model.lane_layers import LaneBatchNorm, LaneDropout
from lanewise.parts.lora.layers import Adapter


class PlainForm:
    """The model with lane layers as a module of its own.

    Args:
        bound: a copy of the model with its objective, in training mode; this object's own from now on.
        lane_buffers: buffers that hold a number of the lane -> the recipe's name of that number.
    """

    def __init__(self, bound: Bound, lane_buffers: dict[str, str]) -> None:
        self._bound = bound
        bound.take_native(True)
        modules = dict(bound.model.named_modules())
        self._dropouts = [layer for layer in modules.values() if isinstance(layer, LaneDropout)]
        self._layers: list[tuple[Any, str, str]] = []
        for buffer, number in lane_buffers.items():
            owner, _, name = buffer.rpartition(".")
            layer = modules[owner]
            if isinstance(layer, Adapter):
                self._layers.append((layer, "alpha", number))
                continue
            # A number from Python spares the operations that a tensor of numbers by lane takes.
            del own_buffers(layer)[name]
            attribute = "own_momentum" if isinstance(layer, LaneBatchNorm) else "own_rate"
            self._layers.append((layer, attribute, number))
        self._params = dict(bound.model.named_parameters())
        self._places: dict[str, tuple[dict[str, Any], str]] = {
            name: (own_buffers(modules[name.rpartition(".")[0]]), name.rpartition(".")[2])
            for name, _ in bound.model.named_buffers()
        }

    @property
    def model(self) -> nn.Module:
        """The module that trains."""
        return self._bound.model

    def take_on(self, tensors: dict[str, Tensor]) -> None:
        """Let parameters and buffers be `tensors`, which a step then overwrites."""
        for name, tensor in tensors.items():
            if name in self._params:
                self._params[name].data = tensor
            else:
                buffers, own = self._places[name]
                buffers[own] = tensor

    def params(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The parameters by their `names`."""
        return {name: self._params[name].detach() for name in names}

    def buffers(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """What a step has left of the buffers `given`, and frozen parameters among them as they are."""
        return given | {name: buffers[own].detach() for name, (buffers, own) in self._places.items() if name in given}

    def loss(
        self, batch: tuple[Any, Any], numbers: dict[str, float], drawn: dict[str, Tensor], blend: Any, share: float
    ) -> Tensor:
        """The loss of a batch, 0-d, times `share`, after it went back into the gradients."""
        for layer, attribute, number in self._layers:
            setattr(layer, attribute, numbers[number])
        self.take_on(drawn)
        for layer in self._dropouts:
            layer.calls = 0
        with torch.enable_grad():
            loss: Tensor = self._bound("training_loss", *batch, numbers["label_smoothing"], blend)
            loss = loss if share == 1 else loss * share
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def gradients(self) -> dict[str, Tensor]:
        """The gradients since the last call, by name, of the parameters that have one."""
        found = {}
        for name, param in self._params.items():
            if param.grad is not None:
                found[name], param.grad = param.grad, None
        return found

    def rest(self) -> None:
        """Nothing to do: the model is no one else's."""
